"""`python -m jobs.promote`: a release takes the champion's place, if the gate lets it. Nothing is trained."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from demand.errors import SettingsError, VersionNotFound, VersionUnreadable
from jobs.activation import Activated, activate, refuse_unproved
from jobs.entries import entries
from jobs.entry import FAILED, OK, WIDTH, run
from jobs.fleet import registry_of
from jobs.gate import Decision, champion_of, decide, gate_lines, held_back, predicts
from jobs.outputs import summary, write_tables
from jobs.releases import nothing_released, numbered
from jobs.remake import Remade, into_registry, remake, staged_release
from jobs.restyle import check_styles, restyled
from jobs.settings import Settings
from jobs.show import show
from jobs.verdict import outcomes
from models.catalog import LEARNED
from models.registry import Registry
from models.release import Release


def body(settings: Settings) -> int:
    """Promotes `release` (the newest when it is left out); with `model` or `styles` a new release that is made from the
    champion first. Exit code 1 when it is held back, and then nothing in the registry has changed, or when its health
    check fails afterwards.

    force: a release that the gate holds back is promoted all the same and the promotion says so; one whose models do
    not repeat their golden prediction never is (RegistryError). alias=challenger: the release is tried beside the
    champion instead (`serve.a_b_testing`); its models must repeat their golden prediction, the gate is not asked.
    """
    registry = registry_of(settings)
    if not registry.numbers():
        raise nothing_released(registry)
    if settings.alias == "challenger":
        return _challenge(settings, registry)
    if settings.promoted_model is not None and (settings.styles is not None or settings.release is not None):
        raise SettingsError(
            "model= makes a release of its own", model=settings.promoted_model,
            hint="Leave out release= and styles=, or promote the release as a whole",
        )  # fmt: skip
    if settings.promoted_model is not None:
        return _model(settings, registry, settings.promoted_model)
    if settings.styles is not None:
        return _styles(settings, registry, settings.styles)
    return _release(settings, registry)


def _challenge(settings: Settings, registry: Registry) -> int:
    """A release as it was made becomes the challenger."""
    if settings.promoted_model is not None or settings.styles is not None or settings.force:
        raise SettingsError(
            "a release is tried as it was made", alias=settings.alias, model=settings.promoted_model,
            styles=settings.styles, force=settings.force, hint="Name it alone: alias=challenger release=N",
        )  # fmt: skip
    champion, number = _asked(settings, registry)
    if champion is None:
        raise SettingsError("there is no champion to try it against", release=number, hint="Promote a release first")
    refuse_unproved(registry.open(number))
    registry.point("challenger", number, {"reason": settings.reason, "champion": champion})
    show(
        f"Release   {number} is the challenger of {champion}",
        "It serves where serve.a_b_testing or serve.canary_deployment is true",
        "End it    python -m jobs.rollback alias=challenger, or promote it",
    )
    return OK


def _asked(settings: Settings, registry: Registry) -> tuple[int | None, int]:
    """The champion, and the release asked for: another one."""
    champion = registry.alias("champion")
    number = numbered(registry, settings.release) if settings.release else registry.newest()
    if number is None:
        raise VersionNotFound("no release has this alias", alias=settings.release)
    if number == champion:
        raise SettingsError("this release serves now", key="release", found=number, releases=registry.numbers())
    return champion, number


def _release(settings: Settings, registry: Registry) -> int:
    champion, number = _asked(settings, registry)
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
    return told(settings, registry, decision, activated, champion)


def _model(settings: Settings, registry: Registry, kind: str) -> int:
    """A new release: the champion's, with this model's newest version."""
    champion = _champion(registry)
    donor = newer_version(registry, champion, kind)
    remade = remake(settings, champion, {kind: donor})
    fleet, verdict = remade.fleet, remade.verdict
    styles = outcomes(fleet.panel, verdict, remade.race, fleet.question, fleet.rejected, fleet.settings)
    staged, facts = staged_release(remade, styles)
    decision = decide(staged, champion, settings, proved=True)
    said = {"model": kind, "model_from": donor.number, "made_from": champion.number}
    return _made(settings, registry, remade, styles, (staged, facts), decision, said)


def _styles(settings: Settings, registry: Registry, names: Sequence[str]) -> int:
    """A new release: the champion's, with some styles as an earlier one forecast them. As any rollback it is not asked
    to be better: it must predict."""
    champion = _champion(registry)
    number = numbered(registry, settings.release) if settings.release else None
    if number is None or number == champion.number or not names:
        raise SettingsError(
            "name the styles and the release they are taken from", styles=list(names), release=settings.release,
            champion=champion.number, hint="styles=[A,B] release=N; see python -m jobs.releases",
        )  # fmt: skip
    source = registry.open(number)
    wanted = check_styles(names, source, champion)
    remade = restyled(remake(settings, champion, {}), champion, source, wanted, settings.reason)
    fleet, verdict = remade.fleet, remade.verdict
    frame = outcomes(fleet.panel, verdict, remade.race, fleet.question, fleet.rejected, fleet.settings)
    staged, facts = staged_release(remade, frame)
    decision = Decision.of([predicts(staged, proved=True)])
    said = {"styles": wanted.tolist(), "styles_from": number, "made_from": champion.number}
    return _made(settings, registry, remade, frame, (staged, facts), decision, said)


def _made(
    settings: Settings, registry: Registry, remade: Remade, styles: pd.DataFrame,
    made: tuple[Release, Mapping[str, Any]], decision: Decision, said: Mapping[str, Any],
) -> int:  # fmt: skip
    """Releases and promotes what was made; when it is held back the registry stays as it is."""
    fleet, before = remade.fleet, int(said["made_from"])
    write_tables(fleet, remade.race, remade.verdict, styles)
    staged, facts = made
    if not decision.passed:
        if not settings.force:
            show(*held_back(decision, f"what was made of release {before}"))
            show(f"Run       {fleet.run.path}")
            return FAILED
        refuse_unproved(staged)
    number = into_registry(registry, staged, facts)
    shutil.rmtree(staged.path)
    told_of = entries(fleet, remade.race, remade.verdict, number).values()
    registry.append_history([{**entry, "promotion": decision.words} for entry in told_of])
    report = summary(fleet, remade.race, remade.verdict, styles, {}, number)
    fleet.run.write_json("summary.json", report)
    activated = activate(
        registry, number, settings, expected=before, facts={**promotion_facts(settings, decision), **said}, proved=True
    )
    return told(settings, registry, decision, activated, before)


def _champion(registry: Registry) -> Release:
    if registry.alias("champion") is None:
        raise nothing_released(registry)
    return registry.open("champion")


def newer_version(registry: Registry, champion: Release, kind: str) -> Release:
    """The newest release with a version of `kind` that is newer than the champion's. Raises SettingsError for what is
    no single trained model, VersionNotFound when no release has a newer one."""
    if kind not in LEARNED:
        raise SettingsError(
            "this is no model that is trained by itself", key="model", found=kind, expected=list(LEARNED),
            hint="Promote a release as a whole: release=N",
        )  # fmt: skip
    mine = champion.manifest["models"].get(kind)
    damaged = []
    for number in reversed(registry.numbers()):
        if number == champion.number:
            continue
        try:
            release = registry.open(number)
        except VersionUnreadable:
            damaged.append(number)
            continue
        theirs = release.manifest["models"].get(kind)
        if theirs is not None and (mine is None or theirs["trained_at"] > mine["trained_at"]):
            return release
    raise VersionNotFound(
        "no release has a newer version of this model than the champion", model=kind, champion=champion.number,
        trained_at=mine["trained_at"] if mine else None, damaged=damaged,
        hint=f"Train it: python -m jobs.train 'only=[{kind}]' force=true",
    )  # fmt: skip


def promotion_facts(settings: Settings, decision: Decision) -> dict[str, Any]:
    """What is kept with a promotion: forced where the gate was overruled, the reason given, what the gate said."""
    return {"forced": not decision.passed, "reason": settings.reason, "gate": decision.as_json()}


def told(
    settings: Settings, registry: Registry, decision: Decision, activated: Activated, before: int | None
) -> int:  # fmt: skip
    """Says how a promotion ended, and leaves only the newest release where older ones are not kept; the exit code."""
    if not settings.releases.model_versioning:
        registry.keep_only_newest()
    place = f" in the place of {before}" if before else ""
    if activated.serves:
        overruled = "" if decision.passed else " (forced)"
        lines = [f"Release   {activated.number} serves{place}{overruled}"]
        lines += [f"{'Gate' if decision.passed else 'Overruled':<9} {reason}" for reason in decision.reasons]
    else:
        lines = [f"Release   {activated.number} was promoted{place} and taken back"]
    lines += activated.lines()
    show(*[part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10,
                                                            break_on_hyphens=False)])  # fmt: skip
    return FAILED if activated.ailment else OK


if __name__ == "__main__":
    run("promote", body)
