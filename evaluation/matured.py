"""Released forecasts beside what came: the cells that have matured. A forecast counts only where it was made ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demand.panel import Blanks, Floats, Ints, Panel, Strings
from evaluation import formulas as f
from evaluation.results import scales
from evaluation.terms import Term
from models.base import FitContext, Forecast, ForecastSpec
from models.baselines import SeasonalNaive

CHAMPION = "champion"  # what was served, whatever model that was
NAIVE = "seasonal_naive"


@dataclass(frozen=True, eq=False)
class Served:
    """What one release said at its origin (model -> forecast, `champion` among them), and when it answered."""

    term: Term
    forecasts: Mapping[str, Forecast]


@dataclass(frozen=True, eq=False)
class Cells:
    """The matured cells of one model, end to end [M]: known demand of a complete period, forecast before it was over.

    style   position in `ids` (ascending)      row       number of the pair (style, term)
    lower, upper                               the widest stated interval; NaN where there is none
    naive                                      what the seasonal naive said at the same origin
    scale_sq [rows]                            in-sample mean squared error of the naive at that origin
    """

    model: str
    ids: Strings
    style: Ints
    period: Ints
    step: Ints
    release: Ints
    row: Ints
    actual: Floats
    median: Floats
    mean: Floats
    lower: Floats
    upper: Floats
    naive: Floats
    fell_back: Ints
    scale_sq: Floats
    stated: float | None

    def __len__(self) -> int:
        return len(self.actual)

    def take(self, cells: Any) -> Cells:
        """These cells only (a mask or positions)."""
        names = ("style", "period", "step", "release", "row", "actual", "median", "mean", "lower", "upper", "naive",
                 "fell_back")  # fmt: skip
        parts = {name: getattr(self, name)[cells] for name in names}
        return Cells(model=self.model, ids=self.ids, scale_sq=self.scale_sq, stated=self.stated, **parts)


def matured(panel: Panel, served: Sequence[Served], first: int, last: int, season: int,
            blanks: Blanks = "interpolate") -> dict[str, Cells]:  # fmt: skip
    """The matured cells of each model in the periods first .. last, `champion` first.

    last: the newest complete period. Demand is what the panel says today, corrections included; a forecast is looked at
    only inside its release's term, so nothing counts that was said after its date. Models that a release does not have
    are missing in its term. Empty when no term reaches into the window.
    """
    within = [one for one in served if max(one.term.first, first) <= min(one.term.last, last, _reach(one))]
    models = list(dict.fromkeys([CHAMPION, *sorted({name for one in within for name in one.forecasts})]))
    ids = np.unique(np.concatenate([one.forecasts[CHAMPION].ids for one in within])) if within else panel.ids[:0]
    parts: dict[str, list[dict[str, Any]]] = {model: [] for model in models}
    rows = 0
    for one in within:
        window = (max(one.term.first, first), min(one.term.last, last, _reach(one)))
        lead = one.forecasts[CHAMPION]
        scale_sq, naive = _at_origin(panel, one, season, blanks)
        for model, forecast in one.forecasts.items():
            same = forecast.ids is lead.ids or np.array_equal(forecast.ids, lead.ids)
            at = np.arange(len(lead.ids)) if same else np.searchsorted(lead.ids, forecast.ids)
            part = _part(panel, one.term, forecast, naive[at], window)
            part |= {"style": np.searchsorted(ids, forecast.ids)[part["line"]], "row": rows + at[part.pop("line")]}
            parts[model].append(part)
        for model in models:
            if model in one.forecasts:
                parts[model][-1]["scale_sq"] = scale_sq
            else:  # rows keep their numbers
                parts[model].append({"scale_sq": scale_sq})
        rows += len(lead.ids)
    return {model: _joined(model, ids, parts[model]) for model in models if any("actual" in p for p in parts[model])}


def _reach(one: Served) -> int:
    return one.term.origin + one.forecasts[CHAMPION].horizon


def _at_origin(panel: Panel, one: Served, season: int, blanks: Blanks) -> tuple[Floats, Floats]:
    """(scale_sq [N], the seasonal naive [N, H]) of the champion's styles, from the history up to the origin; NaN for
    styles without any today. A release that holds the naive's own forecast said it itself."""
    lead = one.forecasts[CHAMPION]
    history = panel.until(one.term.origin).with_blanks_filled(blanks)
    known = history.index_of(lead.ids)
    here = known >= 0
    scale_sq, naive = np.full(len(lead.ids), np.nan), np.full(lead.mean.shape, np.nan)
    if here.any():
        scale_sq[here] = scales(history, season)[1][known[here]]
        spec = ForecastSpec(lead.horizon, (0.5,))
        made = SeasonalNaive().fit(history, spec, FitContext(season)).forecast(history)
        naive[here] = made.median[known[here]]
    said = one.forecasts.get(NAIVE)
    if said is not None:
        at = np.searchsorted(lead.ids, said.ids)
        naive[at] = np.where(np.isfinite(said.median), said.median, naive[at])
    return scale_sq, naive


def _part(panel: Panel, term: Term, forecast: Forecast, naive: Floats, window: tuple[int, int]) -> dict[str, Any]:
    """The cells of one forecast inside the window, and the line [M] of the forecast each belongs to."""
    first, last = window
    steps = slice(first - term.origin - 1, last - term.origin)
    rows = panel.index_of(forecast.ids)
    actual = np.full((len(rows), last - first + 1), np.nan)
    here = np.flatnonzero(rows >= 0)
    order = here[np.argsort(rows[here])]
    actual[order] = panel.take(rows[order]).window(first, last - first + 1)
    median, mean = forecast.median[:, steps], forecast.mean[:, steps]
    line, column = np.nonzero(np.isfinite(actual) & np.isfinite(median) & np.isfinite(mean))
    pairs = f.intervals(forecast.levels)
    stated, low, high = pairs[-1] if pairs else (None, 0, 0)
    bounds = forecast.quantiles[:, steps]
    nothing = np.full(len(line), np.nan)
    return {
        "line": line, "period": first + column, "step": first + column - term.origin,
        "release": np.full(len(line), term.release), "actual": actual[line, column], "median": median[line, column],
        "mean": mean[line, column], "lower": bounds[line, column, low] if pairs else nothing,
        "upper": bounds[line, column, high] if pairs else nothing, "naive": naive[:, steps][line, column],
        "fell_back": (forecast.level > 0).astype(np.int64)[line], "stated": stated,
    }  # fmt: skip


def _joined(model: str, ids: Strings, parts: Sequence[dict[str, Any]]) -> Cells:
    full = [part for part in parts if "actual" in part]
    stated = {part["stated"] for part in full if len(part["actual"])}
    names = ("style", "period", "step", "release", "row", "actual", "median", "mean", "lower", "upper", "naive",
             "fell_back")  # fmt: skip
    return Cells(
        model=model, ids=ids, scale_sq=np.concatenate([part["scale_sq"] for part in parts]),
        stated=stated.pop() if len(stated) == 1 else None,
        **{name: np.concatenate([part[name] for part in full]) for name in names},
    )  # fmt: skip
