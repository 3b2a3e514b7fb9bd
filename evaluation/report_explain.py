"""The report's part on why: what each model looks at, what the fleet's forecasts rest on, how that was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.explain import Explanations
from evaluation.report_charts import compact
from evaluation.report_tables import NONE, Cell, Table, number, words
from models.base import Forecast

STYLES = 5  # told one by one, those with the largest forecast quantity
CHARTED = 6  # drivers a chart, the largest
NAMED = 3  # drivers in the table of models, the largest
_MEASURED = {"shap": "shares", "permutation": "change"}  # method -> the fact that holds its numbers, by group
_LABELS = {"shap": "share of all effects", "permutation": "change of the forecasts"}
_HINTS = {
    "shap": "the size of a driver's effects over all styles and steps taken apart, of all effects, in percent",
    "permutation": "how far the forecasts move when this input is exchanged among styles, in percent of them; the rows "
    "do not add up to 100",
}


@dataclass(frozen=True)
class ExplainedPart:
    """What the page shows. models: a row a model. drivers: a row a driver, a column a measured model; None where no
    model was measured. sentences: how that was measured and checked. failures: (model, cause). styles: (style, its
    sentences); others: how many more are stored. charts: {model: title and bars}."""

    models: Table
    drivers: Table | None
    sentences: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    styles: tuple[tuple[str, str], ...]
    others: int
    charts: dict[str, Any]


def explained_part(explanations: Explanations | None, live: Forecast | None) -> ExplainedPart | None:
    """The part of a live forecast's explanations; None where there are none or nothing was forecast."""
    if explanations is None or live is None:
        return None
    models, groups = explanations.facts["models"], explanations.facts["groups"]
    measured = {kind: found for kind, fact in models.items() if (found := _measured(fact)) is not None}
    models = {kind: models[kind] for kind in (*measured, *(kind for kind in models if kind not in measured))}
    styles = _largest(explanations, live)
    return ExplainedPart(
        _models_table(models, measured, groups),
        _drivers_table(models, measured, groups) if measured else None,
        tuple(_how(kind, fact, live.horizon) for kind, fact in models.items() if kind in measured),
        tuple((kind, str(fact["error"])) for kind, fact in models.items() if fact["error"]),
        styles,
        len(explanations.styles) - len(styles),
        {kind: _chart(kind, models[kind], found, groups) for kind, found in measured.items() if any(found.values())},
    )


def _measured(fact: Mapping[str, Any]) -> dict[str, float] | None:
    """Group -> share or change, largest first; None where nothing was measured."""
    found = fact.get(_MEASURED.get(fact["method"], ""))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))) if found else None


def _models_table(
    models: Mapping[str, Any], measured: Mapping[str, Mapping[str, float]], groups: Mapping[str, str]
) -> Table:
    columns = [("Model", "", False), ("What it looks at", "", False), ("Rests most on", "the largest drivers", False),
               ("Measured by", "", False)]  # fmt: skip
    rows = [
        [words(kind), words(fact["said"]), words(_largest_drivers(measured.get(kind), groups)), words(_method(fact))]
        for kind, fact in models.items()
    ]
    return Table("What each model looks at", columns, rows)


def _largest_drivers(found: Mapping[str, float] | None, groups: Mapping[str, str]) -> str:
    if found is None:
        return ""
    named = [f"{groups.get(key, key)} {_share(value).text} %" for key, value in found.items() if value > 0][:NAMED]
    return ", ".join(named) or "nothing: no driver has any effect"


def _method(fact: Mapping[str, Any]) -> str:
    if fact["error"]:
        return "could not be measured"
    return {"shap": "TreeSHAP", "permutation": "permutation of the forecast"}.get(fact["method"], "not measured")


def _drivers_table(
    models: Mapping[str, Any], measured: Mapping[str, Mapping[str, float]], groups: Mapping[str, str]
) -> Table:
    """Every driver that any model was measured for, in the order of the first model's figures."""
    columns = [
        ("Driver", "", False),
        *((f"{kind}, %: {_LABELS[models[kind]['method']]}", _HINTS[models[kind]["method"]], True) for kind in measured),
    ]
    order = dict.fromkeys(key for found in measured.values() for key in found)
    rows = [
        [words(groups.get(key, key)), *(_share(found[key]) if key in found else Cell(NONE)
                                        for found in measured.values())]
        for key in order
    ]  # fmt: skip
    note = f"{NONE} where a model does not read the input."
    return Table("What the fleet's forecasts rest on", columns, rows, note=note)


def _share(value: float) -> Cell:
    """A fraction in percent, sorted by the fraction."""
    return replace(number(value), text=number(100 * value, 1).text)


def _how(kind: str, fact: Mapping[str, Any], horizon: int) -> str:
    """How a model was measured and, where it was taken apart, how far its parts were from its forecast."""
    if fact["method"] == "permutation":
        return (
            f"{kind}: one input at a time is exchanged among {fact['styles']:,} styles, all else staying; the figure "
            "is the sum of the absolute changes over the sum of the forecasts. No actual value is looked at."
        )
    steps = f"{len(fact['steps'])} of {horizon}" if len(fact["steps"]) < horizon else f"all {horizon}"
    adds = "base x effects" if fact["link"] == "product" else "base + effects"
    return (
        f"{kind}: TreeSHAP takes the forecasts of {fact['styles']:,} styles apart, at {steps} steps ahead. "
        f"Check: {adds} = forecast; the largest gap is {fact['gap']:.1e} of 1 and all contributions, "
        f"{fact['tolerance']:.0e} is allowed."
    )


def _chart(kind: str, fact: Mapping[str, Any], found: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, Any]:
    """The largest drivers' bars, the largest first."""
    shown = [key for key, value in found.items() if value > 0][:CHARTED]
    return {
        "title": f"{kind}: {_LABELS[fact['method']]}",
        "names": [groups.get(key, key) for key in shown],
        "x": compact(np.array([found[key] for key in shown])),
    }


def _largest(explanations: Explanations, live: Forecast) -> tuple[tuple[str, str], ...]:
    """(style, its sentences) of those with the largest forecast quantity over the horizon, the largest first."""
    made = live.take(np.flatnonzero(live.made))
    total = made.mean.sum(axis=1)
    order = sorted(range(len(made.ids)), key=lambda i: (-total[i], str(made.ids[i])))[:STYLES]
    told = explanations.styles.set_index("unique_id")["words"]
    names = [str(made.ids[i]) for i in order]
    return tuple((name, " ".join(told[name])) for name in names if name in told.index)
