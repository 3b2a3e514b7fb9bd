"""`python -m jobs.rollback`: a release that served before serves again, byte for byte. Nothing is trained."""

from __future__ import annotations

from demand.errors import RegistryError, SettingsError, VersionNotFound
from jobs.activation import refuse_unproved
from jobs.entry import OK, run
from jobs.fleet import decisions_of, registry_of
from jobs.releases import nothing_released, numbered
from jobs.settings import Settings
from jobs.show import show
from models.decision_release import KINDS as DECISIONS
from models.registry import Registry


def body(settings: Settings) -> int:
    """Points the champion at `release`, or at the one before it, and notes it with the reason.

    The release is compared with its manifest first, and its models must repeat their golden prediction; whatever is
    wrong with it, the champion stays. Raises VersionNotFound when there is none to go back to, SettingsError when
    `release` never served or serves now, or when older releases are not kept (`releases.model_versioning=false`),
    RegistryError when the models cannot be trusted or another process moved the champion meanwhile. alias=challenger:
    the trial ends instead, and the champion stays. model=yarn_substitution: the yarns' own registry goes back.
    """
    if settings.alias == "challenger":
        return _withdraw(settings)
    if not settings.releases.model_versioning:
        raise SettingsError(
            "there is nothing to go back to: only the newest release is kept", key="releases.model_versioning",
            found=False, hint="Set releases.model_versioning=true, for this job too, to keep and restore releases",
        )  # fmt: skip
    apart = settings.promoted_model
    if apart is not None and apart not in DECISIONS:
        raise SettingsError(
            "the fleet goes back as a whole", key="model", found=apart, known=", ".join(DECISIONS),
            hint="Leave model= out, or take one model from another release: python -m jobs.promote model=",
        )  # fmt: skip
    registry = registry_of(settings) if apart is None else decisions_of(settings, apart)
    champion = registry.alias("champion")
    if champion is None:
        raise nothing_released(registry)
    target = numbered(registry, settings.release or "previous")
    served = served_before(registry)
    if target is None:
        raise VersionNotFound("there is no release before the champion", champion=champion)
    if target == champion:
        raise SettingsError("this release serves now", key="release", found=target, served=sorted(served))
    if target not in served:
        raise SettingsError(
            "a rollback goes to a release that served before", key="release", found=target, served=sorted(served),
            hint="See python -m jobs.releases",
        )  # fmt: skip
    facts = {"forced": False, "rolled_back_from": champion, "reason": settings.reason}
    release = registry.open(target)  # every file as its manifest says
    if apart is None:
        refuse_unproved(release)
    registry.promote(target, expected=champion, facts=facts)
    show(
        f"Release   {target} serves again, in the place of {champion}",
        "Undo      python -m jobs.rollback, with the same storage",
        f"Noted in  {registry.place('log')}",
    )
    return OK


def _withdraw(settings: Settings) -> int:
    """The challenger is none any more."""
    registry = registry_of(settings)
    number = registry.alias("challenger")
    asked = number if settings.release is None else numbered(registry, settings.release)
    if number is None or asked != number:
        raise VersionNotFound("this release is not tried", release=settings.release, challenger=number)
    if not registry.withdraw(number, {"automatic": False, "reason": settings.reason}):
        raise RegistryError("the challenger changed meanwhile", expected=number, found=registry.alias("challenger"))
    show(f"Release   {number} is no challenger any more", f"Noted in  {registry.place('log')}")
    return OK


def served_before(registry: Registry) -> set[int]:
    """Numbers of the releases that are still kept and were the champion once."""
    ever = registry.ever_served()
    previous = registry.alias("previous")
    return (ever if previous is None else ever | {previous}) & set(registry.numbers())


if __name__ == "__main__":
    run("rollback", body)
