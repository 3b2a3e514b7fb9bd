"""Why a forecast is what it is: drivers and weights of each style as stored values, and the same in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd

from demand.errors import ModelError
from demand.panel import Strings
from evaluation.metrics import by_style
from evaluation.results import FoldResult
from evaluation.selection import Weights
from features.groups import GROUPS
from models.base import Forecast
from models.drivers import TOLERANCE, Drivers, Reliance

LEAST_WEIGHT = 0.005  # in a style's forecast, of a member that is named
SHOWN = 3  # effects named one by one, the largest first
LEAST_EFFECT = 0.005  # of base or forecast, whichever is larger: a smaller effect is not named
EFFECT = "effect_"

_NETWORK = "One network over all styles: the last {time_steps} periods, the same season before, calendar and plans."
# What a model that is not taken apart looks at; {..} are its parameters.
_READS = {
    "zero": "Forecasts nothing.",
    "mean": "The mean of this style's history.",
    "naive": "This style's last value.",
    "seasonal_naive": "This style's last season, again.",
    "moving_average": "The mean of this style's newest periods.",
    "exponential_smoothing": "Level, trend and season of this style's own past, the newest counting most.",
    "tsb": "How often and how much this style sold, the newest counting most.",
    "arima": "This style's own past alone: ARIMA of order ({p}, {d}, {q}), seasonal part as far as it is long enough.",
    "prophet": "This style's own past alone: a trend with changes of slope, and {seasonality_mode} seasons.",
    "lstm": _NETWORK,
    "tide": _NETWORK,
    "xgboost": "Boosted trees over all styles ({objective}), from features of each.",
}


@dataclass(frozen=True, eq=False)
class Explanations:
    """What is stored of a release's explanations.

    styles   a row a style of the live forecast, ascending: unique_id, words (list of sentences), model (whose drivers
             follow; null: none was taken apart), link, base, forecast, and effect_<group> for each of GROUPS; in units
             sold a period (link "product": effects are factors)
    facts    strict JSON: groups (key -> name), models (kind -> said, method, error, shares, change, steps, styles, gap,
             tolerance; null where it does not apply)
    """

    styles: pd.DataFrame
    facts: dict[str, Any]


def explain(
    live: Forecast,
    served: str,
    weights: Weights | None,
    results: Mapping[str, Sequence[FoldResult]],
    found: Mapping[str, Drivers | Reliance | ModelError],
    parameters: Mapping[str, Mapping[str, Any]],
    unit: str,
) -> Explanations:
    """The explanations of a served forecast.

    weights: of the live ensemble, None where none is served. results: the scored folds of each model. found: what was
    found of the models' drivers, or why not. parameters: of each live model, as they acted.
    """
    models = {kind: _facts_of(kind, told, found.get(kind)) for kind, told in sorted(parameters.items())}
    drivers = next((one for _, one in sorted(found.items()) if isinstance(one, Drivers)), None)
    columns = _columns(live.ids, drivers)
    names = weights.members if weights is not None else (served,)
    of_style = _own(weights.values, weights.ids, live.ids) if weights is not None else np.ones((len(live.ids), 1))
    errors = np.column_stack([_errors(results.get(name, ()), live.ids) for name in names])
    basis = weights.basis if weights is not None else ""
    effects = np.column_stack([columns[EFFECT + name] for name in GROUPS])
    words = [
        [
            *weight_words(served, str(live.made_by[i]), str(live.reason[i]), dict(zip(names, of_style[i], strict=True)),
                          dict(zip(names, errors[i], strict=True)), basis),
            *(driver_words(columns["model"][i], columns["link"][i], columns["base"][i], columns["forecast"][i],
                           dict(zip(GROUPS, effects[i], strict=True)), unit) if columns["model"][i] is not None else
              ("Its drivers are not known: no model of it was taken apart.",)),
        ]
        for i in range(len(live.ids))
    ]  # fmt: skip
    styles = pd.DataFrame({"unique_id": live.ids.astype(object), "words": words, **columns})
    return Explanations(styles, {"groups": dict(GROUPS), "models": models})


def weight_words(
    served: str, made_by: str, reason: str, weights: Mapping[str, float], errors: Mapping[str, float], basis: str
) -> list[str]:
    """Who made a style's forecast, with which weight, and why: one or two sentences.

    weights, errors: by member, the errors WAPE at the scored origins, NaN = never scored. basis: of the weights, as in
    `selection.Weights`.
    """
    if made_by != served:
        return [
            f"{made_by or 'No model'} made this forecast in the place of {served}: {reason or 'no cause is known'}."
        ]
    named = sorted((m for m in weights if weights[m] >= LEAST_WEIGHT), key=lambda m: (-weights[m], m))
    known = [f"{member} {errors[member]:.2f}" for member in named if math.isfinite(errors[member])]
    if served in weights:
        said = f"{served} made this forecast alone"
        return [f"{said}; its error on past origins (WAPE): {known[0].split()[-1]}." if known else f"{said}; it was "
                "never scored on this style."]  # fmt: skip
    shares = ", ".join(f"{member} {weights[member]:.0%}" for member in named)
    if basis in ("equal", "configured"):
        why = "every member counts alike" if basis == "equal" else "the weights are those configured"
        return [f"The forecast is a mix: {shares}; {why}.", *_measured(known)]
    if not known:
        return [f"The forecast is a mix: {shares}. This style was never scored, so the weights are those of its demand "
                "class and of the fleet."]  # fmt: skip
    return [f"The forecast is a mix: {shares}; what erred less on past origins counts more.", *_measured(known)]


def _measured(known: Sequence[str]) -> list[str]:
    return [f"Errors of this style on past origins (WAPE): {', '.join(known)}."] if known else []


def driver_words(
    model: str, link: str, base: float, forecast: float, effects: Mapping[str, float], unit: str
) -> list[str]:
    """What drives a model's forecast of a style up or down against the style's own base, with numbers; one sentence.

    base, forecast: units sold a period. effects: by group, in units a period (link "sum") or as factors ("product").
    """
    if base == forecast == 0:
        return [f"{model} forecasts nothing: the style has not sold within the time it looks back."]
    start = f"{model} starts from {_amount(base)} {unit or 'units'} a period, the style's own level, and "
    product = link == "product"
    size = {name: abs(math.log(value)) if product else abs(value) for name, value in effects.items()}
    least = LEAST_EFFECT * (1.0 if product else max(abs(base), abs(forecast)))
    ranked = sorted((name for name in effects if size[name] > least), key=lambda name: (-size[name], name))
    if not ranked:
        return [f"{start}stays at {_amount(forecast)}: nothing moves it."]
    shown = [
        f"{GROUPS[name]} {f'x {effects[name]:.2f}' if product else _amount(effects[name], signed=True)}"
        for name in ranked[:SHOWN]
    ]
    others = [effects[name] for name in effects if name not in ranked[:SHOWN]]
    rest = math.prod(others) if product else math.fsum(others)
    if abs(math.log(rest) if product else rest) > least:
        shown.append(f"all else {f'x {rest:.2f}' if product else _amount(rest, signed=True)}")
    return [f"{start}arrives at {_amount(forecast)}: {', '.join(shown)}."]


def _amount(value: float, signed: bool = False) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4
    return f"{value:{'+' if signed else ''}z,.{digits}f}".replace("-", "−")


def _what_it_reads(kind: str, parameters: Mapping[str, Any]) -> str | None:
    """What a model looks at, in words; None for one that is not described, or not by these parameters."""
    text = _READS.get(kind, "")
    needed = [name for _, name, _, _ in Formatter().parse(text) if name]
    return text.format_map(parameters) if text and all(name in parameters for name in needed) else None


def _facts_of(
    kind: str, parameters: Mapping[str, Any], found: Drivers | Reliance | ModelError | None
) -> dict[str, Any]:
    facts: dict[str, Any] = dict.fromkeys(
        ("error", "shares", "change", "link", "steps", "styles", "gap", "tolerance")
    )  # fmt: skip
    facts = {"said": _what_it_reads(kind, parameters), "method": "none", **facts}
    if isinstance(found, Drivers):
        return facts | {"method": "shap", "shares": found.shares(), "link": found.link, "steps": list(found.steps),
                        "styles": len(found.ids), "gap": found.gap, "tolerance": TOLERANCE}  # fmt: skip
    if isinstance(found, Reliance):
        return facts | {"method": "permutation", "change": found.change, "styles": found.styles}
    return facts | {"error": str(found)} if found is not None else facts


def _columns(ids: Strings, drivers: Drivers | None) -> dict[str, Any]:
    """The columns of `Explanations.styles` beside ids and words; NaN and None for styles without drivers."""
    n = len(ids)
    numbers = {name: np.full(n, np.nan) for name in ("base", "forecast", *(EFFECT + group for group in GROUPS))}
    told = np.full(n, None, dtype=object)
    columns: dict[str, Any] = {"model": told, "link": told.copy(), **numbers}
    if drivers is None:
        return columns
    rows = np.searchsorted(ids, drivers.ids)
    columns["model"][rows], columns["link"][rows] = drivers.kind, drivers.link
    columns["base"][rows], columns["forecast"][rows] = drivers.base, drivers.forecast
    for g, group in enumerate(drivers.groups):
        columns[EFFECT + group][rows] = drivers.effects[:, g]
    return columns


def _own(values: np.ndarray, ids: Strings, wanted: Strings) -> np.ndarray:
    """Rows [N, M] of the wanted styles, which are among the ascending ids."""
    return np.asarray(values[np.searchsorted(ids, wanted)])


def _errors(results: Sequence[FoldResult], ids: Strings) -> np.ndarray:
    """WAPE of each style [N] over the scored folds; NaN = never scored."""
    if not results:
        return np.full(len(ids), np.nan)
    table = by_style(results).set_index("unique_id")["wape"]
    return np.asarray(table.reindex(ids).to_numpy(dtype=np.float64))
