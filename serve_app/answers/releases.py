"""`GET /api/releases` and `/api/releases/compare`: what was released, and what changed from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

import numpy as np

from demand.errors import VersionNotFound
from demand.panel import Floats
from models.registry import ALIASES, Registry
from serve_app.answers.asked import Answer, head, last_day, page
from serve_app.answers.columns import numbers, rows, values
from serve_app.book import Book
from serve_app.opened import Listed
from serve_app.problems import Refused
from serve_app.schemas.parameters import ChangesParameters, ReleasesParameters
from serve_app.schemas.units import growth, listed, percent, units

COMPARED_DAYS = (30, 60, 90, 180)


class Desk(Protocol):
    """What the answers about releases read: unlike a Book it changes, with every release and promotion."""

    @property
    def registry(self) -> Registry: ...

    def book(self, number: int) -> Book:
        """A release opened. Raises VersionNotFound or VersionUnreadable."""
        ...

    def listed(self, number: int) -> Listed:
        """What a list shows of a release. Raises VersionNotFound."""
        ...


def releases(desk: Desk, asked: ReleasesParameters, today: date) -> Answer:
    """All releases, newest first, damaged ones among them."""
    registry = desk.registry
    numbers_ = registry.numbers()[::-1]
    if not numbers_:
        return {"status": "no_data", "reason": "nothing was released yet. Run python -m jobs.pipeline first"}
    end = None if asked.limit is None else asked.offset + asked.limit
    shown = numbers_[asked.offset : end]
    aliases = {name: registry.alias(name) for name in ALIASES}
    promotions = {int(pointer["release"]): pointer for pointer in registry.promotions()}
    return {
        "status": "success",
        "champion": aliases["champion"],
        "units": units("", ("wape", "baseline_wape", "bias_rel")),
        "releases": [_release(desk, n, aliases, promotions.get(n)) for n in shown],
        "pagination": page(len(numbers_), len(shown), asked.offset, asked.limit),
    }


def _release(desk: Desk, n: int, aliases: dict[str, int | None], promoted: Any) -> dict[str, Any]:
    facts = {} if promoted is None else dict(promoted.get("facts") or {})
    shown = desk.listed(n)
    m = shown.metrics
    return {
        "release": n,
        "generated_at": shown.generated_at,
        "aliases": [name for name, points_at in aliases.items() if points_at == n],
        "served": shown.served,
        "total_styles": shown.total_styles,
        "wape": percent(m.get("wape")),
        "baseline_wape": percent((m.get("baseline") or {}).get("wape")),
        "bias_rel": percent(m.get("bias_rel")),
        "promoted_at": None if promoted is None else promoted.get("at"),
        "forced": bool(facts.get("forced", False)),
        "reason": facts.get("reason"),
        "rolled_back_from": facts.get("rolled_back_from"),
        "evaluation_id": m.get("evaluation_id"),
        **({} if shown.damaged is None else {"damaged": shown.damaged}),
    }


def changes(desk: Desk, asked: ChangesParameters, today: date) -> Answer:
    """What is different in one release against another. Raises Refused (404): no such release."""
    now, before = _opened(desk, "release", asked.release), _opened(desk, "against", asked.against)
    new, old = now.styles(now.served), before.styles(before.served)
    names, then = (np.array(values(table, "unique_id"), dtype=object) for table in (new, old))
    shared, at_new, at_old = np.intersect1d(names, then, assume_unique=True, return_indices=True)
    ahead, past = numbers(new, "forecast_30_days")[at_new], numbers(old, "forecast_30_days")[at_old]
    order = np.argsort(-np.abs(ahead - past), kind="stable")
    shown = order[asked.offset : None if asked.limit is None else asked.offset + asked.limit]
    return {
        **head(now, now.served, ("growth_rate", "wape")),
        "now": _side(now),
        "before": _side(before),
        "totals": [_total(now, before, days) for days in COMPARED_DAYS],
        "models": _models(now, before),
        "styles_new": np.setdiff1d(names, then).tolist(),
        "styles_gone": np.setdiff1d(then, names).tolist(),
        "styles": rows({"style": shared[shown].tolist(), **_changed(ahead[shown], past[shown])}),
        "pagination": page(len(shared), len(shown), asked.offset, asked.limit),
    }


def _opened(desk: Desk, parameter: str, number: int) -> Book:
    try:
        return desk.book(number)
    except VersionNotFound:
        known = tuple(desk.registry.numbers()[-20:])
        raise Refused(404, "unknown_release", f"there is no release {number}", parameter, known) from None


def _side(book: Book) -> dict[str, Any]:
    return {
        "release": book.number,
        "generated_at": book.generated_at,
        "served": book.served,
        "last_day": last_day(book).isoformat(),
        "total_styles": book.styles(book.served).num_rows,
    }


def _total(now: Book, before: Book, days: int) -> dict[str, Any]:
    ahead, past = (np.array([numbers(b.styles(b.served), f"forecast_{days}_days").sum()]) for b in (now, before))
    return {"days": days, **{name: column[0] for name, column in _changed(ahead, past).items()}}


def _changed(ahead: Floats, past: Floats) -> dict[str, list[float | None]]:
    return {
        "before": listed(past),
        "now": listed(ahead),
        "change": listed(ahead - past),
        "growth_rate": listed(growth(ahead, past)),
    }


def _models(now: Book, before: Book) -> list[dict[str, Any]]:
    new, old = (book.card["metrics"] for book in (now, before))
    names = [*new, *(name for name in old if name not in new)]
    return [{"model": name, "before": _measured(old.get(name)), "now": _measured(new.get(name))} for name in names]


def _measured(m: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if m is None else {"wape": percent(m["wape"]), "evaluation_id": m["evaluation_id"]}
