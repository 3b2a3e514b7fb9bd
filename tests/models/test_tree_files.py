"""Trees stored as arrays: the same predictions to the bit, and a damaged file is refused before it is walked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from demand.errors import VersionUnreadable
from models.files import read_arrays, write_arrays
from models.tree_files import load_trees, save_trees

MADE = {
    "forest": lambda y: RandomForestRegressor(5, random_state=1),
    "forest of classes": lambda y: RandomForestClassifier(30, random_state=1, oob_score=True, class_weight="balanced"),
    "boosted huber": lambda y: GradientBoostingRegressor(n_estimators=6, loss="huber", subsample=0.8, random_state=1),
    "boosted squares": lambda y: GradientBoostingRegressor(n_estimators=6, random_state=1, n_iter_no_change=2),
    "boosted quantile": lambda y: GradientBoostingRegressor(n_estimators=6, loss="quantile", alpha=0.9, random_state=1),
    "boosted classes": lambda y: GradientBoostingClassifier(n_estimators=6, random_state=1),
}


def table(rows: int, classes: int | None, seed: int = 0, missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    y = x[:, 0] + 0.3 * rng.normal(size=rows)
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
    if classes is None:
        return x, y
    codes = np.searchsorted(np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1]), y)
    return x, np.array(["red", "green", "blue", "grey"])[codes]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("classes", [2, 4])
def test_when_trees_are_stored_and_loaded_then_every_prediction_is_the_same_to_the_bit(tmp_path, name, classes):
    x, y = table(120, classes if "classes" in name else None, missing=name.startswith("forest"))
    fitted = MADE[name](y).fit(x, y)
    save_trees(tmp_path / "trees.npz", fitted)
    loaded = load_trees(tmp_path / "trees.npz")
    new, _ = table(300, None, seed=7)
    assert np.array_equal(loaded.predict(new), fitted.predict(new))
    assert np.array_equal(loaded.feature_importances_, fitted.feature_importances_)
    if "classes" in name:
        assert np.array_equal(loaded.predict_proba(new), fitted.predict_proba(new))
        assert np.array_equal(loaded.classes_, fitted.classes_)
    assert loaded.get_params() == fitted.get_params()


def test_when_columns_have_names_then_the_loaded_trees_refuse_others(tmp_path):
    x, y = table(60, None)
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    save_trees(tmp_path / "trees.npz", RandomForestRegressor(2, random_state=0).fit(frame, y))
    loaded = load_trees(tmp_path / "trees.npz")
    assert list(loaded.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename(columns={"a": "z"}))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_when_any_node_is_changed_then_it_is_refused_or_still_ends_at_a_leaf(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "trees.npz"
    x, y = table(40, None)
    save_trees(path, RandomForestRegressor(2, random_state=0).fit(x, y))
    arrays = read_arrays(path)
    name = data.draw(st.sampled_from(["node_left_child", "node_right_child", "node_feature", "n_nodes", "n_features"]))
    changed = np.atleast_1d(arrays[name]).copy()
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] = data.draw(st.integers(-3, 200))
    write_arrays(path, {**arrays, name: changed.reshape(arrays[name].shape)})
    try:
        loaded = load_trees(path)
    except VersionUnreadable:
        return
    new = np.zeros((3, loaded.n_features_in_))
    assert np.isfinite(loaded.predict(new)).all()


@pytest.mark.parametrize("gone", ["kind", "value", "node_threshold", "shape", "depth"])
def test_when_an_array_is_missing_then_the_file_is_refused(tmp_path, gone):
    x, y = table(40, None)
    path = tmp_path / "trees.npz"
    save_trees(path, RandomForestRegressor(2, random_state=0).fit(x, y))
    write_arrays(path, {name: array for name, array in read_arrays(path).items() if name != gone})
    with pytest.raises(VersionUnreadable):
        load_trees(path)


def test_when_a_file_names_another_class_then_nothing_of_it_is_made(tmp_path):
    x, y = table(40, None)
    path = tmp_path / "trees.npz"
    save_trees(path, RandomForestRegressor(2, random_state=0).fit(x, y))
    write_arrays(path, {**read_arrays(path), "kind": np.array("os.system")})
    with pytest.raises(VersionUnreadable):
        load_trees(path)


def test_when_an_estimator_is_of_another_class_or_has_two_targets_then_it_is_not_stored(tmp_path):
    x, y = table(40, None)
    with pytest.raises(TypeError):
        save_trees(tmp_path / "a.npz", ExtraTreesRegressor(2).fit(x, y))
    with pytest.raises(TypeError):
        save_trees(tmp_path / "b.npz", RandomForestRegressor(2).fit(x, np.column_stack([y, y])))
    assert list(tmp_path.iterdir()) == []
