"""May this release serve? The gate's checks, each a sentence with its numbers; no file and no alias is touched here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from demand.panel import Panel
from evaluation.folds import Fold
from evaluation.formulas import wape
from evaluation.paired import paired_test
from evaluation.results import FoldResult
from evaluation.selection import exploded
from models.base import Forecast

Loss = Literal["absolute", "squared", "pinball"]
SIGNIFICANT = 0.05
NOISE = 0.03  # WAPE: smaller differences are not told apart where no test can be made
FEWEST = 5  # units: with fewer, no arrangement of signs is rarer than SIGNIFICANT
GROSS = 2.0  # times the champion's WAPE: so far off in a few styles that no test over all of them would show it
RESCALED_STYLE, RESCALED_FLEET = 10.0, 2.0  # times: what the same days may change by between two reads of the data
MATERIAL = 0.01  # of the fleet's demand: smaller styles are not worth holding a release back


@dataclass(frozen=True)
class Check:
    """One question of the gate: whether it was passed, the answer in words, and the test behind it (strict JSON)."""

    name: str
    passed: bool
    words: str
    test: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Contender:
    """A release before the gate.

    name: as the sentences call it. scored: model -> its forecasts at the scored origins, oldest first; the served
    model, seasonal_naive and mean among them. live: what it would serve. panel: the demand it was made from.
    relative_wape: of what it serves over the seasonal naive's, on its own origins; None where undefined.
    """

    name: str
    served: str
    scored: Mapping[str, Sequence[Forecast]]
    live: Forecast
    panel: Panel
    season: int
    relative_wape: float | None


def beats(one: Contender, baselines: Sequence[str], loss: Loss, seed: int) -> list[Check]:
    """Whether what it serves is better than each baseline beyond chance, at its own scored origins."""
    checks = []
    own = _results(one.scored[one.served], one.served, one.panel)
    for baseline in baselines:
        other = _results(one.scored[baseline], baseline, one.panel)
        test = paired_test(own, other, loss=loss, seed=seed)
        passed = test["p_better"] is not None and test["p_better"] < SIGNIFICANT
        said = "beats" if passed else "does not beat"
        words = f"{one.served} {said} {baseline} beyond chance: {_figures(own, other, test, test['p_better'])}"
        checks.append(Check(f"beats {baseline}", passed, words, test))
    return checks


def not_worse(new: Contender, old: Contender, loss: Loss, seed: int) -> Check:
    """Whether the newer one is no worse than the champion: on the (series, origin) cells both were scored at, against
    the newer data; where they share none, by each one's WAPE over the seasonal naive's on its own origins."""
    truth = max((new, old), key=lambda one: one.panel.end).panel
    a, b = _common(new, old, truth)
    if not a:
        return _by_own_origins(new, old)
    if a[0].forecast.levels != b[0].forecast.levels:
        loss = "absolute"
    test = paired_test(b, a, loss=loss, seed=seed)  # whether the champion is better
    test = {**test, "a": old.name, "b": new.name}
    ours, theirs = _wape(a), _wape(b)
    figures = _figures(a, b, test, test["p_better"], "p_worse")
    further = float(ours - theirs) if np.isfinite(ours) and np.isfinite(theirs) else 0.0
    if test["n_differ"] < FEWEST or test["p_better"] is None:
        worse = further > NOISE
        rule = f"same origins; {test['n_differ']} {test['unit']} differ, too few for a test: {NOISE} higher is worse"
    elif further > NOISE and ours > GROSS * theirs:
        worse, rule = True, f"same origins; more than {GROSS:g} times as far off is worse, in however few styles"
    else:
        worse, rule = test["p_better"] < SIGNIFICANT, "paired test on the same origins"
    said = "worse than" if worse else "not worse than"
    return Check("champion", not worse, f"{said} {old.name}: {figures} ({rule})", test)


def _by_own_origins(new: Contender, old: Contender) -> Check:
    ours, theirs = new.relative_wape, old.relative_wape
    rule = f"no common origin: WAPE over the seasonal naive's, each on its own origins; {NOISE} higher is worse"
    if ours is None or theirs is None:
        return Check("champion", True, f"cannot be compared with {old.name}: nothing was sold where it was scored")
    worse = ours > theirs + NOISE
    said = "worse than" if worse else "not worse than"
    facts = {"yardstick": "relative_wape", "candidate": ours, "champion": theirs, "tolerance": NOISE}
    return Check("champion", not worse, f"{said} {old.name}: {ours:.3f} against {theirs:.3f} ({rule})", facts)


def same_past(new: Contender, old: Contender) -> Check:
    """Whether both saw the same demand on the same days. Corrections are small; another unit, lost lines or a misread
    number are not, and they judge themselves by their own wrong truth."""
    ids = np.intersect1d(new.panel.ids, old.panel.ids)
    first = max(int(new.panel.start.min()), int(old.panel.start.min()))
    n = min(new.panel.end, old.panel.end) - first + 1
    if not len(ids) or n < 1:
        return Check("same past", True, f"shares no days with {old.name}")
    then, now = (one.panel.take(one.panel.index_of(ids)).window(first, n) for one in (old, new))
    known = ~(np.isnan(then) | np.isnan(now))
    before, after = (np.where(known, np.abs(values), 0.0).sum(axis=1) for values in (then, now))
    total_before, total_after = float(before.sum()), float(after.sum())
    material = np.maximum(before, after) >= MATERIAL * max(total_before, total_after)
    times = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    odd = np.flatnonzero(material & (before > 0) & ((times > RESCALED_STYLE) | (times * RESCALED_STYLE < 1)))
    fleet = total_after / total_before if total_before > 0 else 1.0
    facts = {"styles": ids[odd][:20].tolist(), "n_styles": len(odd), "fleet_times": fleet, "periods": n}
    if len(odd):
        shown = ", ".join(f"{ids[i]} ({times[i]:.3g} times)" for i in odd[np.argsort(-after[odd])][:5])
        words = f"the same days hold other demand than {old.name} knew, for {len(odd)} of {len(ids)} styles: {shown}"
        return Check("same past", False, words, facts)
    if fleet > RESCALED_FLEET or fleet * RESCALED_FLEET < 1:
        words = f"the same days hold {fleet:.3g} times the demand that {old.name} knew"
        return Check("same past", False, words, facts)
    words = f"the same {n} periods hold the demand that {old.name} knew ({fleet:.3f} times)"
    return Check("same past", True, words, facts)


def believable(new: Contender, old: Contender) -> Check:
    """Whether what it would serve is within reach of the demand that the champion knew: a forecast ten times the
    largest demand there ever was of a style that matters is a mistake in the newest data, not a forecast."""
    ids = np.intersect1d(new.live.ids, old.panel.ids)
    live = new.live.take(np.searchsorted(new.live.ids, ids))
    history = old.panel.take(old.panel.index_of(ids)).with_blanks_filled()
    total = np.nan_to_num(live.mean).sum(axis=1)
    beyond = exploded(live, history, new.season) if len(ids) else np.zeros(0, bool)
    odd = np.flatnonzero(beyond & (total >= MATERIAL * float(np.nansum(new.live.mean))))
    facts = {"styles": ids[odd][:20].tolist(), "n_styles": len(odd)}
    if not len(odd):
        return Check("believable", True, f"no style's forecast is beyond the demand that {old.name} knew", facts)
    shown = ", ".join(map(str, ids[odd][np.argsort(-total[odd])][:5]))
    words = f"{len(odd)} of {len(ids)} styles are forecast beyond ten times any demand {old.name} knew: {shown}"
    return Check("believable", False, words, facts)


def _common(new: Contender, old: Contender, truth: Panel) -> tuple[list[FoldResult], list[FoldResult]]:
    """Both served forecasts at the origins and series they share, oldest first."""
    theirs = {forecast.origin: forecast for forecast in old.scored.get(old.served, ())}
    a, b = [], []
    for mine in new.scored.get(new.served, ()):
        other = theirs.get(mine.origin)
        if other is None or other.horizon != mine.horizon:
            continue
        ids = np.intersect1d(np.intersect1d(mine.ids, other.ids), truth.ids)
        if len(ids):
            a += _results([mine.take(np.searchsorted(mine.ids, ids))], new.served, truth)
            b += _results([other.take(np.searchsorted(other.ids, ids))], old.served, truth)
    return a, b


def _results(forecasts: Sequence[Forecast], model: str, truth: Panel) -> list[FoldResult]:
    """Beside what came: enough for losses and WAPE, without the yardsticks of the scaled errors."""
    out = []
    for forecast in forecasts:
        rows = truth.index_of(forecast.ids)
        known = np.flatnonzero(rows >= 0)
        one = forecast.take(known)
        fold = Fold(forecast.origin, forecast.horizon)
        actuals = truth.take(rows[known]).window(fold.cutoff + 1, fold.horizon)
        none = np.full(len(known), np.nan)
        out.append(FoldResult(model, fold, one, actuals, none, none, none))
    return out


def _wape(results: Sequence[FoldResult]) -> float:
    actual, median = (np.concatenate(parts) for parts in zip(*[(r.actuals, r.forecast.median) for r in results],
                                                               strict=True))  # fmt: skip
    return wape(actual, median)


def _figures(
    a: Sequence[FoldResult], b: Sequence[FoldResult], test: Mapping[str, Any], p: float | None, called: str = "p"
) -> str:
    def shown(value: float) -> str:
        return f"{value:.3f}" if np.isfinite(value) else "undefined"

    chance = f"{called} = {p:.4f}" if p is not None else test["reason"]
    return f"WAPE {shown(_wape(a))} against {shown(_wape(b))}, {test['n']} series x origins, {chance}"
