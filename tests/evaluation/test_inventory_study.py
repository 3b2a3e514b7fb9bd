"""The study of the order surrogate: what is left out is counted, and no history is filled from what came later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demand.errors import FitError
from demand.panel import Panel
from evaluation import inventory_study
from evaluation.inventory_study import priced_by_service, study
from models.base import Forecast, ForecastSpec
from models.inventory import widths
from models.inventory.questions import ask
from models.inventory.search import price
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import OrderSurrogate
from tests.models.inventory.made import items_of

SETTINGS = InventorySettings(paths=4, review_days=7)
N, WEEKS = 12, 60


def made(unknown=()):
    y = np.random.default_rng(5).poisson(6.0, (N, WEEKS)).astype(float)
    for series, period in unknown:
        y[series, period] = np.nan
    items = items_of(N, lead_days=7)
    return Panel(items.ids, np.arange(N + 1) * WEEKS, y.ravel(), 2800, "W-MON"), items


def told(unknown=()):
    return study(*made(unknown), OrderSurrogate(n_estimators=3), SETTINGS, target=0.5, min_rows=5).told


def test_when_items_are_cut_and_windows_are_unknown_then_both_are_counted(monkeypatch):
    whole = told()
    assert whole["items"]["in"] == N
    assert whole["decisions"]["judged"] == {"asked": whole["n"], "priced": whole["n"], "not_known": 0}
    holes = told([(series, WEEKS - 2) for series in range(0, N, 2)])
    judged = holes["decisions"]["judged"]
    assert judged["asked"] == whole["n"]
    assert judged["asked"] - judged["priced"] == judged["not_known"] > 0
    assert judged["priced"] == holes["n"]
    monkeypatch.setattr(inventory_study, "MOST_ITEMS", N - 3)
    few = told()["items"]
    assert (few["in"], few["not_drawn"], few["learned"] + few["judged"]) == (N, 3, N - 3)


def test_when_a_unit_short_costs_nothing_then_the_order_is_the_smallest_that_serves_as_wanted():
    panel, items = made()
    history = panel.until(panel.end - 5)
    asked = ask(history, np.arange(N), replace(items, position=np.full(N, 11.0)), SETTINGS)
    alone = priced_by_service(asked, SETTINGS)
    assert (alone.items.stockout == 0).all()
    assert (alone.optimum.quantity <= asked.optimum.quantity).all()
    ordered = alone.optimum.binding
    assert ordered.sum() > N / 3
    below = price(alone.items, alone.optimum.quantity - 1, asked.sample, SETTINGS.review_days, SETTINGS.paths)
    assert (alone.optimum.outcome.fill >= items.service - 1e-9)[ordered].all()
    assert (below.fill < items.service)[ordered].all()
    both = told()
    assert both["service_alone"]["n"] == both["n"]
    assert [row["policy"] for row in both["service_alone"]["policies"]] == ["exact", "surrogate", "clairvoyant"]


def test_when_nothing_that_followed_is_known_then_there_is_nothing_to_judge():
    with pytest.raises(FitError, match="not wholly known for any judged decision"):
        told([(series, period) for series in range(N) for period in range(WEEKS - 12, WEEKS)])


def foresee(known: Panel) -> Forecast:
    """Seasonal naive of a flat demand, with quantiles far too narrow for what comes."""
    mean = np.full((known.n_series, 6), 6.0)
    return Forecast.build(known, ForecastSpec(6, (0.1, 0.5, 0.9)), "made", mean, mean[:, :, None] * [0.9, 1.0, 1.1])


def test_when_widths_are_told_then_only_windows_that_training_saw_tell_them(monkeypatch):
    monkeypatch.setattr(widths, "FEWEST", 5)
    panel, items = made()
    ask_study = {"settings": SETTINGS, "target": 0.5, "min_rows": 5, "foresee": foresee}
    found = study(panel, items, OrderSurrogate(n_estimators=3), **ask_study).told
    assert len(found["widths"]) > 1
    assert max(found["widths"]) > 1.5
    first_judged = found["dates"]["judged"][0]
    after = panel.calendar.dates(np.arange(panel.end - WEEKS + 1, panel.end + 1)) > np.datetime64(first_judged)
    poisoned = replace(panel, y=np.where(np.tile(after, N), panel.y * 50, panel.y))
    again = study(poisoned, items, OrderSurrogate(n_estimators=3), **ask_study).told
    assert again["widths"] == found["widths"]
    assert told()["widths"] == []
