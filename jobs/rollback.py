"""`python -m jobs.rollback`: a release that served before serves again, byte for byte. Nothing is trained."""

from __future__ import annotations

from demand.errors import SettingsError, VersionNotFound
from jobs.entry import OK, run
from jobs.fleet import registry_of
from jobs.releases import nothing_released
from jobs.settings import Settings
from jobs.show import show
from models.registry import Registry


def body(settings: Settings) -> int:
    """Points the champion at `release`, or at the one before it, and notes it with the reason.

    The release is compared with its manifest first; whatever is wrong with it, the champion stays. Raises
    VersionNotFound when there is none to go back to, SettingsError when `release` never served or serves now,
    RegistryError when another process moved the champion meanwhile.
    """
    registry = registry_of(settings)
    champion = registry.alias("champion")
    if champion is None:
        raise nothing_released(registry)
    target = settings.release or registry.alias("previous")
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
    registry.promote(target, expected=champion, facts=facts)
    show(
        f"Release   {target} serves again, in the place of {champion}",
        "Undo      python -m jobs.rollback, with the same storage",
        f"Noted in  {registry.place('log')}",
    )
    return OK


def served_before(registry: Registry) -> set[int]:
    """Numbers of the releases that are still kept and were the champion once."""
    ever = {int(pointer["release"]) for pointer in registry.promotions()}
    previous = registry.alias("previous")
    return (ever if previous is None else ever | {previous}) & set(registry.numbers())


if __name__ == "__main__":
    run("rollback", body)
