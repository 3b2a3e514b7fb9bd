"""Champion against challenger on live demand: a paired test that may be looked at every day and still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from demand.panel import Floats, Panel
from evaluation import formulas as f
from evaluation.folds import Fold
from evaluation.paired import paired_test
from evaluation.results import FoldResult, scales
from models.base import Forecast

Outcome = Literal["go on", "promote the challenger", "keep the champion"]
# Sizes of bet: from hedging a difference near the noise to trusting one that is always there. Powers of two keep the
# mixture within log(len) of the best of them, whatever the scale of the losses.
_BETS = tuple(2.0**k for k in range(-3, 6))


@dataclass(frozen=True)
class TrialRule:
    """When a trial may end. level: chance that a challenger no better is ever promoted. least, most: periods."""

    level: float = 0.05
    least: int = 14
    most: int = 90


def trial(
    panel: Panel, champion: Forecast, challenger: Forecast, since: int, end: int, rule: TrialRule, *, season: int,
    names: tuple[str, str] = ("champion", "challenger"), seed: int = 42,
) -> dict[str, Any]:  # fmt: skip
    """What the periods since + 1 .. end (complete ones) say about two live forecasts of the same styles.

    Both are scored on the same cells: styles both forecast, periods both reach, known demand. Each period is one paired
    unit: the challenger's gain is the champion's absolute error minus its own, summed over the styles. The stop rule
    may be looked at after every period (see `evidence`): the challenger is to be promoted when the evidence for it
    reaches 1 / level after at least `least` periods and its WAPE is the lower one; the champion is kept when the
    evidence against the challenger does, or when `most` periods, or all that were forecast, brought no difference.
    Otherwise: go on.

    Forecasts from different origins are not the same question: the later one knew more. `same_origin` says so, and the
    words with it. `paired` is the usual paired test on the same losses (`paired_test`), valid for one look alone; it is
    shown, it decides nothing. Returns outcome, words, n_periods, n_cells, n_styles, WAPE of both, gain (in WAPE),
    evidence (e-values for and against), needed, paired, same_origin, first, last; strict-JSON-ready.
    """
    first = max(since, champion.origin, challenger.origin) + 1
    last = min(end, champion.origin + champion.horizon, challenger.origin + challenger.horizon)
    facts: dict[str, Any] = {
        "names": list(names), "first": first, "last": last, "level": rule.level, "needed": 1 / rule.level,
        "same_origin": champion.origin == challenger.origin, "least": rule.least, "most": rule.most,
    }  # fmt: skip
    n = max(0, last - first + 1)
    a, b = (_from(one, first, n, champion, challenger, panel) for one in (champion, challenger))
    actual = panel.take(panel.index_of(a.ids)).window(first, n) if len(a.ids) else np.empty((0, n))
    known = np.isfinite(actual) & np.isfinite(a.median) & np.isfinite(b.median)
    y = np.where(known, actual, np.nan)
    gains = np.nansum(np.abs(a.median - y) - np.abs(b.median - y), axis=0)  # [n]
    used = known.any(axis=0)
    n_periods, sold = int(used.sum()), float(np.nansum(np.abs(y)))
    for_it, against = evidence(gains[used]), evidence(-gains[used])
    wapes = [f.wape(y, one.median) if known.any() else float("nan") for one in (a, b)]
    gain = float(gains[used].sum() / sold) if sold > 0 else None
    over = end > min(champion.origin + champion.horizon, challenger.origin + challenger.horizon)
    outcome, why = _decide(n_periods, for_it, against, gain, rule, names, over=over)
    facts |= {
        "outcome": outcome, "words": f"{outcome}: {why}" + ("" if facts["same_origin"] else _LATER), "gain": gain,
        "wape": {name: _number(value) for name, value in zip(names, wapes, strict=True)}, "n_periods": n_periods,
        "n_cells": int(known.sum()), "n_styles": int(known.any(axis=1).sum()),
        "evidence": {"for": _finite(for_it), "against": _finite(against)}, "paired": None,
    }  # fmt: skip
    if n_periods:
        facts["paired"] = _paired(panel, a, b, y, first, season, names, seed)
    return facts


_LATER = " (they knew different amounts of data: their origins differ)"


def evidence(gains: Floats) -> float:
    """The e-value of the gains [n], oldest first, against "no gain is likelier to be positive than negative".

    Fisher's sign flip made sequential: given its size and all before it, a gain of a challenger that is not better is
    positive with probability 1/2 at most. Then each factor 2 / (1 + exp(-2 b g)) with a bet b > 0 fixed ahead has a
    mean of 1 at most, their product is a test supermartingale, and so is the mean over several bets. By Ville's
    inequality it ever reaches 1 / level with probability `level` at most, however often it is looked at, whatever the
    sizes (zeros, heavy tails, growing demand), as long as the signs have no memory. Gains are scaled by the mean size
    of those before them, which is known when the bet is made; the first one is only a scale.

    Sources: Fisher 1935 (sign flips), Ville 1939, Ramdas, Ruf, Larsson and Koolen 2020 (tests of symmetry by betting),
    Choe and Ramdas 2023 (comparing sequential forecasters).
    """
    gains = gains[gains != 0]  # a tie has no sign
    if len(gains) < 2:
        return 1.0
    sizes = np.abs(gains)
    scale = np.cumsum(sizes)[:-1] / np.arange(1, len(sizes))
    scaled = gains[1:] / scale
    log_wealth = np.array([(np.log(2) - np.logaddexp(0.0, -2 * bet * scaled)).sum() for bet in _BETS])
    top = log_wealth.max()
    return float(np.exp(min(700.0, top + np.log(np.exp(log_wealth - top).mean()))))


def _decide(
    n: int, for_it: float, against: float, gain: float | None, rule: TrialRule, names: tuple[str, str], *, over: bool
) -> tuple[Outcome, str]:
    champion, challenger = names
    if gain is None:
        return "go on", "nothing was sold in the periods that both forecast" if n else "no period has matured yet"
    if over and n < rule.least:
        return "keep the champion", f"the forecasts ended after {n} periods, {rule.least} are needed"
    if n < rule.least:
        return "go on", f"{n} of at least {rule.least} periods have matured"
    needed = 1 / rule.level
    if for_it >= needed and gain > 0:
        return "promote the challenger", f"{challenger} is better by {gain:.3f} WAPE over {n} periods, beyond chance"
    if against >= needed and gain < 0:
        return "keep the champion", f"{champion} is better by {-gain:.3f} WAPE over {n} periods, beyond chance"
    if n >= rule.most or over:
        ended = "the forecasts have ended: " if over else ""
        return "keep the champion", f"{ended}{n} periods showed no difference beyond chance (gain {gain:+.3f} WAPE)"
    return "go on", f"no difference beyond chance after {n} periods (gain {gain:+.3f} WAPE)"


def _from(one: Forecast, first: int, n: int, a: Forecast, b: Forecast, panel: Panel) -> Forecast:
    """The styles both forecast and the panel has, `n` steps from period `first` on, told as from the period before."""
    shared = np.intersect1d(np.intersect1d(a.ids, b.ids), panel.ids)
    rows = np.flatnonzero(np.isin(one.ids, shared))
    steps = slice(first - one.origin - 1, first - one.origin - 1 + n)
    cut = one.take(rows)
    return replace(cut, origin=first - 1, mean=cut.mean[:, steps], quantiles=cut.quantiles[:, steps])


def _paired(
    panel: Panel, a: Forecast, b: Forecast, y: Floats, first: int, season: int, names: tuple[str, str], seed: int
) -> dict[str, Any]:
    history = panel.until(first - 1).with_blanks_filled()
    rows = history.index_of(a.ids)
    here = np.flatnonzero(rows >= 0)
    yardsticks = [values[rows[here]] for values in scales(history, season)]
    fold = Fold(first - 1, y.shape[1])
    results: list[Sequence[FoldResult]] = [
        [FoldResult(name, fold, one.take(here), y[here], *yardsticks)]
        for name, one in zip(reversed(names), (b, a), strict=True)
    ]
    return paired_test(results[0], results[1], seed=seed)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _finite(value: float) -> float:
    return min(value, 1e300)
