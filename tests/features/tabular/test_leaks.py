"""No family looks at what it may not see: the recipes of `made` cover the catalog."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from features.tabular.catalog import FAMILIES
from tests.features.tabular.made import RECIPES, table

few = settings(max_examples=6)
SEEDS = st.integers(0, 10_000)
recipes = pytest.mark.parametrize("name", RECIPES)


def test_when_the_catalog_grows_then_the_leak_tests_know_it():
    assert {type(recipe) for recipe in RECIPES.values()} == set(FAMILIES.values())


@recipes
@few
@given(seed=SEEDS)
def test_when_future_rows_are_appended_then_no_bit_of_an_earlier_feature_changes(name, seed):
    frame = table(40, seed)
    later = table(20, seed + 1)
    later["date"] = later["date"] + pd.Timedelta(60, "D")
    later["revenue"] = later["revenue"] * 1e9
    family = clone(RECIPES[name]).fit(frame)
    alone = family.transform(frame)
    together = family.transform(pd.concat([frame, later], ignore_index=True))[: len(frame)]
    np.testing.assert_array_equal(together, alone)


@recipes
@few
@given(seed=SEEDS)
def test_when_test_rows_change_then_what_was_learned_and_the_training_features_stay(name, seed):
    frame = table(40, seed)
    family = clone(RECIPES[name]).fit(frame)
    before = family.transform(frame)
    other = table(40, seed + 1).assign(revenue=1e6, region="west", code=9.0)
    family.transform(other)
    np.testing.assert_array_equal(family.transform(frame), before)
    again = clone(RECIPES[name]).fit(frame)
    np.testing.assert_array_equal(family.transform(other), again.transform(other))


@pytest.mark.parametrize("name", ["aggregation", "aggregation by rows", "aggregation of one history"])
@few
@given(seed=SEEDS, factor=st.floats(-1e6, 1e6))
def test_when_the_value_of_a_row_changes_then_none_of_its_own_features_move(name, seed, factor):
    frame = table(40, seed)
    row = seed % len(frame)
    changed = frame.copy()
    changed.loc[row, "revenue"] = factor
    before = clone(RECIPES[name]).fit(frame).transform(frame)[row]
    after = clone(RECIPES[name]).fit(changed).transform(changed)[row]
    np.testing.assert_array_equal(after, before)


@few
@given(seed=SEEDS)
def test_when_rows_share_a_date_then_they_are_no_past_of_one_another(seed):
    frame = table(40, seed).assign(date=pd.Timestamp("2024-05-01"))
    made = clone(RECIPES["aggregation"]).fit_transform(frame)
    assert np.isnan(made).all()


@pytest.mark.parametrize("name", ["aggregation", "aggregation of one history"])
@few
@given(seed=SEEDS)
def test_when_the_order_of_dated_rows_changes_then_their_features_go_with_them(name, seed):
    frame = table(40, seed)
    order = np.random.default_rng(seed).permutation(len(frame))
    made = clone(RECIPES[name]).fit_transform(frame)
    turned = clone(RECIPES[name]).fit_transform(frame.iloc[order].reset_index(drop=True))
    np.testing.assert_allclose(turned, made[order], rtol=1e-9, atol=1e-9)
