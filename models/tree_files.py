"""Forests and boosted trees of scikit-learn as plain arrays: a file names no class, and nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from demand.errors import VersionUnreadable
from models.files import read_arrays, write_arrays

KINDS: Mapping[str, Callable[..., Any]] = {
    "random_forest_regressor": RandomForestRegressor,
    "random_forest_classifier": RandomForestClassifier,
    "gradient_boosting_regressor": GradientBoostingRegressor,
    "gradient_boosting_classifier": GradientBoostingClassifier,
}
_LEAF = -1  # a child index: scikit-learn's mark for "no child"


def save_trees(path: Path, fitted: Any) -> None:
    """One .npz with every node of every tree, and what the estimator adds to its trees.

    Predictions and importances of the loaded estimator equal these bit for bit; figures of the training itself
    (out-of-bag scores, loss curves) are not kept: they belong in the card. Raises TypeError for an estimator of
    another class than KINDS, with several targets, or with a start estimator of the caller's own.
    """
    kind = next((name for name, made in KINDS.items() if type(fitted) is made), None)
    if kind is None:
        raise TypeError(f"{type(fitted).__name__} cannot be stored as trees")
    grown = np.atleast_1d(np.asarray(fitted.estimators_, dtype=object))
    trees = [member.tree_ for member in grown.ravel()]
    if any(tree.n_outputs != 1 for tree in trees) or getattr(fitted, "init", None) is not None:
        raise TypeError("only estimators of one target that start by themselves can be stored as trees")
    states = [tree.__getstate__() for tree in trees]
    nodes = np.concatenate([state["nodes"] for state in states])
    parameters = {name: value for name, value in fitted.get_params(deep=False).items() if _plain(value)}
    arrays: dict[str, NDArray[Any]] = {
        "kind": np.array(kind),
        "parameters": np.array(json.dumps(parameters, allow_nan=False, sort_keys=True)),
        "n_features": np.array(fitted.n_features_in_),
        "shape": np.array(grown.shape),
        "n_nodes": np.array([state["node_count"] for state in states]),
        "depth": np.array([state["max_depth"] for state in states]),
        "value": np.concatenate([state["values"][:, 0, :] for state in states]),
        **{f"node_{name}": np.ascontiguousarray(nodes[name]) for name in nodes.dtype.names or ()},
    }
    if hasattr(fitted, "feature_names_in_"):
        arrays["feature_names"] = np.array([str(name) for name in fitted.feature_names_in_])
    if is_classifier(fitted):
        classes = np.asarray(fitted.classes_)
        arrays["classes"] = classes.astype(str) if classes.dtype.hasobject else classes
    if kind.startswith("gradient"):
        start = fitted.init_
        arrays["start"] = start.class_prior_ if is_classifier(fitted) else np.asarray(start.constant_).ravel()
    write_arrays(path, arrays)


def load_trees(path: Path) -> Any:
    """The fitted estimator that save_trees wrote.

    Raises VersionUnreadable when an array is missing or names a node or feature that is not there: the compiled
    code that walks the trees checks no index.
    """
    arrays = read_arrays(path)
    try:
        return _rebuilt(arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise VersionUnreadable("a stored forest is not whole", file=path.name, cause=str(error)) from None


def _plain(value: Any) -> bool:
    """Parameters that JSON can hold; others (a random generator, a matrix of weights) act in training only."""
    return value is None or isinstance(value, str | bool | int | float)


def _rebuilt(arrays: Mapping[str, NDArray[Any]]) -> Any:
    made = KINDS[str(arrays["kind"])](**json.loads(str(arrays["parameters"])))
    features = int(arrays["n_features"])
    classes = arrays.get("classes")
    boosted = hasattr(made, "init")
    grown_classes = classes if classes is not None and not boosted else None  # boosting grows regression trees
    trees = _trees(arrays, features, 1 if grown_classes is None else len(grown_classes))
    members = np.empty(len(trees), dtype=object)
    members[:] = [_member(tree, features, grown_classes) for tree in trees]
    members = members.reshape(tuple(int(n) for n in arrays["shape"]))
    made.n_features_in_ = features
    if "feature_names" in arrays:
        made.feature_names_in_ = arrays["feature_names"].astype(object)
    if classes is not None:
        made.classes_, made.n_classes_ = classes, len(classes)
    if boosted:
        _as_boosted(made, members, arrays["start"])
    else:
        made.estimators_, made.n_outputs_ = list(members), 1
    return made


def _as_boosted(made: Any, members: NDArray[Any], start: NDArray[Any]) -> None:
    made.estimators_, made.n_estimators_ = members, len(members)
    made.n_trees_per_iteration_ = members.shape[1]
    if not is_classifier(made):
        made.init_ = DummyRegressor(strategy="constant", constant=start[0])
        made.init_.constant_, made.init_.n_outputs_ = start.reshape(1, -1), 1
    else:
        made.init_ = DummyClassifier(strategy="prior")
        made.init_.classes_, made.init_.n_classes_ = made.classes_, made.n_classes_
        made.init_.class_prior_, made.init_.n_outputs_, made.init_._strategy = start, 1, "prior"
        made.init_.sparse_output_ = False
    made._loss = made._get_loss(sample_weight=None)  # what turns raw sums into predictions


def _trees(arrays: Mapping[str, NDArray[Any]], n_features: int, n_values: int) -> list[Tree]:
    counts = arrays["n_nodes"]
    value = np.ascontiguousarray(arrays["value"], dtype=np.float64)
    nodes = np.zeros(int(counts.sum()), dtype=_node_type())
    for name in nodes.dtype.names or ():
        nodes[name] = arrays[f"node_{name}"]
    if len(arrays["depth"]) != len(counts) or (counts < 1).any():
        raise ValueError("a tree without nodes")
    if value.shape != (len(nodes), n_values):
        raise ValueError(f"{value.shape} values for {len(nodes)} nodes")
    _check_nodes(nodes, counts, n_features)
    ends = np.cumsum(counts)
    trees = []
    for first, end, depth in zip(ends - counts, ends, arrays["depth"], strict=True):
        tree = Tree(n_features, np.array([n_values], dtype=np.intp), 1)
        state = {"max_depth": int(depth), "node_count": int(end - first), "nodes": nodes[first:end]}
        tree.__setstate__({**state, "values": value[first:end, None, :]})
        trees.append(tree)
    return trees


def _check_nodes(nodes: NDArray[Any], counts: NDArray[Any], n_features: int) -> None:
    """Every way down ends at a leaf of its own tree: children come after their parent, features exist."""
    ends = np.cumsum(counts)
    own = np.arange(len(nodes)) - np.repeat(ends - counts, counts)
    leaf = nodes["left_child"] == _LEAF
    if not np.array_equal(leaf, nodes["right_child"] == _LEAF):
        raise ValueError("a node with one child")
    inner = ~leaf
    for side in ("left_child", "right_child"):
        child = nodes[side][inner]
        if ((child <= own[inner]) | (child >= np.repeat(counts, counts)[inner])).any():
            raise ValueError("a node names a child that is not below it")
    feature = nodes["feature"][inner]
    if ((feature < 0) | (feature >= n_features)).any():
        raise ValueError("a node asks for a feature that is not there")


def _node_type() -> np.dtype[Any]:
    """The record that this version of scikit-learn keeps of a node."""
    stump = DecisionTreeRegressor(max_depth=1).fit(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    found: np.dtype[Any] = stump.tree_.__getstate__()["nodes"].dtype
    return found


def _member(tree: Tree, n_features: int, classes: NDArray[Any] | None) -> Any:
    if classes is None:
        member: Any = DecisionTreeRegressor()
    else:
        member = DecisionTreeClassifier()
        # Members of a forest are fitted on codes; the forest holds the labels.
        member.classes_, member.n_classes_ = np.arange(len(classes), dtype=np.float64), len(classes)
    member.tree_, member.n_features_in_, member.n_outputs_ = tree, n_features, 1
    return member
