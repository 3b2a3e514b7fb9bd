"""Fleets that break formulas: every answer stays strict JSON of its declared form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from demand.calendar import Calendar
from demand.panel import Panel
from models.registry import Registry
from serve_app.answers.columns import as_bytes
from serve_app.routes import ROUTES
from tests.serve_app.conftest import TODAY
from tests.serve_app.examples import desk_of
from tests.serve_app.made import fleet_panel, make_release

pytestmark = pytest.mark.slow

PAIRS = {
    "/api/ml-forecast-detailed": [
        *([("detail", d), ("format", f)] for d in ("full", "summary", "metrics") for f in ("json", "report", "chart")),
        [("style", "S000")], [("model", "arima")], [("horizon", "7")], [("compare", "stock")], [("source", "hybrid")],
    ],
    "/api/styles/{style:path}": [[("style", "S000")], [("style", "S001"), ("model", "arima")]],
    "/api/releases/compare": [[("release", "1"), ("against", "1")]],
}  # fmt: skip


def panel_of(rows, freq="D"):
    """A panel of these histories, all ending on one day."""
    lengths = np.array([len(row) for row in rows])
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    end = int(Calendar(freq).containing(np.datetime64("2025-08-31")))
    ids = np.array([f"S{i:03d}" for i in range(len(rows))])
    return Panel(ids, indptr, np.concatenate(rows).astype(np.float64), end, Calendar(freq).freq)


def single_sale(n, at):
    y = np.zeros(n)
    y[at] = 5.0
    return y


ODD = {
    "zero": lambda: panel_of([np.zeros(200)] * 3),
    "one_period": lambda: panel_of([np.ones(200), np.array([4.0]), np.array([0.0])]),
    "single_sale": lambda: panel_of([single_sale(200, 10), single_sale(200, 199), np.zeros(200)]),
    "negative": lambda: panel_of([np.full(200, -2.0), np.tile([3.0, -5.0], 100)]),
    "constant": lambda: panel_of([np.full(200, 7.0)] * 2),
    "huge": lambda: panel_of([np.full(200, 1e100), np.full(200, 1e-100)]),
    "weekly": lambda: fleet_panel(4, "W-MON"),
    "monthly": lambda: fleet_panel(4, "MS"),
}


@pytest.fixture(scope="module", params=sorted(ODD))
def desk(request, tmp_path_factory):
    return desk_of(Registry(make_release(tmp_path_factory.mktemp(request.param), panel=ODD[request.param]())))


@pytest.mark.parametrize("one", ROUTES, ids=lambda one: one.path)
def test_when_a_fleet_is_odd_then_every_answer_is_strict_json_of_its_form(desk, one):
    for pairs in PAIRS.get(one.path, [[]]):
        answer = one.answer(desk if one.asks == "releases" else desk.book(1), one.read(pairs), TODAY)
        json.dumps(answer, allow_nan=False)
        TypeAdapter(one.response).validate_json(as_bytes(answer), strict=True)
        if isinstance(answer.get("models"), list) and "status" in answer["models"][0]:
            assert [row["status"] for row in answer["models"]].count("primary") == 1
