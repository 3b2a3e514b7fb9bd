"""Lists of features from importances and correlations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError
from features.selection import correlation_groups, holding, one_of_each, ranking, recursive, top

IMPORTANCES = {"a": 0.1, "b": 0.6, "c": 0.1, "d": 0.2, "e": 0.0}
importances = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.floats(0, 1), min_size=1, max_size=12)


def test_when_features_are_ranked_then_the_most_important_comes_first_and_equals_by_name():
    assert ranking(IMPORTANCES) == ("b", "d", "a", "c", "e")
    assert top(IMPORTANCES, 2) == ("b", "d")
    assert top(IMPORTANCES, 99) == ranking(IMPORTANCES)


def test_when_a_share_is_to_be_held_then_the_fewest_that_hold_it_stay():
    assert holding(IMPORTANCES, 0.6) == ("b",)
    assert holding(IMPORTANCES, 0.61) == ("b", "d")
    assert holding(IMPORTANCES, 1.0) == ("b", "d", "a", "c")
    assert holding(dict.fromkeys("ab", 0.0), 0.5) == ("a", "b")


@given(importances, st.floats(0.01, 1))
def test_when_any_share_is_held_then_one_feature_less_would_not_hold_it(found, share):
    kept, total = holding(found, share), sum(found.values())
    assert set(kept) <= set(found)
    if total > 1e-6:
        assert sum(found[name] for name in kept) >= share * total - 1e-9
        assert sum(found[name] for name in kept[:-1]) < share * total


def test_when_columns_say_the_same_then_they_are_one_group_also_through_a_third():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4000))
    x = np.column_stack([a, b, -2 * a + 1, a + 0.3 * rng.normal(size=4000), np.full(4000, 3.0)]).astype(np.float32)
    x[:50, 2] = np.nan
    names = ("a", "b", "minus", "near", "constant")
    assert correlation_groups(x, names, 0.9) == (("a", "minus", "near"), ("b",), ("constant",))
    assert correlation_groups(x, names, 0.99) == (("a", "minus"), ("b",), ("near",), ("constant",))
    groups = correlation_groups(x, names, 0.9)
    assert one_of_each(groups, {"near": 0.5, "a": 0.2}) == ("near", "b", "constant")


def test_when_columns_are_many_then_groups_equal_a_slow_twins():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 12)) + 0.4 * rng.normal(size=(300, 12))
    names = [f"f{k}" for k in range(12)]
    close = {(i, j) for i in range(12) for j in range(12) if abs(np.corrcoef(x[:, i], x[:, j])[0, 1]) >= 0.8}
    slow = []
    for k in range(12):
        group = {k}
        while (more := group | {j for i, j in close if i in group}) != group:
            group = more
        if k == min(group):
            slow.append(tuple(names[i] for i in sorted(group)))
    assert correlation_groups(x, names, 0.8) == tuple(slow)
    assert 1 < len(slow) < 12


def test_when_features_are_eliminated_then_each_round_fits_anew_on_those_left():
    asked = []

    def fit(kept):
        asked.append(kept)
        return {name: (0.0 if name == "h" and len(kept) == 6 else 1.0 + "abcdefgh".index(name)) for name in kept}

    assert recursive("abcdefgh", fit, 3, drop=0.3) == (tuple("cdefgh"), tuple("cdefg"), tuple("defg"))
    assert asked == [tuple("abcdefgh"), tuple("cdefgh"), tuple("cdefg")]
    assert recursive("ab", fit, 5) == (("b",),)
    assert recursive("abcd", fit, 5, drop=0.5, least=2) == (("c", "d"),)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: top(IMPORTANCES, 0), lambda: holding(IMPORTANCES, 0.0), lambda: holding(IMPORTANCES, 1.1),
        lambda: correlation_groups(np.ones((3, 2)), ("a", "b"), 0.0),
        lambda: recursive("abc", lambda kept: {}, 0), lambda: recursive("abc", lambda kept: {}, 1, drop=1.0),
    ],
)  # fmt: skip
def test_when_what_is_asked_is_impossible_then_it_is_refused(broken):
    with pytest.raises(SettingsError):
        broken()
