"""The last step of every way to production: prove, point the champion, look at it, go back when it is ill."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from demand.calendar import Calendar
from demand.errors import DemandError, RegistryError, VersionUnreadable
from jobs.gate import unanswered
from jobs.settings import Settings
from models import golden
from models.forecast_files import read_forecasts
from models.registry import Registry
from models.release import Release

log = logging.getLogger(__name__)
ASKED_DAYS = (30, 60, 90)


@dataclass(frozen=True)
class Activated:
    """How it ended. ailment: what the health check found, "" when all was well. back_to: who serves again for it."""

    number: int
    ailment: str = ""
    back_to: int | None = None

    @property
    def serves(self) -> bool:
        """Whether the release is the champion now, in health or not."""
        return self.back_to is None

    def lines(self) -> list[str]:
        """What a person must know; nothing when all was well."""
        if not self.ailment:
            return []
        then = f"release {self.back_to} serves again" if self.back_to else "it serves all the same"
        return [f"Ill       release {self.number} failed its health check: {self.ailment}", f"Therefore {then}"]


def activate(
    registry: Registry, number: int, settings: Settings, *,
    expected: int | None, facts: Mapping[str, Any], proved: bool = False,
) -> Activated:  # fmt: skip
    """Points `champion` at a release, checks its health there and gives the alias back when that fails.

    proved: its golden prediction was seen to hold already, in this job and on these bytes. `facts` are kept with the
    promotion. Giving back needs `releases.rollback_on_failure` and a champion before. Raises RegistryError when the
    models do not repeat their golden prediction or another process moved the champion: nothing has changed then.
    """
    if not proved:
        refuse_unproved(registry.open(number))
    registry.promote(number, expected=expected, facts=facts)
    ailment = health(registry, proved=True)
    if not ailment:
        return Activated(number)
    log.error("release %d failed its health check: %s", number, ailment)
    if not settings.releases.rollback_on_failure or expected is None or expected == number:
        return Activated(number, ailment)
    back = {"forced": False, "automatic": True, "rolled_back_from": number,
            "reason": f"the health check failed: {ailment}"}  # fmt: skip
    registry.promote(expected, expected=number, facts=back)
    return Activated(number, ailment, expected)


def refuse_unproved(release: Release) -> None:
    """Raises RegistryError when the release's models, loaded from its files, do not say again what they said."""
    fault = golden.ailment(release.path)
    if fault:
        raise RegistryError(
            "the release may not serve: its models do not say again what they said", release=release.number,
            cause=fault, hint="Choose another release, or train a new one",
        )  # fmt: skip


def health(registry: Registry, *, proved: bool = False) -> str:
    """What is wrong with the champion, "" when nothing is: it opens and equals its manifest, every style has a finite
    total over 30, 60 and 90 days as far as its horizon reaches, and (unless proved just now) its golden prediction
    holds."""
    try:
        release = registry.open("champion")
        return unanswered(release) or _totals(release) or ("" if proved else golden.ailment(release.path))
    except (DemandError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _totals(release: Release) -> str:
    card = release.json("card.json")
    ((_, served),) = read_forecasts(release.file("forecasts.parquet"))
    calendar = Calendar(card["freq"])
    for days in ASKED_DAYS:
        periods = calendar.periods_in(days)
        if periods > served.horizon:
            continue
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(served.mean[:, :periods].sum(axis=1)))
        if len(bad):
            return f"{len(bad)} styles have no finite total over {days} days, {served.ids[bad[0]]} among them"
    return _tables(release, card["served"])


def _tables(release: Release, served: str) -> str:
    """What the endpoint answers from, where the release has it."""
    place = release.file("styles.parquet")
    if not place.is_file():
        return ""
    try:
        n_rows = pq.read_table(place, columns=["model"])["model"].to_pylist().count(served)
    except (OSError, ValueError, KeyError) as error:
        raise VersionUnreadable("the table of styles cannot be read", cause=str(error)) from None
    expected = int(release.manifest["n_series"])
    return "" if n_rows == expected else f"its table of styles has {n_rows} of {expected} styles"
