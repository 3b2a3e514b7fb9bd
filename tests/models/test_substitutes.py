"""Ranked substitutes: the best first by whoever ranks them, in words, the same after being stored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from demand.errors import VersionUnreadable
from features.yarn_pairs import AVAILABLE, PRICE, Pairs, pair_features, rule_score
from models.files import read_arrays, read_json, write_arrays, write_json
from models.substitutes import Substitutes
from models.yarn_labels import Labelled
from models.yarn_substitution import FitLimits, YarnSubstitution
from tests.features.yarns import SETTINGS, changed, generated, judged


@pytest.fixture(scope="module")
def yarns():
    return generated(80, 5)


@pytest.fixture(scope="module")
def model(yarns):
    pairs, y = judged(yarns, 250)
    labelled = Labelled(pair_features(yarns, pairs, SETTINGS), y, pairs.a, pairs.b, np.arange(len(y)))
    return YarnSubstitution(n_estimators=15, cv_folds=2, oob_score=False).fit(labelled, FitLimits())


def slowly(substitutes, a, top):
    """The candidates of one yarn, one after another."""
    y, s = substitutes.yarns, substitutes.settings
    found = []
    for b in range(len(y)):
        x = pair_features(y, Pairs(np.array([a]), np.array([b])), s)[0]
        fits = y.family[a] == y.family[b] != "" and (x[1] >= s.weight_band) and y.theoretical[b] > s.min_stock_lb
        if b == a or not fits:
            continue
        score = rule_score(x[None], s)[0] if substitutes.model is None else substitutes.model.probability(x[None])[0]
        price = math.inf if math.isnan(x[PRICE]) else x[PRICE]
        found.append((-score, price, -x[AVAILABLE] if x[AVAILABLE] == x[AVAILABLE] else 0.0, b))
    return [b for *_, b in sorted(found)[:top]]


@pytest.mark.parametrize("by", ["rule", "yarn_substitution"])
def test_when_candidates_are_ranked_then_they_are_those_of_the_slow_twin(yarns, model, by):
    answering = Substitutes(yarns, changed(max_candidates=500), model if by == "yarn_substitution" else None)
    wanted = np.arange(0, 80, 3)[::-1]
    ranked = answering.rank(wanted, 4)
    assert answering.made_by == by
    for a in wanted:
        own = ranked.pairs.a == a
        assert ranked.pairs.b[own].tolist() == slowly(answering, a, 4)
        assert ranked.rank[own].tolist() == list(range(1, own.sum() + 1))
    assert list(dict.fromkeys(ranked.pairs.a.tolist())) == [a for a in wanted if (ranked.pairs.a == a).any()]


def test_when_the_rule_ranks_then_there_is_no_probability_and_its_limit_decides(yarns):
    answering = Substitutes(yarns, SETTINGS)
    columns = answering.columns(answering.rank(answering.short(), 3))
    assert set(columns["made_by"]) == {"rule"}
    assert np.isnan(columns["probability"]).all()
    assert np.array_equal(columns["recommended"], columns["score"] >= 0.5)
    strict = Substitutes(yarns, changed(rule_threshold=0.9))
    assert strict.columns(strict.rank(strict.short(), 3))["recommended"].sum() < columns["recommended"].sum()


def test_when_the_model_ranks_then_the_score_is_its_probability(yarns, model):
    answering = Substitutes(yarns, SETTINGS, model)
    columns = answering.columns(answering.rank(answering.short(), 3))
    assert np.array_equal(columns["probability"], columns["score"])
    assert np.array_equal(columns["recommended"], columns["probability"] >= 0.5)


def test_when_pounds_are_compared_then_available_is_above_the_limit(yarns):
    for limit in (500.0, 100.0):
        answering = Substitutes(yarns, changed(available_lb=limit))
        columns = answering.columns(answering.rank(np.arange(80), 5))
        assert np.array_equal(columns["available"], columns["stock_lb"] > limit)
    assert (columns["stock_lb"] > 0).all()


def test_when_yarns_are_short_then_the_largest_shortage_comes_first(yarns):
    short = Substitutes(yarns, SETTINGS).short()
    assert (yarns.planning[short] < 0).all()
    assert len(short) == int((yarns.planning < 0).sum())
    assert (np.diff(yarns.shortage[short]) <= 0).all()


def test_when_reasons_are_told_then_they_are_the_values_in_words(yarns):
    answering = Substitutes(yarns, SETTINGS)
    ranked = answering.rank(answering.short(), 5)
    columns, told = answering.columns(ranked), answering.reasons(ranked)
    for i, words in enumerate(told):
        assert ("same colour" in words) == (columns["color_similarity"][i] == 1)
        assert ("colour not stated" in words) == np.isnan(columns["color_similarity"][i])
        assert ("weight matches" in words) == (columns["weight_similarity"][i] >= 0.95)
        assert ("weight is close" in words) == (0.9 <= columns["weight_similarity"][i] < 0.95)
        assert ("price not known" in words) == np.isnan(columns["price_ratio"][i])
        assert ("dearer" in words) == (round(100 * columns["price_ratio"][i] - 100) > 0 if columns["price_ratio"][i] > 0
                                       else False)  # fmt: skip
        assert ("cover the" in words) == (columns["stock_lb"][i] >= columns["shortage_lb"][i])
        assert "(assumed: too few orders)" in words


def test_when_nobody_fits_then_the_reason_is_said(yarns):
    unread = replace(yarns, total=np.full(80, np.nan))
    assert "cannot be read" in Substitutes(unread, SETTINGS).why_none(0)
    assert len(Substitutes(unread, SETTINGS).rank(np.arange(80), 3).rank) == 0
    assert "no other yarn" in Substitutes(yarns, SETTINGS).why_none(int(np.flatnonzero(yarns.family != "")[0]))


def test_when_yarns_are_stored_then_they_answer_the_same(yarns, model, tmp_path):
    answering = Substitutes(yarns, changed(available_lb=123.0), model)
    answering.save(tmp_path)
    again = Substitutes.load(tmp_path, model)
    assert again.settings == answering.settings
    one, other = (each.columns(each.rank(each.short(), 5)) for each in (answering, again))
    assert all(np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one)


@pytest.mark.parametrize("what", ["short array", "missing array", "settings"])
def test_when_stored_yarns_are_damaged_then_they_are_unreadable(yarns, tmp_path, what):
    Substitutes(yarns, SETTINGS).save(tmp_path)
    arrays = read_arrays(tmp_path / "catalogue.npz")
    if what == "short array":
        write_arrays(tmp_path / "catalogue.npz", arrays | {"cost": arrays["cost"][:3]})
    elif what == "missing array":
        write_arrays(tmp_path / "catalogue.npz", {name: arrays[name] for name in list(arrays)[1:]})
    else:
        write_json(tmp_path / "settings.json", read_json(tmp_path / "settings.json") | {"weight_close": 7})
    with pytest.raises(VersionUnreadable):
        Substitutes.load(tmp_path, None)
