"""`python -m jobs.releases`: what was released, what it scored, which one serves and which ones did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from demand.errors import VersionNotFound, VersionUnreadable
from jobs.entry import FAILED, OK, run
from jobs.fleet import decisions_of, registry_of
from jobs.settings import Settings
from jobs.show import show
from models.decision_release import KINDS as DECISIONS
from models.registry import ALIASES, Registry
from models.release import Release

SHOWN = 20  # releases, and promotions
_DECIDES = ("no.", "made (UTC)", "alias", "serves", "accuracy", "target", "")
_COLUMNS = ("no.", "made (UTC)", "alias", "serves", "styles", "WAPE", "naive", "MASE", "bias %")


def body(settings: Settings) -> int:
    """Prints the newest releases, each checked against its manifest, and the newest promotions; changes nothing.

    First the fleet's, then those of each model that does not forecast. Exit code 1 when a release shown is damaged.
    Raises VersionNotFound when nothing was released.
    """
    registry = registry_of(settings)
    apart = {kind: found for kind in DECISIONS if (found := decisions_of(settings, kind)).numbers()}
    if not registry.numbers() and not apart:
        raise nothing_released(registry)
    damaged = []
    if registry.numbers():
        legend = "WAPE, MASE, bias: of what it serves, over its own origins; naive: the seasonal\nnaive's WAPE there."
        damaged += _listed(registry, _COLUMNS, _row, legend)
    for kind, found in apart.items():
        show("", f"{kind}: python -m jobs.rollback model={kind}")
        damaged += _listed(found, _DECIDES, _decision_row, "accuracy: on what it had not seen in training.")
    return FAILED if damaged else OK


def _listed(
    registry: Registry, columns: Sequence[str], row: Callable[[Release], tuple[str, ...]], legend: str
) -> list[str]:
    """Prints one registry; returns what is damaged, in words that were printed, too.

    row: what is told of a release after its alias, in the order of `columns` from the fourth on.
    """
    numbers, aliases = registry.numbers(), aliases_of(registry)
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[4:]:
        column.justify = "right"
    damaged = []
    for number in reversed(numbers[-SHOWN:]):
        alias = ", ".join(aliases.get(number, ()))
        try:
            release = registry.open(number)
            table.add_row(str(number), release.manifest["created"][:10], alias, *row(release))
        except VersionUnreadable as error:
            table.add_row(str(number), "damaged", alias)
            damaged.append(f"Damaged   {number}: {error}")
    show(table, legend)
    if len(numbers) > SHOWN:
        show(f"{len(numbers) - SHOWN} older ones are not shown.")
    show(*damaged, *map(_promotion, registry.promotions()[-SHOWN:]), *map(_trial, registry.trials()[-SHOWN:]))
    return damaged


def nothing_released(registry: Registry) -> VersionNotFound:
    """The error of whoever needs a release where none was made."""
    hint = "Run python -m jobs.pipeline first"
    return VersionNotFound("nothing was released yet", registry=registry.name, hint=hint)


def numbered(registry: Registry, asked: int | str) -> int | None:
    """The number of a release that is asked for by number or alias; None when the alias points nowhere."""
    return registry.alias(asked) if isinstance(asked, str) else asked


def aliases_of(registry: Registry) -> dict[int, list[str]]:
    """The aliases of each release that has any."""
    found: dict[int, list[str]] = {}
    for name in ALIASES:
        number = registry.alias(name)
        if number is not None:
            found.setdefault(number, []).append(name)
    return found


def _row(release: Release) -> tuple[str, ...]:
    card, manifest = release.json("card.json"), release.manifest
    served, naive = card["metrics"][card["served"]], card["metrics"]["seasonal_naive"]
    return (
        card["served"], f"{manifest['n_series']:,}", _figure(served["wape"]), _figure(naive["wape"]),
        _figure(served["mase"]),
        "-" if served["bias_rel"] is None else f"{100 * served['bias_rel']:+.1f}",
    )  # fmt: skip


def _decision_row(release: Release) -> tuple[str, ...]:
    """What a model apart measured; nothing where a rule serves, which learns nothing."""
    served = str(release.manifest["served"])
    told = release.manifest["models"].get(served, {}).get("metrics") or {}
    met = {True: "met", False: "missed", None: "-"}[told.get("target_met")]
    return served, _figure(told.get("accuracy")), _figure(told.get("target")), met


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _promotion(pointer: Mapping[str, Any]) -> str:
    """One line: when, what, and why."""
    at, facts = str(pointer["at"] or "unknown")[:16].replace("T", " "), pointer["facts"]
    left = facts.get("rolled_back_from")
    what = "promoted" if left is None else f"{'automatically ' * bool(facts.get('automatic'))}rolled back from {left}"
    if facts.get("model_from"):
        what += f" ({facts['model']} from release {facts['model_from']})"
    if facts.get("styles_from"):
        what += f" ({len(facts['styles'])} styles from release {facts['styles_from']})"
    why = f": {facts['reason']}" if facts.get("reason") else ""
    return f"{at}  release {pointer['release']} {what}{' (forced)' if facts.get('forced') else ''}{why}"


def _trial(change: Mapping[str, Any]) -> str:
    """One line of a challenger: when, what, and why."""
    at, facts = str(change["at"])[:16].replace("T", " "), change["facts"]
    ended = f"release {facts.get('withdrawn', '?')} {'automatically ' * bool(facts.get('automatic'))}withdrawn"
    what = ended if change["release"] is None else f"release {change['release']} tried"
    return f"{at}  {what} as challenger" + (f": {facts['reason']}" if facts.get("reason") else "")


if __name__ == "__main__":
    run("releases", body)
