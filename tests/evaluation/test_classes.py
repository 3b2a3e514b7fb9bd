import numpy as np
import pytest

from evaluation.classes import adi_and_cv2, demand_classes
from tests.evaluation.made import panel_of, sparse_panel


def twin(y):
    y = y[~np.isnan(y)]
    sizes = np.abs(y[y != 0])
    if not len(sizes):
        return np.nan, np.nan
    return len(y) / len(sizes), sizes.var() / sizes.mean() ** 2


def test_when_classes_are_taken_over_the_fleet_then_intervals_and_sizes_equal_the_slow_twin():
    panel = sparse_panel()
    adi, cv2 = adi_and_cv2(panel)
    for i in range(panel.n_series):
        assert (adi[i], cv2[i]) == pytest.approx(twin(panel.series(i)))


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        ([5, 5, 5, 6], "smooth"),
        ([1, 50, 1, 90, 2], "erratic"),
        ([0, 0, 5, 0, 0, 5], "intermittent"),
        ([0, 0, 1, 0, 0, 90], "lumpy"),
        ([0, 0, 0], "none"),
        ([0, 0, 7], "intermittent"),
        ([np.nan, 5, np.nan], "smooth"),
        ([np.nan, np.nan], "none"),
    ],
)
def test_when_demand_has_a_shape_then_its_class_is_named(y, kind):
    assert demand_classes(panel_of({"A": y}))[0] == kind
