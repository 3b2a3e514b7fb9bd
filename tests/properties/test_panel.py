"""What holds for every panel, checked on random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.panel import ID, TARGET, TIME, Panel
from tests import twins
from tests.strategies import panels

cuts = st.integers(-35, 3)  # periods between the end of the panel and the cutoff


def assert_same(left: Panel, right: Panel) -> None:
    assert (left.end, left.freq, left.ahead, left.unit) == (right.end, right.freq, right.ahead, right.unit)
    np.testing.assert_array_equal(left.ids, right.ids)
    np.testing.assert_array_equal(left.indptr, right.indptr)
    np.testing.assert_array_equal(left.y, right.y)
    for group in ("past", "future", "static"):
        ours, theirs = getattr(left, group), getattr(right, group)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])


@given(panels(), cuts)
def test_when_a_panel_is_cut_then_it_holds_exactly_the_rows_up_to_the_cutoff(panel, cut):
    cutoff = panel.end + cut
    date = panel.calendar.dates([cutoff])[0]
    shorter = panel.until(cutoff)
    expected = twins.until_twin(twins.long_frame(panel), date)
    assert list(shorter.ids) == sorted(set(expected[ID]))
    if shorter.n_series:
        pd.testing.assert_frame_equal(twins.long_frame(shorter), expected)
        assert shorter.end == min(cutoff, panel.end)
    for name in panel.static:
        np.testing.assert_array_equal(shorter.static[name], panel.static[name][panel.index_of(shorter.ids)])
    for name in panel.future:
        before, after = twins.future_values(panel, name), twins.future_values(shorter, name)
        for unique_id in shorter.ids:
            pd.testing.assert_series_equal(after[str(unique_id)], before[str(unique_id)])


@given(panels(), cuts)
def test_when_the_future_is_rewritten_then_no_cut_panel_moves(panel, cut):
    cutoff = panel.end + cut
    later = panel.periods > cutoff
    poisoned = replace(
        panel,
        y=np.where(later, 1e6 + panel.y * 1e6, panel.y),
        past={name: np.where(later, -1.0, values) for name, values in panel.past.items()},
    )
    assert_same(poisoned.until(cutoff), panel.until(cutoff))
    filled = panel.until(cutoff).with_blanks_filled()
    assert_same(poisoned.until(cutoff).with_blanks_filled(), filled)


@given(panels(), cuts, cuts)
def test_when_a_panel_is_cut_twice_then_the_earlier_cutoff_decides(panel, one, other):
    twice = panel.until(panel.end + one).until(panel.end + other)
    assert_same(twice, panel.until(panel.end + min(one, other)))


@given(panels(), st.data())
def test_when_series_are_taken_then_only_their_rows_are_left_and_cutting_commutes(panel, data):
    chosen = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=panel.n_series, max_size=panel.n_series)))
    part = panel.take(chosen)
    assert list(part.ids) == list(panel.ids[chosen])
    if len(chosen):
        pd.testing.assert_frame_equal(
            twins.long_frame(part), twins.take_twin(twins.long_frame(panel), list(panel.ids[chosen]))
        )
        for name in panel.future:
            whole, own = twins.future_values(panel, name), twins.future_values(part, name)
            for unique_id in part.ids:
                pd.testing.assert_series_equal(own[str(unique_id)], whole[str(unique_id)])
    cutoff = panel.end + data.draw(cuts)
    kept = panel.until(cutoff)
    kept_rows = np.flatnonzero(np.isin(kept.ids, part.ids))
    assert_same(part.until(cutoff), kept.take(kept_rows))


@given(panels(), st.integers(-40, 10), st.integers(1, 20))
def test_when_a_window_is_asked_then_it_equals_looking_up_each_date(panel, first, n):
    first += panel.end
    dates = list(panel.calendar.dates(np.arange(first, first + n)))
    frame = twins.long_frame(panel)
    np.testing.assert_array_equal(panel.window(first, n), twins.window_twin(twins.by_series(frame), dates))
    for name in panel.past:
        expected = twins.window_twin(twins.by_series(frame, name), dates)
        np.testing.assert_array_equal(panel.window(first, n, name), expected)
    for name in panel.future:
        expected = twins.window_twin(twins.future_values(panel, name), dates)
        np.testing.assert_array_equal(panel.window(first, n, name), expected)
    np.testing.assert_array_equal(panel.tail(n), panel.window(panel.end - n + 1, n))


@given(panels(), st.integers(1, 7))
def test_when_a_panel_is_batched_then_the_batches_are_its_series_in_order(panel, size):
    batches = list(panel.batches(size))
    assert [batch.n_series for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert 1 <= batches[-1].n_series <= size
    joined = pd.concat([twins.long_frame(batch) for batch in batches], ignore_index=True)
    pd.testing.assert_frame_equal(joined, twins.long_frame(panel))


@given(panels(), st.sampled_from(["interpolate", "forward_fill"]))
def test_when_blanks_are_filled_then_pandas_agrees_and_known_values_stay(panel, method):
    filled = panel.with_blanks_filled(method)
    np.testing.assert_allclose(filled.y, twins.filled_twin(twins.long_frame(panel), method), rtol=1e-12, atol=1e-12)
    known = ~np.isnan(panel.y)
    np.testing.assert_array_equal(filled.y[known], panel.y[known])


@pytest.mark.parametrize("gaps", ["zero", "unknown"])
@given(panel=panels(columns=False), seed=st.integers(0, 2**32), kept=st.sampled_from([0.3, 0.7, 1.0]))
def test_when_rows_come_in_any_order_with_gaps_then_the_panel_is_the_regular_table(panel, seed, kept, gaps):
    rng = np.random.default_rng(seed)
    frame = twins.long_frame(panel)
    rows = frame[rng.random(len(frame)) < kept].sample(frac=1, random_state=rng)
    if not rows[TARGET].notna().any():
        return
    made = Panel.from_frame(rows, panel.freq, gaps=gaps)
    expected = twins.from_frame_twin(rows, panel.freq, gaps)
    pd.testing.assert_frame_equal(twins.long_frame(made), expected, check_freq=False)
    pd.testing.assert_frame_equal(made.to_frame(), expected, check_freq=False)


@given(panels())
def test_when_a_panel_becomes_a_table_then_periods_and_series_label_its_rows(panel):
    table = panel.to_frame()
    expected = twins.long_frame(panel)
    pd.testing.assert_frame_equal(table[list(expected.columns)], expected)
    np.testing.assert_array_equal(panel.calendar.dates(panel.periods), expected[TIME].to_numpy())
    assert list(panel.ids[panel.series_of]) == list(expected[ID])
    for name in panel.future:
        history = [v.iloc[: len(v) - panel.ahead].to_numpy() for v in twins.future_values(panel, name).values()]
        np.testing.assert_array_equal(table[name], np.concatenate(history))


@given(panels(), st.lists(st.text("ab1/", max_size=3)))
def test_when_ids_are_looked_up_then_positions_are_right_and_strangers_are_minus_one(panel, strangers):
    asked = np.array([*panel.ids, *strangers], dtype=str)
    own = {name: i for i, name in enumerate(panel.ids)}
    assert list(panel.index_of(asked)) == [own.get(name, -1) for name in asked]
