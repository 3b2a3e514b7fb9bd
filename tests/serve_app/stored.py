"""What the files of a release say, read plainly and worked out slowly: the other side of every comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd


class Stored:
    """The files of one release as frames and mappings; nothing of `serve_app` is used."""

    def __init__(self, folder: Path) -> None:
        self.manifest, self.card, self.quality = (
            json.loads((folder / name).read_text()) for name in ("manifest.json", "card.json", "quality.json")
        )
        self.all_styles, self.all_weeks, self.all_totals, self.all_accuracy, self.board, self.outcomes = (
            pd.read_parquet(folder / f"{name}.parquet")
            for name in ("styles", "weeks", "fleet_totals", "accuracy", "metrics", "outcomes")
        )

    def styles(self, model: str) -> pd.DataFrame:
        found = self.all_styles
        return found[found["model"] == model].set_index("unique_id")

    def weeks(self, model: str) -> pd.DataFrame:
        return self.all_weeks[self.all_weeks["model"] == model].set_index("week")

    def totals(self, model: str) -> pd.DataFrame:
        return self.all_totals[self.all_totals["model"] == model].set_index("days")


def percent(fraction: float | None) -> float | None:
    return None if fraction is None or math.isnan(fraction) else 100 * fraction


def growth(now: float, before: float) -> float | None:
    if math.isnan(now) or math.isnan(before) or before == 0:
        return None
    return 100 * (now - before) / abs(before)


def trend(rate: float | None) -> str | None:
    return None if rate is None else "increasing" if rate > 5 else "decreasing" if rate < -5 else "stable"


def same(found: Any, wanted: Any) -> bool:
    """Equal; floats to the six digits of a percent, nothing and NaN alike."""
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (found, wanted)]
    if any(missing):
        return all(missing)
    if isinstance(found, float) or isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-6)
    return bool(found == wanted)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every value that is no container; list places are part of the path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{place}]")
    else:
        yield path, value
