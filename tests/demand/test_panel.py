"""The panel's rules on small, hand-made tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demand.errors import CalendarError, DataError, SchemaError
from demand.panel import Panel


def rows(*cells: tuple[str, str, float], **columns: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame(cells, columns=["unique_id", "ds", "y"]).assign(**columns)
    return frame.assign(ds=pd.to_datetime(frame["ds"]))


NAN = float("nan")
GAPPY = rows(("b", "2024-01-03", 3.0), ("a", "2024-01-01", 1.0), ("a", "2024-01-04", 4.0))


def test_when_periods_have_no_row_then_they_are_zero_demand_up_to_the_panels_end():
    panel = Panel.from_frame(GAPPY, "D", unit="yds")
    assert list(panel.ids) == ["a", "b"]
    assert panel.series(0).tolist() == [1.0, 0.0, 0.0, 4.0]
    assert panel.series(1).tolist() == [3.0, 0.0]  # b ends with the panel, not with its last row
    assert panel.lengths.tolist() == [4, 2]
    assert str(panel.calendar.dates([panel.end])[0])[:10] == "2024-01-04"
    assert panel.unit == "yds"


def test_when_gaps_are_unknown_then_they_are_nan():
    np.testing.assert_array_equal(Panel.from_frame(GAPPY, "D", gaps="unknown").y, [1, NAN, NAN, 4, 3, NAN])


def test_when_gaps_are_refused_then_the_error_counts_them():
    with pytest.raises(CalendarError, match="periods without a row") as caught:
        Panel.from_frame(GAPPY, "D", gaps="raise")
    assert caught.value.facts["count"] == 3


def test_when_a_cell_is_blank_then_it_is_unknown_and_not_a_gap():
    frame = rows(("a", "2024-01-01", 1.0), ("a", "2024-01-02", NAN), ("a", "2024-01-04", 4.0))
    np.testing.assert_array_equal(Panel.from_frame(frame, "D").y, [1, NAN, 0, 4])


def test_when_rows_follow_the_last_known_demand_then_they_plan_the_future_columns():
    frame = rows(
        ("a", "2024-01-01", 1.0), ("a", "2024-01-02", 2.0), ("a", "2024-01-03", NAN), ("a", "2024-01-04", NAN),
        ("b", "2024-01-02", 5.0), ("c", "2024-01-04", NAN),
        promotion=[0.0, 1.0, 0.5, 0.0, 1.0, 1.0],
    )  # fmt: skip
    panel = Panel.from_frame(frame, "D", future=("promotion",))
    assert list(panel.ids) == ["a", "b"]  # of c only a plan is known: it has no history
    assert panel.ahead == 2
    assert panel.y.tolist() == [1.0, 2.0, 5.0]
    # b has no planned rows: its last value is repeated
    assert panel.future["promotion"].tolist() == [0.0, 1.0, 0.5, 0.0, 1.0, 1.0, 1.0]
    assert panel.window(panel.end + 1, 2, "promotion").tolist() == [[0.5, 0.0], [1.0, 1.0]]
    assert Panel.from_frame(frame, "D").ahead == 0


def test_when_a_past_column_has_holes_then_the_last_value_is_repeated_and_never_a_later_one():
    frame = rows(
        ("a", "2024-01-01", 1.0), ("a", "2024-01-02", 1.0), ("a", "2024-01-04", 1.0), ("b", "2024-01-03", 1.0),
        price=[NAN, 2.0, 3.0, NAN],
    )  # fmt: skip
    panel = Panel.from_frame(frame, "D", past=("price",))
    np.testing.assert_array_equal(panel.past["price"], [NAN, 2, 2, 3, NAN, NAN])


def test_when_static_rows_are_given_then_they_follow_the_ids_and_strangers_are_left_out():
    static = pd.DataFrame({"unique_id": ["z", "b", "a"], "gauge": [1, 20, 30], "yarn": ["x", "30/1", "20/1"]})
    panel = Panel.from_frame(GAPPY, "D", static=static)
    assert panel.static["gauge"].tolist() == [30, 20]
    assert panel.static["yarn"].tolist() == ["20/1", "30/1"]


@pytest.mark.parametrize(
    ("static", "message"),
    [
        (pd.DataFrame({"style": ["a"]}), "has no unique_id"),
        (pd.DataFrame({"unique_id": ["a", "a"], "gauge": [1, 2]}), "names a series twice"),
    ],
)
def test_when_the_static_table_is_broken_then_it_is_refused(static, message):
    with pytest.raises(SchemaError, match=message):
        Panel.from_frame(GAPPY, "D", static=static)


@pytest.mark.parametrize(
    ("frame", "kind", "message"),
    [
        (GAPPY.drop(columns="y"), SchemaError, "columns are missing"),
        (GAPPY.iloc[:0], SchemaError, "no rows"),
        (GAPPY.assign(y=np.inf), SchemaError, "infinite"),
        (GAPPY.assign(y=NAN), SchemaError, "no value at all"),
        (GAPPY.assign(unique_id=pd.Series(["a", None, "b"])), SchemaError, "unique_id is missing"),
        (GAPPY.assign(unique_id=["a", "a\0", "b"]), SchemaError, "NUL"),
        (GAPPY.assign(ds=GAPPY["ds"].where(np.array([False, True, True]))), CalendarError, "dates are missing"),
        (GAPPY.assign(ds=[20240103, 20240101, 20240104]), CalendarError, "plain numbers"),
        (GAPPY.assign(ds=["2024-01-03", "soon", "2024-01-04"]), CalendarError, "cannot be read"),
        (GAPPY.assign(ds=GAPPY["ds"].dt.tz_localize("UTC")), CalendarError, "time zone"),
        (pd.concat([GAPPY, GAPPY.iloc[:1]]), CalendarError, "several rows"),
    ],
)
def test_when_the_table_is_not_fit_then_it_is_refused_with_the_reason(frame, kind, message):
    with pytest.raises(kind, match=message):
        Panel.from_frame(frame, "D")


def test_when_planned_rows_are_doubled_then_they_are_refused_too():
    frame = rows(
        ("a", "2024-01-01", 1.0), ("a", "2024-01-02", NAN), ("a", "2024-01-02", NAN), promotion=[0.0, 1.0, 0.0]
    )
    with pytest.raises(CalendarError, match="several rows"):
        Panel.from_frame(frame, "D", future=("promotion",))


def test_when_dates_are_off_the_calendar_then_the_first_ones_are_named():
    with pytest.raises(CalendarError, match="off the calendar") as caught:
        Panel.from_frame(GAPPY, "W-MON")
    assert caught.value.facts == {"freq": "W-MON", "count": 2, "first": ["2024-01-03", "2024-01-04"]}


def test_when_ids_look_like_numbers_then_their_text_is_kept():
    frame = rows(("00123", "2024-01-01", 1.0), ("123", "2024-01-01", 2.0), ("1e5", "2024-01-01", 3.0))
    assert list(Panel.from_frame(frame, "D").ids) == ["00123", "123", "1e5"]


@pytest.mark.parametrize("group", ["past", "future", "static"])
def test_when_a_column_does_not_fit_then_the_panel_cannot_be_made(group):
    with pytest.raises(DataError, match=f"a {group} column does not fit"):
        Panel(np.array(["a"]), np.array([0, 2]), np.zeros(2), 10, "D", **{group: {"x": np.zeros(5)}})


def test_when_arrays_disagree_then_the_panel_cannot_be_made():
    with pytest.raises(DataError, match="does not fit the ids"):
        Panel(np.array(["a", "b"]), np.array([0, 2]), np.zeros(2), 10, "D")
    with pytest.raises(DataError, match="does not fit indptr"):
        Panel(np.array(["a"]), np.array([0, 3]), np.zeros(2), 10, "D")


def test_when_nothing_had_started_at_the_cutoff_then_the_panel_is_empty_and_still_answers(small_panel):
    empty = small_panel.until(int(small_panel.start.min()) - 1)
    assert empty.n_series == 0
    assert empty.tail(7).shape == (0, 7)
    assert empty.with_blanks_filled().y.shape == (0,)
    assert list(empty.index_of(np.array(["smooth"]))) == [-1]
    assert len(empty.to_frame()) == 0
    assert list(empty.batches(3)) == []


def test_when_filling_blanks_then_neighbours_decide_and_the_edges_are_held():
    frame = rows(("a", "2024-01-01", NAN), ("a", "2024-01-02", 2.0), ("a", "2024-01-03", NAN), ("a", "2024-01-04", NAN),
                 ("a", "2024-01-05", 8.0), ("b", "2024-01-04", NAN), ("b", "2024-01-05", NAN))  # fmt: skip
    panel = Panel.from_frame(frame, "D")
    assert panel.with_blanks_filled().y.tolist() == [2, 2, 4, 6, 8, 0, 0]
    assert panel.with_blanks_filled("forward_fill").y.tolist() == [2, 2, 2, 2, 8, 0, 0]
    # what lies after the cutoff is not known at the cutoff
    assert panel.until(panel.end - 1).with_blanks_filled().y.tolist() == [2, 2, 2, 2, 0]


def test_when_every_series_is_taken_then_nothing_is_copied(small_panel):
    assert small_panel.take(np.arange(small_panel.n_series)) is small_panel
    assert small_panel.until(small_panel.end) is small_panel
    assert small_panel.with_blanks_filled() is small_panel


def test_when_the_shared_panels_are_used_then_they_hold_the_awkward_series(small_panel, weekly_panel, monthly_panel):
    for panel in (small_panel, weekly_panel, monthly_panel):
        y = {str(name): panel.series(i) for i, name in enumerate(panel.ids)}
        assert not y["all_zero"].any()
        assert len(y["length_1"]) == 1
        assert np.ptp(y["constant"]) == 0
        assert np.isfinite(panel.y).all()
        assert list(panel.ids) == sorted(y)
        assert str(panel.calendar.dates([panel.end + 1])[0])[:10] > "2025-08-31"
        with pytest.raises(ValueError, match="read-only"):
            panel.y[0] = 1.0
    assert small_panel.n_series == 12
    assert (weekly_panel.freq, monthly_panel.freq) == ("W-SUN", "MS")
