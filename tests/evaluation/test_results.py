import numpy as np
import pandas as pd
import pytest

from demand.errors import DataError
from evaluation.folds import Fold
from evaluation.results import FoldResult, scales
from tests.evaluation.made import from_arrays, panel_of, sparse_panel


def twin_scales(panel, season):
    """The same three figures by pandas, series by series."""
    frame = panel.to_frame()
    by = frame.groupby("unique_id").y
    seasonal = (frame.y - by.shift(season)).abs().groupby(frame.unique_id).mean()
    naive = (frame.y - by.shift(1)).abs().groupby(frame.unique_id).mean()
    squared = ((frame.y - by.shift(1)) ** 2).groupby(frame.unique_id).mean()
    last = by.last()  # skips NaN
    return seasonal.fillna(naive).to_numpy(), squared.to_numpy(), last.to_numpy()


@pytest.mark.parametrize("season", [1, 7, 52])
def test_when_scales_are_taken_over_the_fleet_then_they_equal_the_pandas_twin(season):
    panel = sparse_panel(length=60)
    y = panel.y.copy()
    y[[3, 50, len(y) - 1]] = np.nan
    panel = panel_of({name: y[panel.indptr[i] : panel.indptr[i + 1]] for i, name in enumerate(panel.ids)})
    for fast, slow in zip(scales(panel, season), twin_scales(panel, season), strict=True):
        np.testing.assert_allclose(fast, slow, equal_nan=True)


def test_when_a_series_is_shorter_than_a_season_then_its_scale_is_the_naive_error():
    scale, _, last = scales(panel_of({"A": [1, 3, 2, 6]}), 7)
    assert scale[0] == pytest.approx((2 + 1 + 4) / 3)
    assert last[0] == 6


def test_when_a_series_has_one_period_then_its_scales_are_undefined():
    scale, scale_sq, last = scales(panel_of({"A": [5.0], "B": [np.nan, np.nan]}), 7)
    assert np.isnan(scale).all()
    assert np.isnan(scale_sq).all()
    assert last[0] == 5
    assert np.isnan(last[1])


def test_when_shapes_do_not_fit_then_the_result_is_refused():
    good = from_arrays([[1, 2]], [[1, 2]])
    with pytest.raises(DataError, match="do not fit"):
        FoldResult("m", good.fold, good.forecast, np.zeros((1, 3)), good.scale, good.scale_sq, good.last)


def test_when_the_forecast_is_of_another_origin_then_the_result_is_refused():
    good = from_arrays([[1, 2]], [[1, 2]], cutoff=5)
    with pytest.raises(DataError, match="another origin"):
        FoldResult("m", Fold(6, 2), good.forecast, good.actuals, good.scale, good.scale_sq, good.last)


def test_when_a_row_was_not_made_then_scoring_it_is_refused_by_name():
    result = from_arrays([[1, 2], [3, 4]], [[1, 2], [np.nan, np.nan]])
    with pytest.raises(DataError, match="S001"):
        result.require_complete()


def test_when_another_model_made_a_row_then_it_counts_as_fell_back():
    result = from_arrays([[1, 2]], [[1, 2]], model="xgboost")
    assert result.n_fell_back == 0
    other = FoldResult("lstm", result.fold, result.forecast, result.actuals, result.scale, result.scale_sq, result.last)
    assert other.n_fell_back == 1


def test_when_history_is_a_frame_then_ids_stay_in_order():
    assert pd.Index(sparse_panel().ids).is_monotonic_increasing
