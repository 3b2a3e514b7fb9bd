"""Whole pieces: found whatever the unit is, rounded without crossing, never seen in money."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.grain import in_pieces, made_whole, piece
from evaluation.intervals import Calibration
from tests.evaluation.made import forecast_of, panel_of

LEVELS = (0.1, 0.5, 0.9)


def counts(rng, n=8, length=60):
    return {f"S{i}": rng.poisson(0.7, length).astype(float) for i in range(n)}


@pytest.mark.parametrize("unit", [1.0, 12.0, 0.453592, 1 / 3])
def test_when_demand_is_counted_then_the_piece_is_one_unit_whatever_the_unit_is(unit):
    panel = panel_of({name: y * unit for name, y in counts(np.random.default_rng(0)).items()})
    assert piece(panel) == pytest.approx(unit)
    assert in_pieces(panel, piece(panel)).all()


def test_when_demand_is_money_or_nothing_then_there_is_no_piece():
    rng = np.random.default_rng(1)
    assert piece(panel_of({f"S{i}": rng.gamma(2.0, 50.0, 60) for i in range(5)})) == 0.0
    nothing = panel_of({"A": np.zeros(20)})
    assert piece(nothing) == 0.0
    assert not in_pieces(nothing, 0.0).any()
    assert not in_pieces(nothing, 1.0).any()


def test_when_single_amounts_were_filled_then_the_pieces_are_still_seen_and_a_series_in_metres_is_left_alone():
    rng = np.random.default_rng(2)
    made = counts(rng, n=12, length=200)
    made["S0"][50] = 1.37
    made["METRES"] = rng.gamma(2.0, 3.0, 200)
    panel = panel_of(made)
    assert piece(panel) == 1.0
    assert in_pieces(panel, 1.0).tolist() == [name != "METRES" for name in panel.ids]


@given(
    st.lists(st.lists(st.floats(0, 50), min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from([1.0, 0.25, 6.0]),
)
def test_when_quantiles_are_made_whole_then_they_are_near_do_not_cross_and_stay_so(rows, size):
    quantiles = np.sort(np.array(rows), axis=1)[:, None]
    whole = made_whole(quantiles, LEVELS, size, np.ones(len(rows), dtype=bool))
    np.testing.assert_allclose(whole / size, np.round(whole / size))
    assert (np.diff(whole, axis=-1) >= 0).all()
    assert (whole >= 0).all()
    assert (np.abs(whole - quantiles) <= 0.65 * size + 1e-9).all()
    np.testing.assert_array_equal(made_whole(whole, LEVELS, size, np.ones(len(rows), dtype=bool)), whole)
    np.testing.assert_array_equal(made_whole(quantiles, LEVELS, size, np.zeros(len(rows), dtype=bool)), quantiles)


def test_when_the_unit_changes_then_the_forecast_changes_by_it_alone():
    made = counts(np.random.default_rng(3))
    levels = np.array([0.3, 0.6, 2.4])
    found = []
    for unit in (1.0, 7.3):
        panel = panel_of({name: y * unit for name, y in made.items()})
        mean = np.ones((panel.n_series, 4)) * unit
        forecast = forecast_of(panel, mean, mean[:, :, None] * levels, levels=LEVELS)
        learned = Calibration.learn(LEVELS, [], panel)
        again = Calibration.from_json(learned.as_json())
        np.testing.assert_array_equal(
            again.applied(forecast, panel).quantiles, learned.applied(forecast, panel).quantiles
        )
        found.append(learned.applied(forecast, panel).quantiles / unit)
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_array_equal(found[0][0, 0], [0.0, 0.0, 2.0])


def test_when_a_series_is_asked_alone_then_it_is_made_whole_as_in_its_fleet():
    panel = panel_of({**counts(np.random.default_rng(4)), "TWOS": np.tile([0.0, 2.0, 4.0], 20)})
    learned = Calibration.learn(LEVELS, [], panel)
    row = int(panel.index_of(np.array(["TWOS"]))[0])
    mean = np.full((panel.n_series, 3), 1.4)
    together = learned.applied(forecast_of(panel, mean, levels=LEVELS), panel).quantiles[row]
    one = panel.take([row])
    np.testing.assert_array_equal(
        learned.applied(forecast_of(one, mean[:1], levels=LEVELS), one).quantiles[0], together
    )


def test_when_the_future_is_rewritten_then_the_piece_does_not_move():
    panel = panel_of(counts(np.random.default_rng(5)))
    later = replace(panel, y=np.where(panel.periods > panel.end - 10, panel.y * 1e6 + 0.5, panel.y))
    assert piece(later.until(panel.end - 10)) == piece(panel.until(panel.end - 10))


def test_when_a_release_was_made_before_pieces_were_known_then_its_intervals_are_read():
    stored = {key: value for key, value in Calibration(LEVELS, None).as_json().items() if key != "piece"}
    assert Calibration.from_json(stored).piece == 0.0
