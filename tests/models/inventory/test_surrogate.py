"""The surrogate: its nine features, every parameter, storage, and the simple policies it stands beside."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import yaml

from demand.errors import FitError, SettingsError
from jobs.own_folder import CONF
from models.config import ModelConfig
from models.inventory.features import FEATURES, facts_of, scaled, seasonality_index
from models.inventory.paths import Days
from models.inventory.policies import base_stock, eoq_rop, newsvendor
from models.inventory.questions import ask, varied
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import FittedSurrogate, OrderSurrogate, nearest_orderable
from tests.models.inventory.made import items_of
from tests.models.inventory.test_paths import panel_of

SETTINGS = InventorySettings(paths=16)


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(2)
    history = panel_of(*[rng.poisson(level, 120) for level in rng.uniform(0.3, 6, 40)])
    own = items_of(40, holding=rng.uniform(1, 5, 40), lead_days=rng.integers(3, 12, 40))
    mean = np.array([history.series(i).mean() for i in range(40)])
    which, items = varied(own, mean, 30, 4, seed=1)
    return ask(history, which, items, SETTINGS)


def shipped(**changed) -> ModelConfig:
    config = ModelConfig(**yaml.safe_load((CONF / "model/inventory_optimization.yaml").read_text(encoding="utf-8")))
    parameters = {**config.hyperparameters, **{k: v for k, v in changed.items() if k not in OrderSurrogate.TRAINING}}
    training = {**config.training_params, **{k: v for k, v in changed.items() if k in OrderSurrogate.TRAINING}}
    return replace(config, hyperparameters=parameters, training_params=training)


def fitted(asked, **changed) -> np.ndarray:
    model = OrderSurrogate.from_config(shipped(**changed)).fit(asked.items, asked.facts, asked.optimum.quantity)
    rows = asked.facts.mean > 0
    return np.asarray(model.trees.predict(scaled(asked.items, asked.facts)[rows]))


def test_when_the_shipped_file_is_read_then_it_is_the_recipe():
    assert OrderSurrogate.from_config(shipped()) == OrderSurrogate()


@pytest.mark.parametrize(
    "changed",
    [{"n_estimators": 20}, {"learning_rate": 0.1}, {"max_depth": 2}, {"min_samples_split": 60},
     {"min_samples_leaf": 40}, {"subsample": 0.4}, {"max_features": 0.2}, {"loss": "absolute_error"}, {"alpha": 0.5},
     {"random_state": 1}, {"validation_fraction": 0.4}, {"n_iter_no_change": 1}, {"tol": 0.5}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_when_a_parameter_changes_then_the_fit_does(asked, changed):
    base = {"n_estimators": 50, "max_depth": 3, "learning_rate": 0.2, "n_iter_no_change": 3}
    assert not np.array_equal(fitted(asked, **base), fitted(asked, **(base | changed)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"warm_start": True}, "warm_start"), ({"loss": "squared_error", "alpha": 0.5}, "alpha"),
     ({"n_iter_no_change": None, "tol": 0.1}, "tol"), ({"n_estimatrs": 3}, "n_estimators")],
    ids=["warm start", "alpha", "tol", "misspelt"],
)  # fmt: skip
def test_when_a_value_cannot_act_then_it_is_refused(changed, said):
    with pytest.raises(SettingsError, match=said):
        OrderSurrogate.from_config(shipped(**changed))


def test_when_features_are_chosen_then_only_they_are_seen(asked):
    few = replace(OrderSurrogate(n_estimators=20), features=("lead_time", "current_inventory"))
    model = few.fit(asked.items, asked.facts, asked.optimum.quantity)
    assert set(model.importances()) == {"lead_time", "current_inventory"}
    with pytest.raises(SettingsError, match="lead_time"):
        OrderSurrogate(features=("leadtime",))


@pytest.mark.slow
def test_when_kept_and_loaded_in_another_process_then_quantities_are_the_same_to_the_bit(asked, tmp_path):
    model = OrderSurrogate(n_estimators=30).fit(asked.items, asked.facts, asked.optimum.quantity)
    model.save(tmp_path, {"note": "n"})
    assert FittedSurrogate.load(tmp_path).n_rows == model.n_rows
    np.save(tmp_path / "x.npy", scaled(asked.items, asked.facts))
    code = (
        "import sys, numpy as np; from pathlib import Path; from models.inventory.surrogate import FittedSurrogate;"
        "p = Path(sys.argv[1]); x = np.load(p / 'x.npy');"
        "print(FittedSurrogate.load(p).trees.predict(x).tobytes().hex())"
    )
    there = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    here = model.trees.predict(np.load(tmp_path / "x.npy")).tobytes().hex()
    assert there.stdout.strip() == here


def test_when_units_are_renamed_then_the_answer_follows(asked):
    """The level of demand is in none of the nine features: a thousandfold is answered a thousandfold."""
    model = OrderSurrogate(n_estimators=30).fit(asked.items, asked.facts, asked.optimum.quantity)
    kilo = replace(asked.items, position=asked.items.position / 1000, lot=asked.items.lot / 1000,
                   holding=asked.items.holding * 1000, stockout=asked.items.stockout * 1000)  # fmt: skip
    assert scaled(asked.items, asked.facts).shape[1] == len(FEATURES) == 9
    facts = replace(asked.facts, mean=asked.facts.mean / 1000, sd=asked.facts.sd / 1000)
    same = replace(kilo, holding=asked.items.holding, stockout=asked.items.stockout)
    ordering = replace(same, ordering=asked.items.ordering / 1000)
    assert model.quantity(ordering, facts) * 1000 == pytest.approx(model.quantity(asked.items, asked.facts))


def test_when_there_is_too_little_then_it_says_how_much_is_needed(asked):
    some = np.arange(60)
    facts = replace(
        asked.facts, **{name: getattr(asked.facts, name)[some] for name in asked.facts.__dataclass_fields__}
    )
    with pytest.raises(FitError, match=r"Insufficient data.*expected=100, found=60"):
        OrderSurrogate().fit(asked.items.take(some), facts, asked.optimum.quantity[some])


def test_when_rounded_then_it_can_be_ordered():
    items = items_of(4, lot=5.0, moq=12.0)
    assert nearest_orderable(items, np.array([7.0, 8.0, 16.0, 18.0])).tolist() == [0.0, 15.0, 15.0, 20.0]
    assert items.orderable(np.array([0.0, 1.0, 15.0, 15.1])).tolist() == [0.0, 15.0, 15.0, 20.0]


def test_when_features_are_worked_by_hand_then_they_agree():
    items = items_of(1, position=20, lead_days=2, holding=3.0, ordering=50)
    paths = np.array([[[1.0, 3.0, 2.0, 2.0], [2.0, 4.0, 1.0, 1.0]]])  # [1, 2 paths, 4 days]
    days = Days(np.arange(4), np.ones(4))
    facts = facts_of(items, paths, days, 2, np.array([np.nan]), variability_default=0.5, seasonality_default=1.0)
    assert facts.mean[0] == 2.0
    assert facts.variability[0] == pytest.approx(1 / 5)  # lead-time totals 4 and 6
    assert facts.assumed_seasonality[0]
    assert not facts.assumed_variability[0]
    row = dict(zip(FEATURES, scaled(items, facts)[0], strict=True))
    assert (row["current_inventory"], row["ordering_cost"], row["lead_time"]) == (10.0, 25.0, 2.0)
    assert (row["holding_cost"], row["seasonality_index"]) == (3.0, 1.0)


def test_when_the_season_is_known_then_its_index_is_that_of_the_days_ahead():
    week = np.array([7.0, 1, 1, 1, 1, 1, 2])
    history = panel_of(np.tile(week, 2), np.tile(week, 2)[:13], np.zeros(14))
    index = seasonality_index(history, Days(np.array([0]), np.array([1.0])))
    assert index[0] == pytest.approx(7 / 2)
    assert np.isnan(index[1:]).all()


def test_when_simple_policies_are_worked_by_hand_then_they_agree():
    items = items_of(2, position=[20.0, 500.0], lead_days=4, holding=2.0, ordering=50, stockout=5, lot=1e-9)
    mean, sd = np.full(2, 10.0), np.full(2, 3.0)
    z = NormalDist().inv_cdf(0.95)
    eoq = math.sqrt(2 * 3650 * 50 / 2)
    point = 40 + z * 3 * 2
    assert eoq_rop(items, mean, sd).tolist() == pytest.approx([max(eoq, point - 20 + eoq), 0.0], abs=1e-6)
    assert base_stock(items, mean, sd, 12).tolist() == pytest.approx([160 + z * 3 * 4 - 20, 0.0], abs=1e-6)
    ratio = 5 / (5 + 2 / 365 * 12)
    level = 160 + NormalDist().inv_cdf(ratio) * 12
    assert newsvendor(items, mean, sd, 12).tolist() == pytest.approx([level - 20, 0.0], abs=1e-6)
