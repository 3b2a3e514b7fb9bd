"""Models that made no row of their own at any origin: what stopped them, and whether that is a failure."""

from __future__ import annotations

import re

from jobs.race import Race
from jobs.settings import Settings

_ERROR = re.compile(r"\w*(Error|Exception): |its worker died")
_INSUFFICIENT = "Insufficient data"


def without_rows(race: Race) -> dict[str, str]:
    """Models that made no row of their own at any origin, and the commonest cause."""
    return {
        kind: commonest_reason(race, kind)
        for kind, by_cutoff in race.raw.items()
        if not any(forecast.made.any() for forecast in by_cutoff.values())
    }


def failed_models(race: Race, settings: Settings) -> dict[str, str]:
    """Models without a row that broke, or that were asked for by name; the others declined the data and are skipped."""
    asked = settings.only or ()
    return {kind: cause for kind, cause in without_rows(race).items() if kind in asked or _broke(race, kind)}


def commonest_reason(race: Race, kind: str) -> str:
    """Why most of a model's missing rows are missing; "" when none is."""
    reasons = [str(r) for forecast in race.raw[kind].values() for r in forecast.reason[~forecast.made]]
    return max(sorted(set(reasons)), key=reasons.count) if reasons else ""


def _broke(race: Race, kind: str) -> bool:
    """Whether an error stands behind a missing row; too little history or budget is a model's own word."""
    reasons = {str(r) for forecast in race.raw[kind].values() for r in forecast.reason[~forecast.made]}
    return any(_ERROR.match(reason) and _INSUFFICIENT not in reason for reason in reasons)
