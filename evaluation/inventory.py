"""How good order quantities are: their cost against the exact optimum, the simple policies, and what really came.

Each quantity is priced twice. `expected`: on the demand paths it was decided on - there nothing can beat the exact
search at the same service. `realised`: on the demand that really followed - there a forecast can be wrong, a simple
policy may win, and the clairvoyant optimum (the exact search with the future known) is the bound for all.

A policy that serves less than wanted can cost less than the cheapest way to serve as wanted. `at_equal_service` sets
against it the exact search that is asked for no more, decision by decision, than the policy itself gives.

The wanted service is a floor: where a unit short costs more than holding it, the cheapest quantity serves beyond it.
Whether a planner who wants 95 % gets 95 % is therefore asked of the same decisions with a unit short costing nothing
(`priced_by_service`): then nothing but the wanted service, the smallest order and the stock at hand buys any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Strings
from models.inventory.items import Items
from models.inventory.policies import POLICIES
from models.inventory.replay import Outcome
from models.inventory.search import Optimum, Sample, price, search

EXACT, SURROGATE, CLAIRVOYANT = "exact", "surrogate", "clairvoyant"
REGRET_TARGET = 0.03
SERVICE_TOLERANCE = 0.02
_CLOSE = 1e-9  # a wanted service lies between 0 and 1


@dataclass(frozen=True, eq=False)
class Judged:
    """n decisions priced: policy -> outcome [n], on the paths and on what really followed.

    quantities: policy -> [n]. reachable [n]: the exact search could reach the wanted service; binding [n]: and ordered
    more for it than the costs alone ask for. wanted [n]. ids [n]: the item of each decision. same_expected,
    same_realised: policy -> outcome of the exact search at that policy's service.
    """

    quantities: Mapping[str, Floats]
    expected: Mapping[str, Outcome]
    realised: Mapping[str, Outcome]
    reachable: NDArray[np.bool_]
    binding: NDArray[np.bool_]
    wanted: Floats
    ids: Strings
    same_expected: Mapping[str, Outcome]
    same_realised: Mapping[str, Outcome]

    @property
    def n(self) -> int:
        return len(self.wanted)


def judge(
    items: Items, best: Optimum, quantities: Mapping[str, Floats], sample: Sample, actual: Sample, review_days: int,
    n_paths: int, memory_mb: float, same_service: Collection[str] = (),
) -> Judged:  # fmt: skip
    """quantities: policy -> [n], beside the exact ones. actual(rows, W) -> what really was demanded [n, 1, W].
    same_service: the policies at whose service the exact search is asked as well (one search each)."""
    everyone = {EXACT: best.quantity, **quantities}
    expected = {
        name: best.outcome if name == EXACT else price(items, q, sample, review_days, n_paths, memory_mb)
        for name, q in everyone.items()
    }
    realised = {name: price(items, q, actual, review_days, 1, memory_mb) for name, q in everyone.items()}
    known = search(items, actual, review_days, 1, memory_mb)
    everyone[CLAIRVOYANT], realised[CLAIRVOYANT] = known.quantity, known.outcome
    same = {
        name: search(replace(items, service=np.clip(expected[name].fill, _CLOSE, 1 - _CLOSE)), sample, review_days,
                     n_paths, memory_mb) for name in same_service
    }  # fmt: skip
    same_realised = {name: price(items, of.quantity, actual, review_days, 1, memory_mb) for name, of in same.items()}
    return Judged(everyone, expected, realised, best.reached, best.binding, items.service, items.ids,
                  {name: of.outcome for name, of in same.items()}, same_realised)  # fmt: skip


def joined(parts: Sequence[Judged]) -> Judged:
    """Decisions of several origins as one."""

    def all_of(of: Callable[[Judged], Mapping[str, Outcome]]) -> dict[str, Outcome]:
        return {
            name: Outcome(*(np.concatenate([getattr(of(part)[name], figure) for part in parts])
                            for figure in ("cost", "short", "demanded")))
            for name in of(parts[0])
        }  # fmt: skip

    return Judged(
        {name: np.concatenate([part.quantities[name] for part in parts]) for name in parts[0].quantities},
        all_of(lambda part: part.expected),
        all_of(lambda part: part.realised),
        np.concatenate([part.reachable for part in parts]),
        np.concatenate([part.binding for part in parts]),
        np.concatenate([part.wanted for part in parts]),
        np.concatenate([part.ids for part in parts]),
        all_of(lambda part: part.same_expected),
        all_of(lambda part: part.same_realised),
    )


def report(judged: Judged, target: float, alone: Judged | None = None) -> dict[str, Any]:
    """The figures of IO3, strict JSON: a row a policy, the targets met or missed, how many decisions they rest on.

    regret is (cost - cost of exact) / cost of exact, of sums over all decisions; null where that sum is 0. service is
    1 - units short / units demanded, of sums over the decisions whose wanted service the paths say can be reached;
    gap is that less the service wanted there (weighted by demand); an expected gap above 0 is what costs, lots and the
    stock at hand buy beyond the wanted. realised_error: the standard error of the realised gap, of items drawn as these
    were (their dates as they are); null for fewer than two items. binding_gap, binding_error: the same of those of the
    decisions (n_binding) whose order the wanted service made larger than the costs ask for. surprise, surprise_error:
    realised gap less expected gap, the error of what the paths promised, and its standard error. demand_ratio: what was
    demanded / what the paths expected, of sums over the decisions that can be reached; null where that is 0.
    beyond_bound: realised cost above the clairvoyant's, who serves as wanted; a policy that serves less may cost less
    and be below 0. equal_service: see `at_equal_service`. target: of 1 - WAPE of the surrogate's quantities.
    alone: the same decisions `priced_by_service`; `service_alone` has their counts and rows, and `service_within` of
    the surrogate is told from them (null without them): its realised gap there is within two points.
    """
    rows = [_row(judged, name) for name in judged.quantities]
    by_name = {row["policy"]: row for row in rows}
    told: dict[str, Any] = {"n": judged.n, "n_reachable": int(judged.reachable.sum()),
                            "n_binding": int(judged.binding.sum()), "policies": rows,
                            "demand_ratio": _demand_ratio(judged),
                            "equal_service": at_equal_service(judged)}  # fmt: skip
    if alone is not None:
        told["service_alone"] = {"n": alone.n, "n_reachable": int(alone.reachable.sum()),
                                 "n_binding": int(alone.binding.sum()),
                                 "policies": [_row(alone, name) for name in alone.quantities]}  # fmt: skip
    if SURROGATE in judged.quantities:
        own = by_name[SURROGATE]
        literal = None if alone is None else _row(alone, SURROGATE)["realised_gap"]
        exact, guess = judged.quantities[EXACT], judged.quantities[SURROGATE]
        total = float(np.abs(exact).sum())
        wape = float(np.abs(guess - exact).sum()) / total if total else None
        accuracy = None if wape is None else max(0.0, 1 - wape)
        told["quantity"] = {"wape": wape, "accuracy": accuracy, "target": target,
                            "target_met": accuracy is not None and accuracy >= target}  # fmt: skip
        simple = [name for name in ("eoq_rop", "newsvendor") if name in by_name]
        told["surrogate"] = {
            "regret": own["expected_regret"], "target": REGRET_TARGET,
            "target_met": own["expected_regret"] is not None and own["expected_regret"] <= REGRET_TARGET,
            "cheaper_than": {name: own["expected_cost"] < by_name[name]["expected_cost"] for name in simple},
            "service_short": None if own["realised_gap"] is None else own["realised_gap"] < -SERVICE_TOLERANCE,
            "service_within": None if literal is None else abs(literal) <= SERVICE_TOLERANCE,
        }  # fmt: skip
    return told


def at_equal_service(judged: Judged) -> dict[str, dict[str, float | None]]:
    """Policy -> what the exact search costs when it is asked for the service that the policy itself gives on the paths,
    at each decision: {expected_cost, expected_share, realised_cost, realised_share, realised_service}.

    share: (the policy's cost - that cost) / the policy's cost, null where that is 0; on the paths never below 0; it can
    be on what followed, where the two need not serve alike: compare realised_service.
    """
    told = {}
    for name, same in judged.same_expected.items():
        one: dict[str, float | None] = {}
        parts = (("expected", judged.expected, same), ("realised", judged.realised, judged.same_realised[name]))
        for kind, of, exact in parts:
            policy, cost = float(of[name].cost.sum()), float(exact.cost.sum())
            one |= {f"{kind}_cost": cost, f"{kind}_share": (policy - cost) / policy if policy > 0 else None}
        one["realised_service"] = _service(judged, judged.same_realised[name], judged.reachable)[0]
        told[name] = one
    return told


def recommended(judged: Judged, among: Sequence[str]) -> dict[str, Any]:
    """Which policy was cheapest on what really followed, decided on these decisions: never on those it is judged on.

    A policy must serve well enough (see `serves`); where none does in both accounts, the one that serves best on what
    followed. {policy, costs, service, n, words}.
    """
    rows = {name: _row(judged, name) for name in among}
    fit = [name for name, row in rows.items() if serves(row, rows.values())]
    costs = {name: rows[name]["realised_cost"] for name in among}
    service = {name: rows[name]["realised_service"] for name in among}
    most = max((of for of in service.values() if of is not None), default=None)
    chosen = min(fit or [name for name in among if service[name] == most], key=lambda name: costs[name])
    why = f"was the cheapest of {len(fit)} policies" if fit else "served best, but no policy serves well enough,"
    words = f"{chosen} {why} on what followed {judged.n} earlier decisions"
    return {"policy": chosen, "costs": costs, "service": service, "n": judged.n, "words": words}


def serves(row: Mapping[str, Any], rows: Collection[Mapping[str, Any]]) -> bool:
    """Whether a policy serves well enough to be compared by its cost: as wanted less two points, or, where none of
    `rows` does, as the best of them less two points; on the paths and on what followed. One that does on what followed
    alone was lucky there, and is not expected to do so again. Always, where nothing was demanded."""

    def enough(kind: str) -> bool:
        service, gap = row[f"{kind}_service"], row[f"{kind}_gap"]
        services = [one[f"{kind}_service"] for one in rows if one[f"{kind}_service"] is not None]
        if service is None:
            return not services
        return bool(service >= min(service - gap, max(services)) - SERVICE_TOLERANCE)

    return enough("expected") and enough("realised")


def savings(judged: Judged, policy: str) -> dict[str, Any]:
    """What ordering by `policy` saves on what really followed, against the cheapest simple policy that serves well
    enough (see `serves`): {policy, amount, share, against, n}; 0 when `policy` is that one, below 0 when it costs more,
    None when no simple policy does. amount, in money, is of the decisions judged: only the share means something
    elsewhere."""
    rows = {name: _row(judged, name) for name in (*POLICIES, policy) if name in judged.realised}
    fit = [name for name, row in rows.items() if (name != policy or name in POLICIES) and serves(row, rows.values())]
    if not fit:
        return {"policy": policy, "amount": None, "share": None, "against": None, "n": judged.n}
    against = min(fit, key=lambda name: rows[name]["realised_cost"])
    cost = rows[against]["realised_cost"]
    amount = cost - rows[policy]["realised_cost"]
    share = amount / cost if cost else None
    return {"policy": policy, "amount": amount, "share": share, "against": against, "n": judged.n}


def _row(judged: Judged, name: str) -> dict[str, Any]:
    quantity = judged.quantities[name]
    row: dict[str, Any] = {"policy": name, "orders": int((quantity > 0).sum()), "quantity": float(quantity.sum())}
    for kind, outcomes in (("expected", judged.expected), ("realised", judged.realised)):
        if name not in outcomes:
            row |= {f"{kind}_{figure}": None for figure in ("cost", "regret", "service", "gap")}
            continue
        of, exact = outcomes[name], outcomes[EXACT]
        cost, least = float(of.cost.sum()), float(exact.cost.sum())
        row[f"{kind}_cost"] = cost
        row[f"{kind}_regret"] = (cost - least) / least if least > 0 else None
        service, gap = _service(judged, of, judged.reachable)
        row |= {f"{kind}_service": service, f"{kind}_gap": gap}
    came = judged.realised[name]
    row["realised_error"] = _error(judged, came, judged.reachable)
    row["binding_gap"] = _service(judged, came, judged.binding)[1]
    row["binding_error"] = _error(judged, came, judged.binding)
    row |= _surprise(judged, judged.expected.get(name), came)
    bound = float(judged.realised[CLAIRVOYANT].cost.sum())
    row["beyond_bound"] = (row["realised_cost"] - bound) / bound if bound > 0 else None
    return row


def _service(judged: Judged, of: Outcome, kept: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    """(service, service less wanted) of the kept decisions; None where nothing is demanded."""
    total = float(of.demanded[kept].sum())
    if not total > 0:
        return None, None
    service = 1 - float(of.short[kept].sum()) / total
    return service, service - float((of.demanded * judged.wanted)[kept].sum()) / total


def _demand_ratio(judged: Judged) -> float | None:
    said, came = (float(of[EXACT].demanded[judged.reachable].sum()) for of in (judged.expected, judged.realised))
    return came / said if said > 0 else None


def _surprise(judged: Judged, promised: Outcome | None, came: Outcome) -> dict[str, float | None]:
    """{surprise, surprise_error} of the reachable decisions; None for who knew what came, and where nothing is
    demanded."""
    nothing: dict[str, float | None] = {"surprise": None, "surprise_error": None}
    if promised is None:
        return nothing
    said, kept = _influence(judged, promised, judged.reachable), _influence(judged, came, judged.reachable)
    if said is None or kept is None:
        return nothing
    return {"surprise": kept[0] - said[0], "surprise_error": _spread(kept[1] - said[1])}


def _error(judged: Judged, of: Outcome, kept: NDArray[np.bool_]) -> float | None:
    """The standard error of the gap; None for fewer than two items and where nothing is demanded."""
    found = _influence(judged, of, kept)
    return None if found is None else _spread(found[1])


def _influence(judged: Judged, of: Outcome, kept: NDArray[np.bool_]) -> tuple[float, Floats] | None:
    """(the gap of the kept decisions, how far each of their items moves it): the gap is a ratio of sums over items,
    made linear (Cochran 1977, ch. 6). An item's sum holds all of its kept decisions, which have much of their demand in
    common. None where nothing is demanded."""
    _, gap = _service(judged, of, kept)
    if gap is None:
        return None
    item = np.unique(judged.ids[kept], return_inverse=True)[1]
    demanded = np.bincount(item, of.demanded[kept])
    over = np.bincount(item, ((1 - judged.wanted) * of.demanded - of.short)[kept])  # gap = sum of it / sum demanded
    return gap, (over - gap * demanded) / demanded.sum()


def _spread(moves: Floats) -> float | None:
    """The standard error that moves of n items add up to; None for fewer than two."""
    n = len(moves)
    return float(np.sqrt(n / (n - 1) * (moves**2).sum())) if n >= 2 else None
