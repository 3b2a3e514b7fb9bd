"""`python -m jobs.promote`: a release takes the champion's place, if the gate lets it. Nothing is trained."""

from __future__ import annotations

import textwrap
from typing import Any

from demand.errors import SettingsError, VersionNotFound
from jobs.activation import Activated, activate
from jobs.entry import FAILED, OK, WIDTH, run
from jobs.fleet import registry_of
from jobs.gate import Decision, champion_of, decide, gate_lines
from jobs.releases import nothing_released, numbered
from jobs.settings import Settings
from jobs.show import show
from models.registry import Registry


def body(settings: Settings) -> int:
    """Promotes `release` (the newest when it is left out); with `model` or `styles` a new release that is made from the
    champion first. Exit code 1 when it is held back, and then nothing in the registry has changed, or when its health
    check fails afterwards.

    force: a release that the gate holds back is promoted all the same and the promotion says so; one whose models do
    not repeat their golden prediction never is (RegistryError).
    """
    registry = registry_of(settings)
    if not registry.numbers():
        raise nothing_released(registry)
    if settings.promoted_model is not None and (settings.styles is not None or settings.release is not None):
        raise SettingsError(
            "model= makes a release of its own", model=settings.promoted_model,
            hint="Leave out release= and styles=, or promote the release as a whole",
        )  # fmt: skip
    return _release(settings, registry)


def _release(settings: Settings, registry: Registry) -> int:
    champion = registry.alias("champion")
    number = numbered(registry, settings.release) if settings.release else registry.newest()
    if number is None:
        raise VersionNotFound("no release has this alias", alias=settings.release)
    if number == champion:
        raise SettingsError("this release serves now", key="release", found=number, releases=registry.numbers())
    candidate = registry.open(number)
    other, why = champion_of(registry, champion)
    decision = decide(candidate, other, settings, no_champion=why)
    if not decision.passed and not settings.force:
        show(*gate_lines(number, decision))
        return FAILED
    activated = activate(
        registry, number, settings, expected=champion, facts=promotion_facts(settings, decision),
        proved=decision.passed,
    )  # fmt: skip
    return told(registry, decision, activated, champion)


def promotion_facts(settings: Settings, decision: Decision) -> dict[str, Any]:
    """What is kept with a promotion: forced where the gate was overruled, the reason given, what the gate said."""
    return {"forced": not decision.passed, "reason": settings.reason, "gate": decision.as_json()}


def told(registry: Registry, decision: Decision, activated: Activated, before: int | None) -> int:
    """Says how a promotion ended; the exit code."""
    place = f" in the place of {before}" if before else ""
    if activated.serves:
        overruled = "" if decision.passed else " (forced)"
        lines = [f"Release   {activated.number} serves{place}{overruled}"]
        lines += [f"{'Gate' if decision.passed else 'Overruled':<9} {reason}" for reason in decision.reasons]
    else:
        lines = [f"Release   {activated.number} was promoted{place} and taken back"]
    lines += [*activated.lines(), f"Noted in  {registry.promotions_path}"]
    show(*[part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10,
                                                            break_on_hyphens=False)])  # fmt: skip
    return FAILED if activated.ailment else OK


if __name__ == "__main__":
    run("promote", body)
