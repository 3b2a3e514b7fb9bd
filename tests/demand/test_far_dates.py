"""Wrong dates: one must not stretch every history, and a pause, a closing or a late style is no wrong date."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demand.errors import CalendarError
from demand.far_dates import isolated
from tests.demand.files import HEADER, ingested

FIRST = datetime.date(2026, 1, 1)
TODAY = datetime.date(2026, 11, 26)


def rows(styles: int, days: range | list[int]) -> str:
    return "".join(
        f"{FIRST + datetime.timedelta(days=d)},S{s},{d % 7 + 1}\n" for s in range(1, styles + 1) for d in days
    )


OK = HEADER + rows(5, range(40))


def read(folder: Path, content: str, today: datetime.date | None = TODAY, **more: Any) -> Any:
    return ingested(folder, content, today=today, **more)


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2026-04-20", "date far after the rest"),
        ("2026-09-10", "date far after the rest"),
        ("2027-02-09", "dated in the future"),
        ("2062-01-05", "dated in the future"),
        ("1926-01-05", "date far before the rest"),
    ],
)
def test_when_one_date_is_wrong_then_it_is_left_out_and_named_and_no_history_changes(
    tmp_path: Path, day: str, reason: str
) -> None:
    found = read(tmp_path, OK + f"{day},S1,5\n")
    assert found.report.left_out == {reason: 1}
    assert found.panel.y.tobytes() == read(tmp_path, OK).panel.y.tobytes()
    assert found.report.date["far_first"] == [f"S1 {day}"]
    told = " ".join(" ".join(found.report.summary_lines()).split())
    assert "Warning rows by date left out: 1" in told
    assert f"S1 {day}" in told


def test_when_several_dates_are_wrong_then_all_are_left_out_and_five_named(tmp_path: Path) -> None:
    wrong = "2026-04-20,S1,5\n2026-09-10,S2,5\n" + "".join(f"2027-0{m}-01,S3,{m}\n" for m in range(1, 8))
    found = read(tmp_path, OK + wrong)
    assert found.report.left_out == {"dated in the future": 7, "date far after the rest": 2}
    assert len(found.report.date["far_first"]) == 5
    assert found.report.last_period == "2026-02-09"


def test_when_far_dates_are_kept_or_refused_then_that_happens(tmp_path: Path) -> None:
    wrong = OK + "2026-04-20,S1,5\n"
    kept = read(tmp_path, wrong, cleaning={"far_dates": "keep"})
    assert kept.report.last_period == "2026-04-20"
    assert any("kept: 1 far after" in line for line in kept.report.summary_lines())
    with pytest.raises(CalendarError, match="S1 2026-04-20"):
        read(tmp_path, wrong, cleaning={"far_dates": "raise"})
    assert read(tmp_path, OK, cleaning={"far_dates": "raise"}).report.date["far_first"] == []


def test_when_the_date_of_the_data_is_given_then_later_rows_are_in_the_future(tmp_path: Path) -> None:
    found = read(tmp_path, OK, as_of="2026-02-07")
    assert found.report.left_out == {"dated in the future": 10}
    assert read(tmp_path, OK, today=datetime.date(2026, 2, 8)).report.left_out == {}  # tomorrow is no future yet
    assert read(tmp_path, OK, today=datetime.date(2026, 2, 7)).report.left_out == {"dated in the future": 5}
    # Dates that stand for others, as in data made anonymous: so many rows are no typing errors.
    shifted = read(tmp_path, OK, today=datetime.date(2026, 1, 10))
    assert (shifted.report.left_out, shifted.report.last_period) == ({}, "2026-02-09")
    assert "are dated after today and kept" in " ".join(shifted.report.summary_lines())
    with pytest.raises(CalendarError, match="every row is dated in the future"):
        read(tmp_path, OK, as_of="2025-12-01")


def test_when_periods_are_labelled_by_their_end_then_the_one_that_runs_is_not_in_the_future(tmp_path: Path) -> None:
    content = "unique_id,ds,y\nA,2026-01-31,1\nA,2026-02-28,2\nA,2026-03-31,3\nA,2026-04-30,4\n"
    found = read(tmp_path, content, as_of="2026-03-10")
    assert found.report.left_out == {"dated in the future": 1}
    assert found.panel.y.tolist() == [1.0, 2.0, 3.0]


def test_when_plans_lie_ahead_then_they_are_not_sales_in_the_future(tmp_path: Path) -> None:
    content = "Date,Style,Qty,Promo\n2026-01-01,A,5,0\n2026-01-02,A,6,1\n2026-01-03,A,,1\n2026-01-09,A,,1\n"
    found = read(tmp_path, content, as_of="2026-01-02", columns={"future": ("Promo",)})
    assert found.panel.ahead == 7
    assert found.report.left_out == {}


SPARSE = np.cumsum(np.random.default_rng(1).geometric(0.05, 300)).tolist()


@pytest.mark.parametrize(
    "content",
    [
        rows(5, [*range(40), *range(110, 150)]),  # all stop for months and come back
        rows(200, range(0, 120)) + rows(200, [200]),  # the first day after a pause
        rows(100, range(100)) + rows(2, range(200, 210)),  # most end, two styles are sold on
        rows(4, range(400)) + rows(1, range(500, 504)),
        rows(1, SPARSE),
        rows(3, list(range(0, 2000, 91))),  # four times a year
        rows(50, [*range(90), *range(365, 455), *range(730, 740)]),  # three seasons
    ],
)
def test_when_a_fleet_pauses_or_goes_on_in_part_then_no_row_is_left_out(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, HEADER + content, today=datetime.date(2090, 1, 1))
    assert found.report.left_out == {}


@pytest.mark.parametrize("seed", range(20))
def test_when_dates_are_mirrored_then_before_and_after_change_places(seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = np.concatenate([rng.integers(0, 200, 400), rng.integers(300, 900, rng.integers(0, 4))])
    style = rng.integers(0, 40, len(days))
    days = days.astype("datetime64[D]")
    early, late = isolated(days, style)
    mirrored = (-days.astype(np.int64)).astype("datetime64[D]")
    assert [mask.tolist() for mask in isolated(mirrored, style)] == [late.tolist(), early.tolist()]
    assert not early.any()
    assert late.tolist() == (days.astype(np.int64) >= 300).tolist()
