"""The exact search against a walk over every quantity, day and path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from demand.errors import DataError
from models.inventory.replay import Window
from models.inventory.search import chunks, optimum, price, reachable, search, window_days
from tests.models.inventory.made import cheapest, items_of, one_item, walked


@settings(max_examples=60, deadline=None)
@given(one_item())
def test_when_searched_then_no_quantity_that_can_be_ordered_is_better(drawn):
    item, days = drawn
    window = Window.of(item, days[None])
    best = optimum(item, window)
    cost, fill, reached = cheapest(item, days)
    assert bool(best.reached[0]) == bool(reachable(item, window)[0]) == reached
    assert best.outcome.cost[0] == pytest.approx(cost, abs=1e-7)
    quantity = best.quantity[0]
    assert quantity == 0 or (quantity >= item.moq[0] and quantity / item.lot[0] == round(quantity / item.lot[0]))
    if not reached:
        assert best.outcome.fill[0] == pytest.approx(fill, abs=1e-9)
    less = quantity - item.lot[0]
    if reached and less > 0 and less >= item.moq[0]:  # why not one lot less?
        cost_less, fill_less = walked(item, days, less)
        if best.binding[0]:
            assert fill_less < item.service[0]
        else:
            assert cost_less >= cost - 1e-7
    assert not best.binding[0] or (reached and quantity > 0)


@settings(max_examples=40, deadline=None)
@given(one_item())
def test_when_replayed_then_costs_are_those_of_a_walk_over_days(drawn):
    item, days = drawn
    window = Window.of(item, days[None])
    for quantity in (0.0, 1.0, 2.5, 9.0):
        outcome = window.outcome(item, np.array([quantity]))
        cost, fill = walked(item, days, quantity)
        assert outcome.cost[0] == pytest.approx(cost, abs=1e-9)
        assert outcome.fill[0] == pytest.approx(fill, abs=1e-9)


def test_when_worked_by_hand_then_the_figures_agree():
    # 2 a day for 4 days, 3 on the shelf, lead time 2: day 1 sells 2, day 2 sells 1 and loses 1; 4 units meet the rest.
    item = items_of(1, position=3, lead_days=2, holding=365.0, ordering=10, stockout=4, reliability=1, service=0.8)
    best = optimum(item, Window.of(item, np.full((1, 1, 4), 2.0)))
    assert best.quantity.tolist() == [4.0]
    assert best.outcome.cost[0] == pytest.approx(10 + 1 + 2 + 4)  # the order, a unit on day 1, two on day 3, one short
    assert best.outcome.fill[0] == pytest.approx(7 / 8)


def test_when_cut_into_chunks_then_nothing_changes():
    rng = np.random.default_rng(3)
    items = items_of(30, lead_days=rng.integers(0, 6, 30), position=rng.integers(-2, 9, 30).astype(float))
    days = rng.poisson(0.4, size=(30, 8, 12)).astype(float)
    whole = search(items, lambda rows, length: days[rows, :, :length], 6, 8)
    small = search(items, lambda rows, length: days[rows, :, :length], 6, 8, memory_mb=0.02)
    assert len(chunks(window_days(items, 6), 8, 0.02)) > len(chunks(window_days(items, 6), 8))
    assert np.array_equal(whole.quantity, small.quantity)
    assert np.array_equal(whole.outcome.cost, small.outcome.cost)
    again = price(items, whole.quantity, lambda rows, length: days[rows, :, :length], 6, 8)
    assert np.allclose(again.cost, whole.outcome.cost)


def test_when_demand_is_not_a_number_then_it_is_refused():
    with pytest.raises(DataError, match="finite"):
        Window.of(items_of(1), np.full((1, 2, 20), np.nan))


def test_when_an_item_cannot_be_then_it_is_named():
    with pytest.raises(DataError, match="lot is out of its range"):
        items_of(2, lot=[1.0, 0.0])
