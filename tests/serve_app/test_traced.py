"""Every number of every answer lies in a stored file, or is a figure of stored ones that a test recomputes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.registry import Registry
from serve_app.routes import ROUTES
from tests.serve_app.conftest import make_ensemble_release
from tests.serve_app.examples import answer_of, desk_of, tune
from tests.serve_app.looked import look_at, propose_at
from tests.serve_app.made import growing_panel

SMALL = 31  # whole numbers up to here are counts, places and days that any file holds: they prove nothing


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    root = tmp_path_factory.mktemp("traced")
    make_ensemble_release(root)
    registry_root = make_ensemble_release(root, panel=growing_panel(seed=4), run_id="s")
    look_at(registry_root, growing_panel(seed=4), days=10)
    propose_at(registry_root, growing_panel(seed=4))
    tune(root)
    return desk_of(Registry(registry_root))


@pytest.fixture(scope="module")
def stored(desk):
    """Every number of every stored file, ascending."""
    found: list[np.ndarray] = []
    for path in sorted(desk.storage_root.rglob("*")):
        if path.suffix == ".parquet":
            for column in pq.read_table(path).columns:
                found.append(numbers_in(column.combine_chunks().to_numpy(zero_copy_only=False)))
        elif path.suffix == ".json":
            found.append(np.array([value for _, value in leaves(json.loads(path.read_text()))], dtype=float))
    return np.unique(np.concatenate(found))


def numbers_in(values: Any) -> np.ndarray:
    if values.dtype == object:
        rows = [np.ravel(np.asarray(value)) for value in values if isinstance(value, np.ndarray | list)]
        flat = [row.astype(float) for row in rows if np.issubdtype(row.dtype, np.number)]  # others are words
        values = np.concatenate(flat) if flat else np.array([])
    elif not np.issubdtype(values.dtype, np.number):
        return np.array([])
    values = values.astype(float)
    return np.asarray(values[np.isfinite(values)])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path.lstrip("."), float(value)


def is_stored(value: float, stored: np.ndarray) -> bool:
    if value == int(value) and abs(value) <= SMALL:
        return True
    for candidate in (value, value / 100, 1 - value / 100):  # as it is, as percent, as the accuracy 100 x (1 - error)
        near = stored[max(0, np.searchsorted(stored, candidate) - 1) :][:2]
        if np.isclose(near, candidate, rtol=1e-7, atol=1e-8).any():
            return True
    return False


# Figures made of stored ones when asked for: the test that recomputes each from the files.
DERIVED = {
    "/api/accuracy": {"by_class[].confidence": "test_pages.py"},
    "/api/insights": {
        f"insights[].numbers.{name}": "test_summaries.py"
        for name in ("accuracy_improvement", "change", "growth_rate", "share")
    },
    "/api/ml-forecast-detailed": dict.fromkeys(
        ("forecast_details[].growth_rate", "models[].confidence", "models[].growth_rate", "summary.average_confidence"),
        "test_detailed.py",
    ),
    "/api/ml-validation-summary": dict.fromkeys(
        ("business_impact.accuracy_improvement", "forecast_volatility", "risk_assessment.overall_confidence"),
        "test_summaries.py",
    ),
    "/api/releases/compare": dict.fromkeys(
        ("styles[].change", "styles[].growth_rate", "totals[].change", "totals[].growth_rate"), "test_pages.py"
    ),
    "/api/styles": {"styles[].growth_rate": "test_detailed.py"},
    "/api/styles/{style:path}": {"details.growth_rate": "test_detailed.py"},
}


@pytest.mark.parametrize("one", ROUTES, ids=lambda one: one.path)
def test_when_an_answer_is_walked_then_each_number_is_stored_or_recomputed_by_a_test(desk, stored, one):
    lost = {path for path, value in leaves(answer_of(one, desk)) if not is_stored(value, stored)}
    derived = DERIVED.get(one.path, {})
    assert lost == set(derived)
    for path, file in derived.items():
        assert re.split(r"[.\[\]]+", path)[-1] in (Path(__file__).parent / file).read_text()


def test_when_a_number_is_made_up_then_the_walk_finds_it(stored):
    for made_up in (85.5317, 1234.56789, -7.70123, 0.8123457):
        assert not is_stored(made_up, stored)
