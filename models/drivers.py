"""What moves a forecast: driver by driver for each style, or input by input for the whole fleet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from demand.errors import ModelError, VersionUnreadable
from demand.panel import Floats, Strings
from models.files import read_arrays, read_json, write_arrays, write_json

TOLERANCE = 1e-4  # of 1 and all contributions of a row: single precision over a few hundred trees stays below 1e-5
_ARRAYS, _FACTS = "drivers.npz", "drivers.json"
FILES = (_ARRAYS, _FACTS)
Link = Literal["sum", "product"]


@dataclass(frozen=True, eq=False)
class Drivers:
    """How each of N styles' mean forecasts comes about: base and effects give the forecast, exactly.

    link      "sum": base + sum of effects = forecast, all in units sold a period, means over the explained steps.
              "product": base x product of effects = forecast, geometric means over them (a model on the log scale)
    base      [N]     what the model says of the style's level alone
    effects   [N, G]  by `groups` (keys of `features.groups.GROUPS`); 0 (1 with "product") = nothing
    forecast  [N]     the model's own mean forecast over the explained steps
    steps             steps ahead that were explained, ascending, from 1
    gap               the largest departure from additivity, in parts of TOLERANCE's yardstick
    A style that never sold is forecast 0 and has base 0 without effects.
    """

    kind: str
    ids: Strings
    groups: tuple[str, ...]
    link: Link
    base: Floats
    effects: Floats
    forecast: Floats
    steps: tuple[int, ...]
    gap: float

    def shares(self) -> dict[str, float]:
        """Group -> share of all effects of the fleet, by their size in units sold (with "product": in logs); they sum
        to 1 unless nothing had any effect."""
        size = np.abs(self.effects if self.link == "sum" else np.log(self.effects)).sum(axis=0)
        total = size.sum()
        return dict(zip(self.groups, (size / total if total > 0 else size).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Reliance:
    """How much a model's forecasts of a fleet move when one group of its inputs is dealt out anew among the styles.

    change: group -> sum of |forecast with the group permuted - forecast| over sum of |forecast|, in units sold, mean
    forecasts of all steps; exactly 0 for what the model does not read. styles: of how many it was measured.
    """

    kind: str
    change: dict[str, float]
    styles: int


def checked_gap(parts: Floats, whole: Floats) -> float:
    """The largest gap between the sums of contributions and what the model said, once it is small enough.

    parts [R, K] of R predictions whole [R], on the scale on which they add up. Returns max of |sum of parts - whole| /
    (1 + sum of |parts|). Raises ModelError when it is above TOLERANCE, or not a number.
    """
    if not len(whole):
        return 0.0
    gap = np.abs(parts.sum(axis=1) - whole) / (1.0 + np.abs(parts).sum(axis=1))
    odd = np.flatnonzero(~(gap <= TOLERANCE))
    if len(odd):
        raise ModelError(
            "contributions do not add up to the prediction", rows=len(whole), violated=len(odd),
            largest=f"{gap[odd].max():.3g}", expected=f"at most {TOLERANCE:g}", first=odd[:5].tolist(),
            hint="Its drivers are not shown; the forecast itself is not made from them",
        )  # fmt: skip
    return float(gap.max())


def write_drivers(folder: Path, found: Drivers | Reliance | ModelError) -> None:
    """The explanation of a fitted model, or why there is none, as `drivers.json` and, of styles, `drivers.npz`."""
    if isinstance(found, ModelError):
        write_json(folder / _FACTS, {"method": "none", "error": str(found)})
    elif isinstance(found, Reliance):
        facts = {"kind": found.kind, "change": found.change, "styles": found.styles}
        write_json(folder / _FACTS, {"method": "permutation", **facts})
    else:
        names = ("ids", "base", "effects", "forecast")
        write_arrays(folder / _ARRAYS, {name: getattr(found, name) for name in names})
        facts = {name: getattr(found, name) for name in ("kind", "groups", "link", "steps", "gap")}
        write_json(folder / _FACTS, {"method": "shap", **facts})


def read_drivers(folder: Path) -> Drivers | Reliance | ModelError | None:
    """What `write_drivers` wrote; None where nothing was written. Raises VersionUnreadable when it is not that."""
    if not (folder / _FACTS).is_file():
        return None
    facts: dict[str, Any] = read_json(folder / _FACTS)
    try:
        if facts["method"] == "none":
            return ModelError(str(facts["error"]))
        if facts["method"] == "permutation":
            change = {str(name): float(value) for name, value in facts["change"].items()}
            return Reliance(str(facts["kind"]), change, int(facts["styles"]))
        arrays = read_arrays(folder / _ARRAYS)
        return Drivers(
            str(facts["kind"]), arrays["ids"], tuple(facts["groups"]), facts["link"], arrays["base"],
            arrays["effects"], arrays["forecast"], tuple(facts["steps"]), float(facts["gap"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise VersionUnreadable("a stored explanation is not complete", cause=repr(error)) from None
