"""The seven features of a pair of yarns against a slow twin, by hand, and the candidates against the whole product."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.errors import SettingsError
from features import yarn_pairs
from features.yarn_catalogue import YarnCatalogue, on_time_shares, yarn_catalogue
from features.yarn_pairs import FEATURES, Candidates, Pairs, pair_features, rank_within, rule_score
from tests.features.yarns import SETTINGS, changed, generated, master, purchases, shelf

YARNS = master(
    ("a", "S1", "1/150/48 DTY", "100% POLYESTER", "NAT", 2.0),
    ("b", "S2", "150/1/48 DTY", "96/4 POLY/SPANDEX", "Semi-Dull", 3.0),
    ("c", "S2", "1/140/48", "100% POLYESTER", "BLK", 0.0),
    ("d", "S1", "30/1 RING SPUN COMBED", "100% COTTON", "", np.nan),
    ("e", "S1", "no idea", "POLY", "NATURAL", 2.5),
)
STOCK = shelf(("a", 100.0, -400.0), ("b", 300.0, 50.0), ("c", 900.0, 900.0), ("d", -20.0, 10.0), ("f", 5.0, -1.0))
ORDERS = pd.concat([
    purchases("S1", *[("2025-02-01", "2025-02-01", 0.0)] * 4, ("2025-02-01", "2025-03-01", 0.0)),
    purchases("S2", *[("2025-02-01", "2025-02-01", 0.0)] * 4),
])  # fmt: skip


@pytest.fixture(scope="module")
def small():
    catalogue, counts = yarn_catalogue(YARNS, STOCK, ORDERS, SETTINGS)
    assert counts["yarns"] == 6
    return catalogue


def features_of(catalogue, a, b, rules=SETTINGS):
    places = catalogue.find(np.array([a, b]))
    row = pair_features(catalogue, Pairs(places[:1], places[1:]), rules)[0]
    return dict(zip(FEATURES, row, strict=True))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("a", "b", [1, 1, 1, 1.5, 0.75, 1, 0.95]),  # 4 points apart still match; 300 lb for 400 lb
        ("a", "c", [0, 140 / 150, 1, np.nan, 1, 0.7, 0.95]),  # cost 0 is not known; one is textured, the other not
        ("c", "a", [0, 140 / 150, 1, np.nan, 1, 0.7, 0.8]),  # c is not short, a has stock; S1 late once in five
        ("a", "d", [np.nan, 0, 0, np.nan, 0, 0.7**3, 0.8]),  # filament for spun; a balance below zero is none
        ("a", "e", [1, np.nan, np.nan, 1.25, np.nan, 0.7, 0.8]),  # unread size, unstated share, no stock row
        ("e", "d", [np.nan, np.nan, 0, np.nan, np.nan, 0.7**2, 0.8]),  # other fibre: no match, whatever the shares
        ("f", "a", [np.nan, np.nan, np.nan, np.nan, 1, 0.7, 0.8]),  # only in the stock: nothing to read
    ],
)
def test_when_features_are_worked_by_hand_then_these_are_they(small, a, b, expected):
    found = features_of(small, a, b)
    assert np.allclose(list(found.values()), expected, equal_nan=True), found


def test_when_a_supplier_has_few_orders_then_the_prior_stands_and_is_flagged(small):
    assert small.imputed.tolist() == [False, True, True, False, False, True]
    assert set(small.reliability[small.imputed]) == {0.95}


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        ([("2025-02-01", "2025-02-01", 0.0)] * 5, 1.0),
        ([("2025-02-01", "2025-01-20", 0.0)] * 5, 1.0),  # earlier than asked
        ([("2025-02-01", "2025-02-02", 0.0)] * 5, 0.0),  # promised for later than asked
        ([("2024-12-01", "2024-12-01", 9.0)] * 5, 0.0),  # the day has passed and a balance is still to come
        ([("2025-02-01", "2025-02-01", 9.0)] * 5, 1.0),  # not due yet
        ([("2025-02-01", "2025-02-01", 0.0)] * 3 + [("2025-02-01", "2025-02-05", 0.0)] * 2, 0.6),
        ([("2025-02-01", "2025-02-01", 0.0)] * 4 + [(None, "2025-02-05", 0.0)], None),  # one does not count
        ([("2025-02-01", "2025-02-01", 0.0)] * 4, None),
    ],
)
def test_when_orders_are_judged_then_late_is_promised_late_or_overdue(rows, share):
    found = on_time_shares(purchases("S", *rows), SETTINGS)
    assert found.get("S") == share


def test_when_another_day_is_today_then_other_orders_are_overdue():
    orders = purchases("S", *[("2025-02-01", "2025-02-01", 9.0)] * 5)
    assert on_time_shares(orders, SETTINGS, pd.Timestamp("2025-02-02"))["S"] == 0.0


def test_when_a_yarn_is_only_in_one_table_then_it_is_there_with_what_is_known():
    both, _ = yarn_catalogue(YARNS, None, None, SETTINGS)
    assert np.isnan(both.theoretical).all()
    assert both.imputed.all()
    shelf_only = shelf(("z", 1.0, 1.0)).assign(description="30/1 100% COTTON", color="BLK", cost_per_lb=4.0)
    alone, _ = yarn_catalogue(None, shelf_only, None, SETTINGS)
    assert (alone.family[0], alone.total[0], alone.color[0], alone.cost[0]) == ("cotton", 30, "BLACK", 4.0)


def twin(y: YarnCatalogue, a: int, b: int, points: float) -> list[float]:
    """The features of one pair, slowly, in the words of the contract."""
    nan = math.nan
    color = nan if "" in (y.color[a], y.color[b]) else float(y.color[a] == y.color[b])
    if math.isnan(y.total[a]) or math.isnan(y.total[b]):
        weight = nan
    elif y.construction[a] != y.construction[b]:
        weight = 0.0
    else:
        weight = min(y.total[a], y.total[b]) / max(y.total[a], y.total[b])
    if "" in (y.family[a], y.family[b]):
        material = nan
    elif y.family[a] != y.family[b]:
        material = 0.0
    elif math.isnan(y.share[a]) or math.isnan(y.share[b]):
        material = nan
    else:
        material = float(round(abs(y.share[a] - y.share[b]), 9) <= points)
    price = nan if math.isnan(y.cost[a]) or math.isnan(y.cost[b]) else y.cost[b] / y.cost[a]
    if math.isnan(y.theoretical[b]) or math.isnan(y.planning[a]):
        available = nan
    else:
        shortage = max(0.0, -y.planning[a])
        held = max(0.0, y.theoretical[b])
        available = min(1.0, held / shortage) if shortage else float(held > 0)
    quality = 0.7 ** bin(int(y.processes[a]) ^ int(y.processes[b])).count("1")
    return [color, weight, material, price, available, quality, y.reliability[b]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 4.0, 45.0]))
def test_when_pairs_are_compared_then_they_equal_the_slow_twin(seed, points):
    yarns = generated(12, seed)
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(12)))
    found = pair_features(yarns, Pairs(a, b), changed(material_points=points))
    expected = [twin(yarns, x, y, points) for x, y in zip(a, b, strict=True)]
    assert np.allclose(found, expected, equal_nan=True, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.9]), st.sampled_from([0.0, 500.0]), st.integers(1, 30))
def test_when_candidates_come_from_the_index_then_they_are_those_of_the_whole_product(seed, band, stock, most):
    yarns, rules = generated(40, seed), changed(weight_band=band, min_stock_lb=stock, max_candidates=most)
    found, features = Candidates(yarns, rules).best(np.arange(40))
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(40), np.arange(40), indexing="ij"))
    whole = pair_features(yarns, Pairs(a, b), rules)
    weight = np.nan_to_num(whole[:, 1])
    fits = (weight >= band - 1e-12) & (yarns.family[a] == yarns.family[b]) & (yarns.family[a] != "") & (a != b)
    fits &= yarns.theoretical[b] > stock
    score = rule_score(whole, rules)
    expected = []
    for one in range(40):
        mine = np.flatnonzero(fits & (a == one))
        ranked = sorted(mine, key=lambda i: (-score[i], -weight[i], b[i]))
        expected += [(one, int(b[i])) for i in ranked[:most]]
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == expected
    assert np.allclose(features, pair_features(yarns, found, rules), equal_nan=True)


def test_when_pairs_are_made_in_small_parts_then_they_are_the_same(monkeypatch):
    yarns = generated(60, 3)
    whole, _ = Candidates(yarns, SETTINGS).best(np.arange(60))
    monkeypatch.setattr(yarn_pairs, "PAIRS_AT_ONCE", 7)
    parts, _ = Candidates(yarns, SETTINGS).best(np.arange(60))
    assert np.array_equal(whole.a, parts.a)
    assert np.array_equal(whole.b, parts.b)
    nothing, features = Candidates(yarns, SETTINGS).best(np.array([], dtype=np.int64))
    assert (len(nothing.a), features.shape) == (0, (0, 7))


def test_when_the_rule_is_asked_then_what_is_unknown_is_never_recommended(small):
    rows = np.array([
        [1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1], [np.nan, 1, 1, 1, 1, 1, 1], [1, np.nan, 1, 1, 1, 1, 1],
        [1, 1, np.nan, 1, 1, 1, 1], [1, 0.9, 1, 1, 1, 0.7, 1],
    ])  # fmt: skip
    assert np.allclose(rule_score(rows, SETTINGS), [1, 0.4, 0.4, 0, 0, 0.63])
    assert np.allclose(rule_score(rows, changed(rule_color=0.1))[1], 0.1)


def test_when_catalogues_are_stored_then_they_come_back_and_broken_ones_are_refused(small):
    again = YarnCatalogue.from_arrays(small.arrays())
    assert again.yarn_id.tolist() == small.yarn_id.tolist()
    assert again.find(np.array(["f", "nobody", "a"])).tolist() == [5, -1, 0]
    with pytest.raises(ValueError, match="length"):
        YarnCatalogue.from_arrays(small.arrays() | {"cost": small.cost[:2]})
    with pytest.raises(ValueError, match="order"):
        YarnCatalogue.from_arrays(small.arrays() | {"yarn_id": small.yarn_id[::-1]})
    with pytest.raises(KeyError):
        YarnCatalogue.from_arrays({})


def test_when_there_are_no_yarns_then_nothing_is_found():
    none, _ = yarn_catalogue(None, None, None, SETTINGS)
    assert none.find(np.array(["x"])).tolist() == [-1]
    assert len(Candidates(none, SETTINGS).best(np.array([], dtype=np.int64))[0].a) == 0


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"weight_close": 0.7}, "weight_band"),
        ({"colors": {"RED": ["BLK"], "BLACK": ["blk."]}}, "two names"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"label_noise": 0.6}, "label_noise"),
        ({"colours": {}}, "did you mean"),
    ],
)
def test_when_a_setting_is_wrong_then_it_is_refused(more, named):
    with pytest.raises(SettingsError) as caught:
        changed(**more)
    assert named in str(caught.value)


def test_when_groups_are_ranked_then_each_begins_at_zero():
    assert rank_within(np.array([3, 3, 1, 1, 1, 2])).tolist() == [0, 1, 0, 1, 2, 0]
