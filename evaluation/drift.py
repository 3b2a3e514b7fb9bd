"""Has demand itself changed since the models learned from it? The last window against earlier ones, beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from demand.panel import TARGET, Floats, Panel, Strings

MOST_WINDOWS = 12  # earlier windows compared with: up to a year of months
FEWEST_WINDOWS = 8  # fewer do not tell how much a window varies; the windows get shorter instead
BINS = 10
FEWEST_STYLES = 20  # fewer do not make a distribution


@dataclass(frozen=True)
class DriftLimits:
    """How large a change must be to matter; that it is beyond chance is asked apart, at `false_alarm`.

    psi: population stability index of the styles' levels. ratio: of a level, up or down. share: change of a share (of
    zero periods, of silent styles) or share of new styles. false_alarm: the chance that any of the measures alarms
    where nothing changed.
    """

    psi: float = 0.25
    ratio: float = 1.5
    share: float = 0.15
    false_alarm: float = 0.01


def drift(
    panel: Panel, origin: int, end: int, periods: int, limits: DriftLimits, known: Strings | None = None
) -> dict[str, Any]:
    """The last window (at most `periods` periods, after the origin, ending with the complete period `end`) beside the
    windows of the same length before the origin, which the champion learned from.

    `drifted` when a measure is both over its limit and beyond chance: p below `false_alarm` after Holm's correction for
    the number of measures. Measures: `level` (mean demand per style and period, as a ratio), `zero_share` (of the cells
    of styles that had started), `silent_share` (styles that sold in the window before and sold nothing in this one),
    `distribution` (PSI of the styles' mean levels; the two-sample Kolmogorov-Smirnov statistic beside it),
    `new_styles` (share unknown to the release; `known` are its styles), and `past.NAME` (mean of each past column).

    What is chance is learned from the data: a level or share is compared with how it varied over the earlier windows
    (prediction interval of Student's t), so trends, seasons and days that hang together within a window need no model.
    PSI is compared with its chi-squared law, which assumes independent samples; the styles are the same ones twice, so
    it alarms less often than stated. A measure that cannot be judged has p None and a `reason`.

    Sources: Siddiqi 2006 (PSI and its limit .25), Yurdakul and Naranjo 2020 (law of the PSI), Holm 1979, Gama et al.
    2014 (a survey on concept drift).
    """
    length, first, starts = _windows(panel, origin, end, periods)
    facts = {"window": length, "first": first, "last": end, "n_windows": len(starts)}
    if length < 1:
        return {**facts, "measures": [], "drifted": None, "reason": "no complete period after the origin"}
    measures = [
        _varied("level", [_level(panel, start, length) for start in (*starts, first)], limits.ratio, ratio=True),
        _varied("zero_share", [_zero_share(panel, start, length) for start in (*starts, first)], limits.share),
        _varied("silent_share", _silent(panel, starts, first, length), limits.share),
        _distribution(panel, starts[-1], first, length, limits.psi),
        *[
            _varied(f"past.{name}", [_level(panel, start, length, name) for start in (*starts, first)],
                    limits.ratio, ratio=True)
            for name in sorted(panel.past)
        ],
    ]  # fmt: skip
    _holm(measures)
    for one in measures:
        over, p = one["over"], one["p_adjusted"]
        one["drifted"] = None if over is None or p is None else bool(over and p <= limits.false_alarm)
    if known is not None:
        measures.append(_new_styles(panel, known, limits.share))
    judged = [one["drifted"] for one in measures if one["drifted"] is not None]
    reason = "" if judged else "the history is too short to know what is usual"
    return {**facts, "measures": measures, "drifted": any(judged) if judged else None, "reason": reason}


def _windows(panel: Panel, origin: int, end: int, periods: int) -> tuple[int, int, list[int]]:
    """(length, first period of the last window, first periods of the earlier ones, oldest first).

    The length shrinks until FEWEST_WINDOWS earlier windows fit into the history.
    """
    before = origin - int(panel.start.min(initial=origin + 1)) + 1
    length = max(0, min(periods, end - origin, before // FEWEST_WINDOWS))
    if not length:
        return 0, end + 1, []
    n = min(MOST_WINDOWS, before // length)
    return length, end - length + 1, [origin - length * k + 1 for k in range(n, 0, -1)]


def _level(panel: Panel, start: int, length: int, name: str = TARGET) -> float:
    """Mean over the known cells of the window; NaN when nothing is known. Per cell, so that a growing number of styles
    is no change of level."""
    values = panel.window(start, length, name)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _zero_share(panel: Panel, start: int, length: int) -> float:
    values = panel.window(start, length)
    known = np.isfinite(values)
    return float((values[known] == 0).mean()) if known.any() else float("nan")


def _silent(panel: Panel, starts: Sequence[int], first: int, length: int) -> list[float]:
    """Share of the styles selling in the window before that sold nothing: between earlier windows, then now."""
    sold = [_sold(panel, start, length) for start in (*starts, first)]
    out = []
    for before, after in pairwise(sold):
        out.append(float((before & ~after).sum() / before.sum()) if before.any() else float("nan"))
    return out


def _sold(panel: Panel, start: int, length: int) -> np.ndarray:
    return np.asarray((np.nan_to_num(panel.window(start, length)) != 0).any(axis=1))


def _varied(name: str, values: Sequence[float], limit: float, *, ratio: bool = False) -> dict[str, Any]:
    """The last of `values` against the others: how far it is from their mean, and how likely that is by chance."""
    from scipy import stats

    *earlier, now = values
    past = np.array([value for value in earlier if np.isfinite(value)])
    out: dict[str, Any] = {"measure": name, "now": _number(now), "before": None, "limit": limit, "p": None,
                           "over": None, "reason": ""}  # fmt: skip
    if not np.isfinite(now) or not len(past):
        return {**out, "reason": "nothing is known in one of the windows"}
    mean = float(past.mean())
    out["before"] = mean
    if ratio:
        if mean <= 0:
            return {**out, "reason": "the level before was not above 0"}
        out["over"] = bool(now > mean * limit or now < mean / limit)
    else:
        out["over"] = bool(abs(now - mean) > limit)
    if len(past) < FEWEST_WINDOWS - 1:
        return {**out, "reason": f"{len(past)} earlier windows do not tell what is usual"}
    # Values that never varied leave a hair of spread, so that any change is beyond chance and the limit decides.
    spread = max(float(past.std(ddof=1)), 1e-9 * max(1.0, abs(mean)))
    t = abs(now - mean) / (spread * np.sqrt(1 + 1 / len(past)))
    return {**out, "p": float(2 * stats.t.sf(t, len(past) - 1))}


def _distribution(panel: Panel, earlier: int, first: int, length: int, limit: float) -> dict[str, Any]:
    """PSI and Kolmogorov-Smirnov of the styles' mean levels in the newest earlier window and in the last one.

    Windows of one length: over a longer one the same sparse demand has other, calmer means.
    """
    from scipy import stats

    out: dict[str, Any] = {"measure": "distribution", "now": None, "before": 0.0, "limit": limit, "p": None,
                           "over": None, "reason": ""}  # fmt: skip
    before = _mean_levels(panel, earlier, length)
    now = _mean_levels(panel, first, length)
    both = np.isfinite(before) & np.isfinite(now)
    if both.sum() < FEWEST_STYLES:
        return {**out, "reason": f"{int(both.sum())} styles do not make a distribution: {FEWEST_STYLES} do"}
    value, bins = psi(before[both], now[both])
    if bins < 2:
        return {**out, "now": value, "reason": "all styles have the same level"}
    n_styles = int(both.sum())
    p = float(stats.chi2.sf(value * n_styles / 2, bins - 1))
    ks = stats.ks_2samp(before[both], now[both])
    return {**out, "now": value, "over": bool(value > limit), "p": p, "ks": float(ks.statistic),
            "ks_p": float(ks.pvalue), "n_styles": n_styles}  # fmt: skip


def _mean_levels(panel: Panel, start: int, length: int) -> Floats:
    """[N]: each style's mean known demand in the window; NaN where nothing is known."""
    values = panel.window(start, length)
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def psi(before: Floats, now: Floats) -> tuple[float, int]:
    """(population stability index, bins used) of two samples, in bins of equal counts of the first.

    Sum over bins of (q - p) ln(q / p); half a value is added to each bin, so that an empty one is finite. Equal values
    never fall into two bins.
    """
    few = max(2, min(BINS, len(before) // 5))
    edges = np.unique(np.quantile(before, np.linspace(0, 1, few + 1)[1:-1], method="inverted_cdf"))
    counts = [
        np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1).astype(np.float64)
        for values in (before, now)
    ]
    used = (counts[0] + counts[1]) > 0
    p, q = ((one[used] + 0.5) / (one[used] + 0.5).sum() for one in counts)
    return float(((q - p) * np.log(q / p)).sum()), int(used.sum())


def _new_styles(panel: Panel, known: Strings, limit: float) -> dict[str, Any]:
    """Share of today's styles that the release does not know: a plain count, nothing of it is chance."""
    new = ~np.isin(panel.ids, known)
    gone = int((~np.isin(known, panel.ids)).sum())
    share = float(new.mean()) if panel.n_series else 0.0
    over = share > limit
    return {"measure": "new_styles", "now": share, "before": 0.0, "limit": limit, "p": None, "p_adjusted": None,
            "over": over, "drifted": over, "reason": "", "n_new": int(new.sum()), "n_gone": gone}  # fmt: skip


def _holm(measures: Sequence[dict[str, Any]]) -> None:
    """Adds p_adjusted to each measure that has a p (Holm's step-down)."""
    for one in measures:
        one["p_adjusted"] = None
    tested = sorted((one for one in measures if one["p"] is not None), key=lambda one: float(one["p"]))
    largest = 0.0
    for k, one in enumerate(tested):
        largest = max(largest, min(1.0, one["p"] * (len(tested) - k)))
        one["p_adjusted"] = largest


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
