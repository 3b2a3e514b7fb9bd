"""Unusual demand: fast limits beside slow ones, and capping that never looks past the history."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.outliers import OutlierSettings, cap, flag, limits
from demand.panel import Floats, Panel
from tests.strategies import panels

METHODS = ["iqr", "zscore", pytest.param("isolation_forest", marks=pytest.mark.slow)]  # scikit-learn is slow to import


def panel_of(*series: list[float]) -> Panel:
    lengths = np.array([len(values) for values in series])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.array([f"s{i}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate([np.array(s, dtype=float) for s in series]), 1000, "D")


def slow_limits(y: Floats, method: str, threshold: float) -> tuple[float, float]:
    """One series with numpy's own quantiles."""
    known = y[~np.isnan(y)]
    if method == "zscore":
        if len(known) < 4 or known.std(ddof=1) == 0:
            return -math.inf, math.inf
        return known.mean() - threshold * known.std(ddof=1), known.mean() + threshold * known.std(ddof=1)
    for values in (known, known[known != 0]):
        if len(values) >= 4:
            first, third = np.quantile(values, [0.25, 0.75])
            if third > first:
                low, high = first - threshold * (third - first), third + threshold * (third - first)
                return (low, high) if values is known else (min(low, 0.0), max(high, 0.0))
    return -math.inf, math.inf


@pytest.mark.parametrize("method", ["iqr", "zscore"])
@given(panel=panels(), threshold=st.sampled_from([0.5, 1.5, 3.0]))
def test_when_limits_are_made_for_the_fleet_then_they_equal_the_slow_twin(
    panel: Panel, threshold: float, method: str
) -> None:
    settings = OutlierSettings(outlier_method=method, outlier_threshold=threshold)  # type: ignore[arg-type]
    low, high = limits(panel, settings)
    for i in range(panel.n_series):
        expected = slow_limits(panel.series(i), method, threshold)
        assert (low[i], high[i]) == pytest.approx(expected)


def test_when_most_periods_sell_nothing_then_limits_come_from_what_was_sold() -> None:
    sold = [0.0] * 90 + [4.0, 5.0, 6.0, 5.0, 4.0, 6.0, 5.0, 4.0, 5.0, 500.0]
    panel = panel_of(sold)
    assert np.flatnonzero(flag(panel, OutlierSettings())).tolist() == [99]


@pytest.mark.parametrize("method", METHODS)
def test_when_nothing_can_be_said_then_nothing_is_flagged(method: str) -> None:
    panel = panel_of([5.0] * 30, [0.0] * 30, [7.0], [1.0, np.nan, 3.0], [np.nan] * 5)
    assert not flag(panel, OutlierSettings(outlier_method=method)).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_when_one_order_is_huge_then_it_is_flagged_and_capping_moves_only_it(method: str) -> None:
    rng = np.random.default_rng(1)
    usual = [list(10 + rng.normal(size=60)) for _ in range(5)]
    usual[2][40] = 900.0
    panel = panel_of(*usual)
    settings = OutlierSettings(outlier_method=method, outlier_action="cap")  # type: ignore[arg-type]
    flagged = flag(panel, settings)
    assert flagged[2 * 60 + 40]
    capped = cap(panel, settings)
    assert np.array_equal(capped.y[~flagged], panel.y[~flagged])
    assert capped.y[2 * 60 + 40] < 900.0
    assert panel.y[2 * 60 + 40] == 900.0  # the actuals stay


def test_when_detection_is_off_or_only_flags_then_the_history_is_untouched() -> None:
    panel = panel_of([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 900.0])
    assert cap(panel, OutlierSettings()) is panel
    off = OutlierSettings(outlier_detection=False, outlier_action="cap")
    assert not flag(panel, off).any()
    assert cap(panel, off) is panel


def test_when_the_threshold_rises_then_fewer_are_flagged() -> None:
    panel = panel_of(list(np.random.default_rng(2).gamma(1.0, 10.0, 500)))
    counts = [int(flag(panel, OutlierSettings(outlier_threshold=t)).sum()) for t in (0.5, 1.5, 3.0, 50.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0


@pytest.mark.parametrize("method", METHODS)
def test_when_the_future_is_rewritten_then_the_capped_history_stays(small_panel: Panel, method: str) -> None:
    settings = OutlierSettings(outlier_method=method, outlier_action="cap")  # type: ignore[arg-type]
    cutoff = small_panel.end - 30
    later = small_panel.periods > cutoff
    poisoned = replace(small_panel, y=np.where(later, small_panel.y * 1e6 + 7, small_panel.y))
    assert np.array_equal(cap(small_panel.until(cutoff), settings).y, cap(poisoned.until(cutoff), settings).y)
