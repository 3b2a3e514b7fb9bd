"""The order surrogate trained by jobs.train's own trainer: judged, kept, used; without Ray."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from demand.calendar import Calendar
from demand.company.tables import Company
from demand.errors import DataError, FitError, SettingsError
from demand.panel import Panel
from jobs import compose, order_methods
from jobs.fleet import decisions_of, registry_of
from jobs.inventory_training import reasons_against, train
from jobs.order_methods import choose
from jobs.replenish import propose
from models.inventory.policies import POLICIES
from models.inventory.surrogate import KIND, FittedSurrogate
from tests.acceptance.made import strict_json
from tests.serve_app.made import make_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(1)
    n, weeks = 24, 90
    y = rng.poisson(rng.uniform(1, 30, (n, 1)), (n, weeks)).astype(float)
    ids = np.array([f"S{i:03d}" for i in range(n)])
    end = int(Calendar("W-MON").containing(np.datetime64("2025-09-01")))
    make_release(root, freq="W-MON", panel=Panel(ids, np.arange(n + 1) * weeks, y.ravel(), end, "W-MON", unit="yds"))
    table = pd.DataFrame({"item": ids, "on_shelf": 20, "unit_cost": np.linspace(2, 30, n), "lead_time_days": 14})
    table.to_csv(root / "items.csv", index=False)
    return [f"storage.root={root}", f"inventory.table={root / 'items.csv'}", "inventory.paths=16",
            "parallel_training=false", "models.inventory_optimization.hyperparameters.n_estimators=40"]  # fmt: skip


def test_when_trained_then_it_is_judged_kept_and_used(told, monkeypatch):
    settings = compose.load("train", [*told, "only=[inventory_optimization]"])
    entry, lines = train(settings, "study")
    assert entry["status"] == "success"
    root = registry_of(settings).root.parent
    report = strict_json(root / "runs" / "study" / "evaluation.json")
    assert report["items"]["learned"] + report["items"]["judged"] == report["items"]["in"] == 24
    assert report["items"]["not_drawn"] == report["decisions"]["judged"]["not_known"] == 0
    assert report["decisions"]["judged"]["asked"] == report["n"]
    assert max(report["dates"]["learned"]) < min(report["dates"]["judged"])
    rows = {row["policy"]: row for row in report["policies"]}
    assert rows["exact"]["expected_regret"] == 0
    assert set(rows) == {"exact", "surrogate", *POLICIES, "clairvoyant"}
    assert entry["metrics"]["regret"] == rows["surrogate"]["expected_regret"]
    assert any("Regret" in line for line in lines)
    assert set(report["equal_service"]) == set(POLICIES)
    assert all(one["expected_share"] >= -1e-9 for one in report["equal_service"].values())
    assert any(line.startswith("Equal") and all(f"than {name}" in line for name in POLICIES) for line in lines)
    assert entry["metrics"]["service_gap_error"] == rows["surrogate"]["realised_error"] > 0
    alone = {row["policy"]: row for row in report["service_alone"]["policies"]}["surrogate"]
    assert report["surrogate"]["service_within"] == (abs(alone["realised_gap"]) <= 0.02)
    assert entry["metrics"]["service_alone_gap"] == alone["realised_gap"]
    assert sum(line.startswith(("Promised", "Wanted")) for line in lines) == 2
    registry = decisions_of(settings, KIND)
    release = registry.open(entry["release"])
    fitted = FittedSurrogate.load(release.file("model"))
    assert sum(fitted.importances().values()) == pytest.approx(1)
    # What it says of the policies decides what the job uses; asked for by name it answers itself.
    now = compose.load("replenish", told)
    expected = report["recommended"]["policy"]
    assert choose(now, 24, "styles").name == (expected if expected in POLICIES else "exact")
    elsewhere = choose(now, 24, "yarns")  # what held for styles is no evidence on yarns
    assert (elsewhere.name, elsewhere.why) == ("exact", "earlier decisions were judged on styles, not on yarns")
    if registry.alias("champion") is None:
        assert reasons_against(report, "warn", 0.78)
        registry.promote(entry["release"], expected=None, facts={"forced": True})
    asked = compose.load("replenish", [*told, "inventory.method=surrogate"])
    made = propose(asked, registry_of(asked).open("champion"), Company())
    assert made["summary"]["method"] == "surrogate"
    many = compose.load("replenish", [*told, "inventory.exact_items=10"])
    for policy in ("exact", "surrogate", *POLICIES):  # a recommended policy is used, however many items there are
        judged = {"recommended": {"policy": policy, "words": "it was the cheapest"}, "report": {"kind": "styles"}}
        monkeypatch.setattr(order_methods, "read_card", lambda folder, card=judged: card)
        method = choose(many, 24, "styles")
        assert method.name == (policy if policy in POLICIES else "surrogate")
        assert (method.why == "it was the cheapest") == (policy in POLICIES)
        assert choose(many, 24, "yarns").name == "surrogate"
    for off in ("enable_ml=false", f"models.{KIND}.enabled=false"):
        simple = compose.load("replenish", [*told, "inventory.exact_items=10", off])
        assert choose(simple, 24, "styles").name != "surrogate"
        asked = compose.load("replenish", [*told, "inventory.method=surrogate", off])
        with pytest.raises(SettingsError, match="switched off"):
            choose(asked, 24, "styles")


def test_when_there_is_too_little_then_it_is_said_and_recorded(told):
    settings = compose.load("train", [*told, "only=[inventory_optimization]", "min_training_samples=5000"])
    with pytest.raises(FitError, match=r"Insufficient data.*5000"):
        train(settings, "little")
    assert not (registry_of(settings).root.parent / "runs" / "little").exists()
    last = strict_json_lines(decisions_of(settings, KIND).history_path)[-1]
    assert (last["status"], last["model_type"]) == ("failed", KIND)


def test_when_there_is_no_release_then_it_is_no_data(told, tmp_path):
    settings = compose.load("train", [*told[1:], f"storage.root={tmp_path}", "only=[inventory_optimization]"])
    with pytest.raises(DataError, match="no_data"):
        train(settings, "none")


def strict_json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
