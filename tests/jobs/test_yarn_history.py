"""What the styles' history needs of each yarn: what is not known stays so, whatever came later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.company.joins import Explosion
from demand.panel import Panel
from jobs.inventory_training import yarn_history
from jobs.order_batches import OfStyles, without_forecast, yarn_paths
from models.base import Forecast

STYLES, YARNS = np.array(["A", "B", "C"]), np.array(["Y1", "Y2"])
# A takes half a pound of both yarns, B two pounds of Y2, C nothing that is known.
LINKS = Explosion(STYLES, YARNS, np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, 0.5, 2.0]),
                  np.zeros(3, dtype=bool), ())  # fmt: skip


def panel(*series):
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in series])]).astype(np.int64)
    return Panel(STYLES, indptr, np.concatenate(series).astype(float), 100, "W-MON")


def test_when_a_style_is_not_known_then_its_yarns_are_not_either_and_no_later_demand_is_seen():
    found = yarn_history(panel([2, np.nan, 4, -6], [1, 3], [np.nan] * 4), LINKS, "lbs")
    assert (found.ids.tolist(), found.end, found.unit) == (["Y1", "Y2"], 100, "lbs")
    assert found.lengths.tolist() == [4, 4]
    # B begins with the third period: before it nothing is needed of it, which is known.
    np.testing.assert_array_equal(found.y, [1, np.nan, 2, 0, 1, np.nan, 4, 6])
    other = yarn_history(panel([2, np.nan, 400, 0], [100, 300], [np.nan] * 4), LINKS, "lbs")
    cut = (found.until(98), other.until(98))
    np.testing.assert_array_equal(cut[0].y, cut[1].y)
    np.testing.assert_array_equal(cut[0].with_blanks_filled().y, cut[1].with_blanks_filled().y)


def test_when_a_style_has_no_forecast_then_its_need_is_said_to_be_missing():
    history = replace(panel([2, 3], [1, 3], [50, 50]), unit="yds")
    mean = np.array([[1.0], [np.nan], [np.nan]])
    forecast = Forecast(STYLES, 100, "W-MON", (0.5,), mean, mean[..., None], np.array(["arima", "", ""]),
                        np.zeros(3, dtype=np.int64), np.full(3, ""), np.full(3, ""))  # fmt: skip
    (said,) = without_forecast(LINKS, history, forecast)
    assert "no forecast of 1 styles" in said  # C has none either, and is made of nothing
    assert "4 of 109 yds" in said
    assert without_forecast(LINKS, history, replace(forecast, made_by=np.full(3, "arima"))) == ()
    needed = yarn_paths(LINKS, OfStyles(history, forecast, 2), 1, 4)
    assert np.isfinite(needed).all()


@pytest.mark.parametrize("length", [1, 5])
def test_when_all_is_known_then_it_is_the_sum_over_the_links(length):
    y = np.random.default_rng(3).poisson(4.0, (3, length)).astype(float)
    found = yarn_history(panel(*y), LINKS, "lbs")
    np.testing.assert_allclose(found.y.reshape(2, length), [0.5 * y[0], 0.5 * y[0] + 2 * y[1]])
