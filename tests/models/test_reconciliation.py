"""Reconciled forecasts: the closed form of a tree beside the matrix formula, and what may not be a tree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError
from models.reconciliation import Tree, min_trace
from tests.evaluation.made import panel_of

FAMILY = np.array(["f", "g", "f", "h", "g", "h", "h"])
DEPARTMENT = np.array(["x", "x", "x", "y", "x", "y", "y"])


def styles(n=7, length=5):
    """Series of different lengths, with the two levels as static columns."""
    fleet = panel_of({f"s{i}": 10.0 * i + np.arange(length - i % 3) for i in range(n)})
    return replace(fleet, static={"family": FAMILY[:n], "department": DEPARTMENT[:n]})


def summing_matrix(tree):
    """[all nodes, N]: 1 where a style belongs to a node, styles first."""
    n = len(tree.parent[0])
    blocks, above = [np.eye(n)], np.arange(n)
    for parent, names in zip(tree.parent, tree.nodes, strict=True):
        above = parent[above]
        blocks.append((above[None, :] == np.arange(len(names))[:, None]).astype(float))
    return np.vstack(blocks)


def twin(tree, base, variance):
    """MinT as it is written: (S' W^-1 S)^-1 S' W^-1 y, by dense matrices."""
    s, y, w = summing_matrix(tree), np.vstack(base), 1 / np.concatenate(variance)
    return np.linalg.solve(s.T @ (w[:, None] * s), s.T @ (w[:, None] * y))


def drawn(tree, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    sizes = [len(tree.parent[0]), *map(len, tree.nodes)]
    bottom = rng.gamma(2.0, 20.0, (sizes[0], 3))
    base = [sums * rng.uniform(1 - 0.1 * scale, 1 + 0.1 * scale, sums.shape) for sums in tree.sums(bottom)]
    return base, [rng.uniform(0.5, 50.0, size) for size in sizes]


def test_when_columns_are_nested_then_the_tree_has_them_finest_first_and_the_total_last():
    tree = Tree.of(styles(), ("family", "department"))
    assert tree.levels == ("family", "department", "total")
    assert [names.tolist() for names in tree.nodes] == [["f", "g", "h"], ["x", "y"], ["total"]]
    assert [parent.tolist() for parent in tree.parent] == [[0, 1, 0, 2, 1, 2, 2], [0, 0, 1], [0, 0]]


def test_when_styles_are_left_out_then_the_tree_is_that_of_the_rest():
    fleet = styles()
    for rows in ([0, 2], [3, 5, 6], [1, 3, 4], list(range(7))):
        taken, made = Tree.of(fleet, ("family", "department")).take(np.array(rows)), fleet.take(rows)
        assert [names.tolist() for names in taken.nodes] == [
            sorted(set(made.static["family"])), sorted(set(made.static["department"])), ["total"],
        ]  # fmt: skip
        assert np.array_equal(summing_matrix(taken)[: len(rows)], np.eye(len(rows)))
        values = np.arange(len(rows) * 2.0).reshape(-1, 2)
        for level, name in ((1, "family"), (2, "department")):
            for k, node in enumerate(taken.nodes[level - 1]):
                assert np.allclose(taken.sums(values)[level][k], values[made.static[name] == node].sum(axis=0))


def test_when_histories_are_summed_then_each_period_is_the_sum_of_the_styles_that_had_begun():
    fleet = styles()
    for tree_panel, column in zip(Tree.of(fleet, ("family",)).panels(fleet), ("family", None), strict=True):
        for k, node in enumerate(tree_panel.ids):
            inside = fleet.take(np.flatnonzero(fleet.static["family"] == node) if column else range(7))
            width = int(inside.lengths.max())
            assert tree_panel.series(k).tolist() == np.nansum(inside.tail(width), axis=0).tolist()


@given(st.integers(0, 10_000))
def test_when_nothing_is_negative_then_message_passing_is_the_matrix_formula(seed):
    tree = Tree.of(styles(), ("family", "department"))
    base, variance = drawn(tree, seed)
    expected = twin(tree, base, variance)
    found = min_trace(tree, base, variance)
    if (expected >= 0).all():
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert (found >= 0).all()


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 8.0, 9.9]))
def test_when_forecasts_contradict_each_other_then_the_answer_is_finite_not_negative_and_near_the_total(seed, scale):
    tree = Tree.of(styles(), ("family", "department"))
    base, variance = drawn(tree, seed, scale)
    variance[-1][:] = 1e-9  # the total is sure
    found = min_trace(tree, base, variance)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=0), base[-1][0], rtol=1e-6, atol=1e-6)


def test_when_a_family_is_to_lose_more_than_a_style_has_then_the_others_carry_the_rest():
    tree = Tree.of(styles(3), ("family",))  # s0 and s2 are of f, s1 is of g
    base = [np.array([[1.0], [10.0], [20.0]]), np.array([[5.0], [10.0]]), np.array([[15.0]])]
    variance = [np.array([10.0, 1e-6, 10.0]), np.array([1e-6, 1e-6]), np.array([1e-6])]
    assert np.allclose(min_trace(tree, base, variance), [[0.0], [10.0], [5.0]], atol=1e-4)


def test_when_all_forecasts_agree_or_were_never_wrong_then_nothing_moves():
    tree = Tree.of(styles(), ("family", "department"))
    bottom = np.arange(21.0).reshape(7, 3)
    for variance in ([np.zeros(7), np.zeros(3), np.zeros(2), np.zeros(1)], drawn(tree, 1)[1]):
        assert np.allclose(min_trace(tree, tree.sums(bottom), variance), bottom)


@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_when_demand_is_counted_in_another_unit_then_the_answer_is_as_well(factor):
    tree = Tree.of(styles(), ("family", "department"))
    base, variance = drawn(tree, 3, 5.0)
    scaled = min_trace(tree, [factor * b for b in base], [factor**2 * v for v in variance])
    assert np.allclose(scaled, factor * min_trace(tree, base, variance))


@pytest.mark.parametrize(
    ("columns", "static", "said"),
    [
        (("gauge",), {}, "does not have"),
        (("family", "family"), {}, "twice"),
        (("family",), {"family": np.array(["f", "", "f", "h", None, "h", "h"], dtype=object)}, "without a value"),
        (("family",), {"family": np.array(["f", " ", "f", "h", np.nan, "h", "h"], dtype=object)}, "without a value"),
        (("family",), {"family": np.arange(7)}, "a group of its own for every style"),
        (("family",), {"family": np.full(7, "f")}, "the same group for all styles"),
        (("department", "family"), {}, "lie in several groups of family"),
    ],
)
def test_when_columns_make_no_tree_then_it_is_refused_and_said_why(columns, static, said):
    fleet = styles()
    with pytest.raises(SettingsError, match=said) as error:
        Tree.of(replace(fleet, static={**fleet.static, **static}), columns)
    assert error.value.facts["key"] == "hierarchy.levels"


def test_when_styles_have_no_value_then_how_many_and_which_is_said():
    fleet = styles()
    holes = np.array(["f", "", "f", "h", None, "h", "h"], dtype=object)
    with pytest.raises(SettingsError) as error:
        Tree.of(replace(fleet, static={"family": holes}), ("family",))
    assert (error.value.facts["count"], error.value.facts["first"]) == (2, ["s1", "s4"])
