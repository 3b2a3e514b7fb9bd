"""`python -m jobs.releases`: what was released, what it scored, which one serves and which ones did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from demand.errors import VersionNotFound, VersionUnreadable
from jobs.entry import FAILED, OK, run
from jobs.fleet import registry_of
from jobs.settings import Settings
from jobs.show import show
from models.registry import ALIASES, Registry
from models.release import Release

SHOWN = 20  # releases, and promotions
_COLUMNS = ("no.", "made (UTC)", "alias", "serves", "styles", "WAPE", "naive", "MASE", "bias %")


def body(settings: Settings) -> int:
    """Prints the newest releases, each checked against its manifest, and the newest promotions; changes nothing.

    Exit code 1 when a release shown is damaged. Raises VersionNotFound when nothing was released.
    """
    registry = registry_of(settings)
    numbers = registry.numbers()
    if not numbers:
        raise nothing_released(registry)
    aliases = aliases_of(registry)
    table = Table(*_COLUMNS, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[4:]:
        column.justify = "right"
    damaged = []
    for number in reversed(numbers[-SHOWN:]):
        try:
            table.add_row(*_row(registry.open(number), ", ".join(aliases.get(number, ()))))
        except VersionUnreadable as error:
            table.add_row(str(number), "damaged", ", ".join(aliases.get(number, ())))
            damaged.append(f"Damaged   {number}: {error}")
    show(table, "WAPE, MASE, bias: of what it serves, over its own origins; naive: the seasonal", "naive's WAPE there.")
    if len(numbers) > SHOWN:
        show(f"{len(numbers) - SHOWN} older ones are not shown.")
    show(*damaged, *map(_promotion, registry.promotions()[-SHOWN:]), *map(_trial, registry.trials()[-SHOWN:]))
    return FAILED if damaged else OK


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


def _row(release: Release, aliases: str) -> tuple[str, ...]:
    card, manifest = release.json("card.json"), release.manifest
    served, naive = card["metrics"][card["served"]], card["metrics"]["seasonal_naive"]
    return (
        str(release.number), manifest["created"][:10], aliases, card["served"],
        f"{manifest['n_series']:,}", _figure(served["wape"]), _figure(naive["wape"]), _figure(served["mase"]),
        "-" if served["bias_rel"] is None else f"{100 * served['bias_rel']:+.1f}",
    )  # fmt: skip


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
