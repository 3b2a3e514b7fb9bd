"""By which method order quantities are decided: what was asked for, or what the newest judgement recommends."""

from __future__ import annotations

from dataclasses import dataclass

from demand.errors import SettingsError
from jobs.fleet import decisions_of
from jobs.settings import Settings
from models.decision_release import MODEL
from models.files import read_card
from models.inventory.policies import POLICIES
from models.inventory.surrogate import KIND, FittedSurrogate
from models.registry import Registry


@dataclass(frozen=True, eq=False)
class Method:
    """How quantities are decided, and why. fitted: only for the surrogate. version: its release, None without."""

    name: str
    why: str
    fitted: FittedSurrogate | None = None
    version: int | None = None


def choose(settings: Settings, n: int, kind: str) -> Method:
    """The method of `inventory.method`; with auto the simple policy that the newest judgement of items of this kind
    recommends, else the exact search, above `exact_items` the surrogate.

    Raises SettingsError when a surrogate is asked for and none serves, or none may: enable_ml is false or the model
    disabled.
    """
    asked = settings.inventory.method
    if asked == "exact":
        return Method("exact", "inventory.method=exact")
    registry = decisions_of(settings, KIND)
    able = settings.enable_ml and KIND in settings.models and settings.models[KIND].enabled
    serves = able and registry.alias("champion") is not None
    if asked == "surrogate" and not able:
        raise SettingsError("the surrogate is switched off", key="inventory.method", found=asked,
                            hint=f"Set enable_ml and models.{KIND}.enabled to true, or use method=exact")  # fmt: skip
    if asked == "surrogate" and not serves:
        raise SettingsError("no surrogate serves", key="inventory.method", found=asked, releases=registry.numbers(),
                            hint="Train one: python -m jobs.train 'only=[inventory_optimization]'")  # fmt: skip
    if asked == "surrogate":
        return _surrogate(registry, "inventory.method")
    # What the newest judgement says of the policies counts, also where its surrogate may not serve.
    newest = max(registry.numbers(), default=0)
    card = read_card(registry.open(newest).file(MODEL)) if newest else None
    judged_on = None if card is None else card.get("report", {}).get("kind", kind)
    if card is not None and judged_on == kind and card["recommended"]["policy"] in POLICIES:
        return Method(card["recommended"]["policy"], card["recommended"]["words"], None, newest)
    if serves and n > settings.inventory.exact_items:
        return _surrogate(registry, f"{n} items are more than inventory.exact_items")
    if card is None:
        return Method("exact", "no judgement of earlier decisions is kept")
    if judged_on != kind:
        return Method("exact", f"earlier decisions were judged on {judged_on}, not on {kind}", None, newest)
    return Method("exact", "no simple policy was cheaper on earlier decisions", None, newest)


def _surrogate(registry: Registry, why: str) -> Method:
    release = registry.open("champion")
    return Method("surrogate", why, FittedSurrogate.load(release.file(MODEL)), release.number)
