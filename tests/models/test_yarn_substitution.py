"""The classifier of yarn pairs: split by yarn, calibrated, stored as arrays; each parameter acts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from demand.errors import FitError, SettingsError, VersionUnreadable
from features.yarn_pairs import FEATURES, pair_features
from jobs.own_folder import CONF
from models.config import ModelConfig
from models.files import read_json, write_json
from models.yarn_labels import Calibration, Labelled, cross_calibrated, folds_of
from models.yarn_substitution import UNKNOWN, FitLimits, FittedSubstitution, YarnSubstitution
from tests.features.yarns import SETTINGS, generated, judged

SHIPPED = yaml.safe_load((CONF / "model" / "yarn_substitution.yaml").read_text(encoding="utf-8"))
SMALL = {"n_estimators": 20, "cv_folds": 3}


def recipe(**more) -> YarnSubstitution:
    return YarnSubstitution(**(SMALL | more))


def labelled(n=400, yarns=120, seed=1, noise=0.04) -> Labelled:
    catalogue = generated(yarns, seed)
    pairs, y = judged(catalogue, n, seed, noise)
    return Labelled(pair_features(catalogue, pairs, SETTINGS), y, pairs.a, pairs.b, np.arange(len(y)))


@pytest.fixture(scope="module")
def pairs():
    return labelled()


@pytest.fixture(scope="module")
def fitted(pairs):
    return recipe().fit(pairs, FitLimits())


def test_when_the_shipped_configuration_is_read_then_it_is_the_recipe_of_the_brief():
    made = YarnSubstitution.from_config(ModelConfig(**SHIPPED))
    assert made == YarnSubstitution()
    assert made.features == FEATURES
    said = set(SHIPPED["hyperparameters"]) | set(SHIPPED["training_params"]) | {"features"}
    assert said == {one.name for one in fields(YarnSubstitution)}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"min_samples_split": 1}, "min_samples_split"),
        ({"oob_score": True, "bootstrap": False}, "bootstrap"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"class_weight": "heavy"}, "class_weight"),
        ({"cv_folds": 3}, "unknown key"),
        ({"max_features": "all"}, "max_features"),
        ({"depth": 3}, "unknown key"),
    ],
)
def test_when_a_parameter_is_impossible_then_it_is_refused(more, named):
    config = ModelConfig(**(SHIPPED | {"hyperparameters": SHIPPED["hyperparameters"] | more}))
    with pytest.raises(SettingsError) as caught:
        YarnSubstitution.from_config(config)
    assert named in str(caught.value)


@pytest.mark.parametrize("more", [{"cv_folds": 1}, {"scoring": "roc"}])
def test_when_a_training_parameter_is_impossible_then_it_is_refused(more):
    with pytest.raises(SettingsError) as caught:
        YarnSubstitution.from_config(ModelConfig(**(SHIPPED | {"training_params": more})))
    assert next(iter(more)) in str(caught.value)


@pytest.mark.parametrize("names", [("denier",), ("price_ratio", "price_ratio")])
def test_when_features_are_unknown_or_doubled_then_they_are_refused(names):
    with pytest.raises(SettingsError):
        YarnSubstitution.from_config(ModelConfig(**(SHIPPED | {"features": list(names)})))


@pytest.mark.parametrize(
    "more",
    [
        {"n_estimators": 30}, {"max_depth": 2}, {"min_samples_split": 120}, {"min_samples_leaf": 40},
        {"max_features": 1.0}, {"bootstrap": False, "oob_score": False}, {"random_state": 7}, {"class_weight": None},
        {"features": ("weight_similarity", "quality_score")},
    ],
)  # fmt: skip
def test_when_a_hyperparameter_is_changed_then_other_probabilities_come(more, pairs, fitted):
    changed = recipe(**more).fit(pairs, FitLimits())
    assert not np.array_equal(changed.forest.predict_proba(changed.recipe._matrix(pairs.features)),
                              fitted.forest.predict_proba(fitted.recipe._matrix(pairs.features)))  # fmt: skip


def test_when_folds_threads_or_the_bag_are_changed_then_they_act_where_they_should(pairs, fitted):
    assert set(recipe(cv_folds=4).fit(pairs, FitLimits()).out_of_fold.fold) == {0, 1, 2, 3}
    assert recipe(oob_score=False).fit(pairs, FitLimits()).oob_score is None
    assert 0.5 < fitted.oob_score <= 1
    other = recipe(n_jobs=2).fit(pairs, FitLimits(threads=2))
    assert np.array_equal(other.probability(pairs.features), fitted.probability(pairs.features))


@pytest.mark.parametrize(("n_jobs", "threads", "used"), [(-1, 2, 2), (1, 2, 1), (4, 2, 2), (-1, 1, 1)])
def test_when_threads_are_given_then_no_more_are_used_than_are_allowed(pairs, monkeypatch, n_jobs, threads, used):
    seen = []
    original = RandomForestClassifier.fit
    monkeypatch.setattr(
        RandomForestClassifier, "fit", lambda self, x, y: (seen.append(self.n_jobs), original(self, x, y))[1]
    )
    recipe(n_jobs=n_jobs, n_estimators=1).fit(pairs, FitLimits(threads=threads))
    assert set(seen) == {used}


def test_when_the_forest_grows_in_steps_then_it_is_the_forest_of_one_go(pairs, fitted):
    x = fitted.recipe._matrix(pairs.features)
    whole = RandomForestClassifier(
        n_estimators=20, max_depth=10, min_samples_split=5, min_samples_leaf=2, random_state=42,
        class_weight="balanced",
    ).fit(x, pairs.y)  # fmt: skip
    assert np.array_equal(whole.predict_proba(x), fitted.forest.predict_proba(x))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 8))
def test_when_yarns_are_cut_into_folds_then_no_test_pair_shares_its_yarns_with_the_training(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 40, 200), rng.integers(0, 40, 200)
    some = Labelled(np.zeros((200, 7)), np.zeros(200, dtype=int), a, b, np.zeros(200, dtype=int))
    folds = folds_of(some, n, seed)
    assert set(folds.b) <= set(range(n))
    for k in range(n):
        train, test = folds.split(k)
        assert not set(b[test]) & (set(a[train]) | set(b[train]))
        sizes = [len(set(np.r_[a[folds.a == j], b[folds.b == j]])) for j in range(n)]
    assert max(sizes) - min(sizes) <= 1


def test_when_labels_are_permuted_then_nothing_is_learned_and_the_majority_rate_is_what_is_left(pairs):
    rng = np.random.default_rng(3)
    shuffled = replace(pairs, y=rng.permutation(pairs.y))
    unseen = recipe(n_estimators=40).fit(shuffled, FitLimits()).out_of_fold
    majority = max(shuffled.y.mean(), 1 - shuffled.y.mean())
    accuracy = np.mean((unseen.probability >= 0.5) == shuffled.y)
    assert abs(accuracy - majority) < 0.05


def test_when_something_is_unknown_then_it_is_a_value_of_its_own(fitted):
    rows = np.full((2, 7), np.nan)
    rows[1] = UNKNOWN
    said = fitted.probability(rows)
    assert said[0] == said[1]
    assert 0 < said[0] < 1


def test_when_a_fold_is_calibrated_then_its_own_labels_take_no_part():
    rng = np.random.default_rng(0)
    score, fold = rng.random(300), rng.integers(0, 3, 300)
    y = (rng.random(300) < score).astype(np.int64)
    said = cross_calibrated(score, y, fold)
    other = cross_calibrated(score, np.where(fold == 1, 1 - y, y), fold)
    assert np.array_equal(other[fold == 1], said[fold == 1])
    assert not np.isclose(other[fold != 1], said[fold != 1]).any()


@pytest.mark.parametrize(
    ("change", "limits", "said"),
    [
        (lambda p: replace(p, y=np.ones_like(p.y)), {}, "all labels say the same"),
        (lambda p: p, {"min_rows": 401}, "Insufficient data"),
        (lambda p: replace(p, a=p.a % 2, b=2 + p.b % 2), {}, "too few yarns"),
        (lambda p: p, {"max_seconds": 0.0}, "time_budget"),
    ],
)
def test_when_nothing_can_be_learned_then_the_fit_says_why(pairs, change, limits, said):
    with pytest.raises(FitError) as caught:
        recipe().fit(change(pairs), FitLimits(**limits))
    assert said in str(caught.value)


def test_when_time_runs_out_then_the_trees_grown_so_far_are_kept(pairs):
    ticks = iter(np.arange(0, 1000, 1.0))
    fitted = recipe(n_estimators=100, cv_folds=2).fit(pairs, FitLimits(max_seconds=9.5, clock=lambda: next(ticks)))
    assert 0 < fitted.forest.n_estimators < 100
    assert fitted.oob_score is not None


def test_when_there_are_more_labels_than_allowed_then_the_newest_are_kept(pairs):
    when = np.arange(len(pairs.y))[::-1]
    kept = replace(pairs, when=when).newest(50)
    assert np.array_equal(kept.y, pairs.y[:50])
    assert recipe().fit(pairs, FitLimits(max_rows=300)).n_trained == 300


def test_when_scores_do_not_rise_with_the_labels_then_every_pair_gets_the_share_of_yes():
    score, y = np.array([0.9, 0.8, 0.2, 0.1]), np.array([0, 0, 1, 1])
    assert np.allclose(Calibration.of(score, y)(score), 0.5)
    assert Calibration.of(score, 1 - y).slope > 0
    assert 0.8 < Calibration.of(score, np.ones(4, dtype=int))(score)[0] < 1


@pytest.mark.slow
def test_when_a_model_is_stored_then_a_new_process_says_the_same_to_the_bit(fitted, pairs, tmp_path):
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npz"}
    np.save(tmp_path / "rows.npy", pairs.features)
    code = (
        "import sys, numpy as np; from pathlib import Path; from models.yarn_substitution import FittedSubstitution;"
        "p = Path(sys.argv[1]); m = FittedSubstitution.load(p);"
        "np.save(p / 'said.npy', m.probability(np.load(p / 'rows.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=CONF.parent)
    assert np.array_equal(np.load(tmp_path / "said.npy"), fitted.probability(pairs.features))
    loaded = FittedSubstitution.load(tmp_path)
    assert (loaded.recipe, loaded.oob_score, loaded.importance) == (fitted.recipe, fitted.oob_score, fitted.importance)


@pytest.mark.parametrize(
    "change",
    [{"kind": "xgboost"}, {"calibration": {}}, {"recipe": {"depth": 3}}, {"recipe": {"features": ["price_ratio"]}}],
)
def test_when_a_stored_card_is_wrong_then_it_is_unreadable(fitted, tmp_path, change):
    fitted.save(tmp_path)
    write_json(tmp_path / "card.json", read_json(tmp_path / "card.json") | change)
    with pytest.raises(VersionUnreadable):
        FittedSubstitution.load(tmp_path)
