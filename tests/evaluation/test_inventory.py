"""The judgement of order quantities: regret, service, bound, recommendation, savings; on figures worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.inventory import CLAIRVOYANT, EXACT, SURROGATE, joined, judge, recommended, report, savings
from models.inventory.policies import POLICIES
from models.inventory.search import search
from tests.models.inventory.made import items_of


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(4)
    cheap = np.where(np.arange(40) % 2, 5.0, 0.05)  # a unit short costs next to nothing: the wanted service binds
    items = items_of(40, position=rng.integers(0, 30, 40).astype(float), lead_days=5, reliability=1.0, stockout=cheap)
    past, future = rng.poisson(1.0, (40, 12, 15)).astype(float), rng.poisson(1.0, (40, 1, 15)).astype(float)
    best = search(items, lambda rows, length: past[rows, :, :length], 10, 12)
    quantities = {SURROGATE: best.quantity + 1, "eoq_rop": best.quantity * 0, "newsvendor": best.quantity + 30,
                  "base_stock": best.quantity + 3}  # fmt: skip
    return judge(items, best, quantities, lambda r, n: past[r, :, :n], lambda r, n: future[r, :, :n], 10, 12, 64,
                 POLICIES)  # fmt: skip


def test_when_reported_then_regret_service_and_bound_are_those_of_the_sums(judged):
    told = report(judged, 0.78)
    rows = {row["policy"]: row for row in told["policies"]}
    exact = judged.expected[EXACT]
    assert rows[EXACT]["expected_regret"] == 0
    for name, of in judged.expected.items():
        assert rows[name]["expected_regret"] == pytest.approx(of.cost.sum() / exact.cost.sum() - 1)
    assert rows[CLAIRVOYANT]["beyond_bound"] == 0
    for name in judged.quantities:
        here = judged.realised[name]
        kept = judged.reachable
        bound = judged.realised[CLAIRVOYANT].cost.sum()
        assert rows[name]["beyond_bound"] == pytest.approx(here.cost.sum() / bound - 1)
        assert rows[name]["realised_service"] == pytest.approx(1 - here.short[kept].sum() / here.demanded[kept].sum())
    assert rows["newsvendor"]["expected_cost"] > rows[EXACT]["expected_cost"]


def test_when_quantities_are_compared_then_their_accuracy_is_one_minus_wape(judged):
    told = report(judged, 0.78)["quantity"]
    wape = 40 / judged.quantities[EXACT].sum()
    assert told["wape"] == pytest.approx(wape)
    assert told["accuracy"] == pytest.approx(max(0, 1 - wape))
    for target in (0.0, told["accuracy"], 1.01):
        other = report(judged, target)["quantity"]
        assert (other["target"], other["target_met"]) == (target, told["accuracy"] >= target)


def test_when_parts_are_joined_then_the_report_is_that_of_all(judged):
    both = joined([judged, judged])
    one, two = report(judged, 0.78), report(both, 0.78)
    assert two["n"] == 2 * one["n"]
    assert two["policies"][0]["expected_cost"] == pytest.approx(2 * one["policies"][0]["expected_cost"])


NAMES = [SURROGATE, EXACT, "eoq_rop", "newsvendor", "base_stock"]


def test_when_a_policy_is_cheap_because_it_serves_nobody_then_it_is_not_recommended(judged):
    choice = recommended(judged, NAMES)
    assert choice["policy"] != "eoq_rop"
    rows = {row["policy"]: row for row in report(judged, 0.78)["policies"]}
    fit = [name for name in NAMES if all(
        rows[name][f"{kind}_service"] >= min(0.95, max(rows[n][f"{kind}_service"] for n in NAMES)) - 0.02
        for kind in ("expected", "realised")
    )]  # fmt: skip
    assert 1 < len(fit) < len(NAMES)
    assert choice["policy"] == min(fit, key=lambda name: choice["costs"][name])
    assert f"the cheapest of {len(fit)} policies" in choice["words"]


def test_when_a_policy_served_well_by_luck_alone_then_it_is_not_recommended(judged):
    """It orders nothing and costs least; what followed happened to ask for nothing of what it lacks."""
    of = judged.realised["eoq_rop"]
    lucky = replace(of, cost=of.cost * 0, short=of.short * 0)
    found = replace(judged, realised={**judged.realised, "eoq_rop": lucky})
    choice = recommended(found, NAMES)
    assert choice["service"]["eoq_rop"] == 1
    assert choice["costs"]["eoq_rop"] == 0
    assert choice["policy"] != "eoq_rop"
    assert savings(found, EXACT)["against"] != "eoq_rop"


def test_when_no_policy_serves_in_both_accounts_then_the_one_that_served_best_is_named(judged):
    of = judged.realised["eoq_rop"]
    lucky = replace(of, short=of.short * 0)  # only the one that does not on the paths
    bad = {name: replace(one, short=one.demanded * 0.5) for name, one in judged.realised.items()}
    choice = recommended(replace(judged, realised={**bad, "eoq_rop": lucky}), NAMES)
    assert choice["policy"] == "eoq_rop"
    assert "no policy serves well enough" in choice["words"]


def test_when_savings_are_told_then_they_are_against_the_cheapest_that_serves_as_well(judged):
    told = savings(judged, EXACT)
    assert told["against"] in ("newsvendor", "base_stock")  # nothing is ordered by the other one
    cost = judged.realised[told["against"]].cost.sum()
    assert told["amount"] == pytest.approx(cost - judged.realised[EXACT].cost.sum())
    assert told["policy"] == EXACT
    assert told["share"] == pytest.approx(told["amount"] / cost)
    assert savings(judged, told["against"])["amount"] == 0


def test_when_a_policy_serves_less_then_the_exact_search_is_no_dearer_at_its_service(judged):
    told = report(judged, 0.78)
    rows = {row["policy"]: row for row in told["policies"]}
    assert set(told["equal_service"]) == set(POLICIES)
    assert rows["eoq_rop"]["expected_service"] < 0.93  # it orders nothing; 0.95 is wanted
    for name in POLICIES:
        own, same = judged.expected[name], judged.same_expected[name]
        assert (same.fill >= own.fill - 1e-6).all()
        assert (same.cost <= own.cost + 1e-6).all()
        here = told["equal_service"][name]
        assert here["expected_share"] == pytest.approx(1 - same.cost.sum() / own.cost.sum())
        cost, policy = judged.same_realised[name].cost.sum(), judged.realised[name].cost.sum()
        assert here["realised_share"] == pytest.approx(1 - cost / policy)
    # Orders of 30 units too much serve everybody, and so does less of it.
    assert told["equal_service"]["newsvendor"]["expected_share"] > 0.1
    assert report(replace(judged, same_expected={}, same_realised={}), 0.78)["equal_service"] == {}


def test_when_items_are_drawn_again_then_the_gap_moves_by_its_standard_error(judged):
    row = next(row for row in report(judged, 0.78)["policies"] if row["policy"] == EXACT)
    of, rng = judged.realised[EXACT], np.random.default_rng(1)
    assert judged.reachable.sum() > 20
    gaps = []
    for _ in range(2_000):
        drawn = rng.choice(np.flatnonzero(judged.reachable), int(judged.reachable.sum()))
        gaps.append(1 - of.short[drawn].sum() / of.demanded[drawn].sum() - 0.95)
    assert row["realised_error"] == pytest.approx(np.std(gaps), rel=0.15)
    bound = judged.binding
    short, demanded = of.short[bound].sum(), of.demanded[bound].sum()
    assert 2 < bound.sum() < judged.reachable.sum()
    assert row["binding_gap"] == pytest.approx(1 - short / demanded - 0.95)


def test_when_items_are_drawn_again_then_the_error_of_the_promise_moves_by_its_standard_error(judged):
    row = next(row for row in report(judged, 0.78)["policies"] if row["policy"] == EXACT)
    assert row["surprise"] == pytest.approx(row["realised_gap"] - row["expected_gap"])
    rng, found = np.random.default_rng(1), []
    for _ in range(2_000):
        drawn = rng.choice(np.flatnonzero(judged.reachable), int(judged.reachable.sum()))
        said, came = (1 - of.short[drawn].sum() / of.demanded[drawn].sum()
                      for of in (judged.expected[EXACT], judged.realised[EXACT]))  # fmt: skip
        found.append(came - said)
    assert row["surprise_error"] == pytest.approx(np.std(found), rel=0.15)
    kept = judged.reachable
    ratio = judged.realised[EXACT].demanded[kept].sum() / judged.expected[EXACT].demanded[kept].sum()
    assert report(judged, 0.78)["demand_ratio"] == pytest.approx(ratio)
    knowing = next(row for row in report(judged, 0.78)["policies"] if row["policy"] == CLAIRVOYANT)
    assert (knowing["surprise"], knowing["surprise_error"]) == (None, None)


@pytest.mark.parametrize(("gap", "within"), [(0.019, True), (-0.019, True), (0.03, False), (-0.03, False)])
def test_when_a_unit_short_costs_nothing_then_that_tells_whether_the_service_is_the_wanted_one(judged, gap, within):
    told = report(judged, 0.78)
    assert told["surrogate"]["service_within"] is None
    assert "service_alone" not in told
    of = judged.realised[SURROGATE]
    served = replace(of, short=(1 - judged.wanted - gap) * of.demanded)
    alone = replace(judged, realised={**judged.realised, SURROGATE: served})
    told = report(judged, 0.78, alone)
    assert told["surrogate"]["service_within"] is within
    assert next(row for row in told["service_alone"]["policies"] if row["policy"] == SURROGATE)[
        "realised_gap"
    ] == pytest.approx(gap)
    assert told["policies"] == report(judged, 0.78)["policies"]


def test_when_an_item_is_judged_twice_then_that_is_no_more_evidence_but_another_item_is(judged):
    def error(of):
        return next(row for row in report(of, 0.78)["policies"] if row["policy"] == EXACT)["realised_error"]

    other = replace(judged, ids=np.char.add(judged.ids, "b"))
    assert error(joined([judged, judged])) == pytest.approx(error(judged))
    assert error(joined([judged, other])) == pytest.approx(error(judged) / np.sqrt(2), rel=0.03)
    alone = replace(judged, ids=np.full(judged.n, "one"))
    assert error(alone) is None
