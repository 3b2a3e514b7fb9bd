"""Budgets of wall time, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.budget import Budget, seconds_of


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("said", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (45, 45), ("45", 45), (0.5, 0.5), (None, None)]
)
def test_when_a_budget_is_said_then_it_is_read_in_seconds(said, seconds):
    assert seconds_of(said) == seconds


@pytest.mark.parametrize("said", ["abc", "", "10 minutes", "-5m", 0, "0m", "1e3s", True, "m", "5d", float("inf"), []])
def test_when_a_budget_is_no_time_then_it_is_refused(said):
    with pytest.raises(ValueError, match=r"must be (a time|above 0)"):
        seconds_of(said)


def test_when_time_passes_then_less_is_left_and_never_less_than_nothing():
    clock = Clock()
    budget = Budget(100, clock=clock)
    assert (budget.left(), budget.left(0.5), budget.spent()) == (100, 50, 0)
    clock.now += 30
    assert (budget.left(), budget.left(0.5), budget.spent()) == (70, 20, 30)
    assert budget.moment(5) == 1035
    clock.now += 40
    assert (budget.left(), budget.left(0.5)) == (30, 0)
    clock.now += 40
    assert (budget.left(), budget.spent()) == (0, 110)


def test_when_seconds_are_kept_back_then_no_stage_gets_them():
    clock = Clock()
    budget = Budget(100, clock=clock)
    budget.keep_back(30)
    budget.keep_back(-1)
    assert (budget.left(), budget.left(0.5), budget.left(0.9)) == (70, 50, 70)
    clock.now += 60
    assert (budget.left(), budget.left(0.9)) == (10, 10)


def test_when_a_run_goes_on_then_what_was_spent_before_counts():
    clock = Clock()
    budget = Budget(100, spent_s=80, clock=clock)
    assert (budget.spent(), budget.left(), budget.left(0.5)) == (80, 20, 0)


@given(
    st.floats(1, 1e4), st.floats(0, 1e4), st.floats(0, 1), st.lists(st.floats(0, 100), max_size=5), st.floats(0, 1e4)
)
def test_when_any_part_is_used_up_then_total_and_reserve_are_never_exceeded(total, spent, share, kept, passed):
    clock = Clock()
    budget = Budget(total, spent, clock)
    for seconds in kept:
        budget.keep_back(seconds)
    clock.now += passed
    left = budget.left(share)
    assert left >= 0
    if left:
        assert budget.spent() + left + sum(kept) <= total + 1e-6
        assert budget.spent() + left <= share * total + 1e-6
