"""How much to order: decided on the released forecast for the items of a request, or as `jobs.replenish` filed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Protocol

import numpy as np

from demand.errors import VersionUnreadable
from demand.panel import Floats, Panel
from demand.settings import build
from models.base import Forecast
from models.inventory.decide import ASSUMED, Decided, decide
from models.inventory.features import seasonality_index
from models.inventory.items import Items
from models.inventory.known import blank, decidable
from models.inventory.paths import Days, forecast_paths
from models.inventory.policies import POLICIES
from models.inventory.search import chunks, window_days
from models.inventory.settings import InventorySettings
from models.proposals import Proposals
from serve_app.answers.asked import Answer, head, page
from serve_app.book import Book
from serve_app.problems import Refused
from serve_app.schemas.orders import OrderItem, OrderRequest
from serve_app.schemas.parameters import ProposalParameters, ProposalsParameters
from serve_app.schemas.units import number, units

MEMORY_MB = 32.0  # of one answer's arrays: several are made at once
MOST_PATHS = 256  # of an item: one with a window of two years fits that memory
NEXT_STEP = "nothing was proposed yet. Run python -m jobs.replenish"
_FRACTIONS = ("service", "service_without_order", "wanted_service")
_FIGURES = ("on_shelf", "on_order", "allocated", "unit_cost", "lead_time_days", "service_level", "ordering_cost",
            "stockout_cost", "supplier_reliability", "lot", "moq")  # fmt: skip


class Filed(Protocol):
    """Where the proposals lie: unlike a Book it changes, with every run."""

    @property
    def proposals(self) -> Proposals: ...


def order_quantities(book: Book, asked: OrderRequest) -> Answer:
    """A decision for each item of the request, in its order; one that lacks stock, cost or a forecast says so.

    Items of the same window are decided together, in blocks that fit MEMORY_MB: no answer depends on other items, but
    for rounding.
    """
    settings = _settings(book)
    known = blank(len(asked.items))
    known["item"] = [f"{place:04d}" for place in range(len(asked.items))]
    for name in _FIGURES:
        known[name] = [_or_nan(getattr(item, name)) for item in asked.items]
    ready = decidable(known, settings)
    made = {place: _demand(book, item.style) for place, item in enumerate(asked.items)}
    by = {place: _made_by(book, item.style) for place, item in enumerate(asked.items)}
    has = np.array([made[int(row)] is not None for row in ready.rows], dtype=bool)
    rows, items, on_shelf = ready.rows[has], ready.items.take(has), ready.on_shelf[has]
    columns: dict[int, dict[str, Any]] = {}
    for block, length in chunks(window_days(items, settings.review_days), settings.paths, settings.memory_mb):
        demand = [found for row in rows[block] if (found := made[int(row)]) is not None]
        decided = _decide(book, items.take(block), on_shelf[block], demand, length, settings)
        columns |= {
            int(row): {name: values[at] for name, values in decided.columns.items()}
            for at, row in enumerate(rows[block])
        }
    assumed = {int(row): str(names) for row, names in zip(ready.rows, ready.assumed, strict=True)}
    quantities = []
    for place, item in enumerate(asked.items):
        if place not in columns:
            lacks = [*ready.missing.get(place, ()), *(["forecast"] if made[place] is None else [])]
            quantities.append(_nothing(item, lacks) | {"made_by": by[place]})
        else:
            quantities.append(_one(item, columns[place], assumed[place], book) | {"made_by": by[place]})
    return {
        **head(book, book.served, (), _FRACTIONS),
        "made_by": book.served,
        "method": "exact",
        "review_days": settings.review_days,
        "paths": settings.paths,
        "quantities": quantities,
    }


def _decide(
    book: Book, items: Items, on_shelf: Floats, demand: Sequence[tuple[Panel, Floats, Floats]], length: int,
    settings: InventorySettings,
) -> Decided:  # fmt: skip
    """The decisions of items [n] with the same window of `length` days; demand [n] as `_demand` gives it."""
    days = Days.after(book.calendar, book.last_period, length)
    history, forecast = _joined(demand, book)
    longest = int(np.asarray(book.styles(book.served)["n_periods"]).max())
    paths = forecast_paths(forecast, history, days.periods, settings.paths, longest, book.order_widths)
    made = decide(items, on_shelf, paths, days, seasonality_index(history, days), settings, "exact")
    beyond = {"assumed_beyond_horizon": np.full(len(items), days.periods > forecast.horizon)}
    return replace(made, columns=made.columns | beyond)


def order_proposal(filed: Filed, asked: ProposalParameters, today: date) -> Answer:
    """A page of the orders of one proposal, the newest where none is named. Raises Refused (404) for one that is not
    kept, VersionUnreadable for a damaged file."""
    told = filed.proposals.latest() if asked.run_id is None else filed.proposals.of(asked.run_id)
    if told is None and asked.run_id is not None:
        raise unknown_proposal()
    if told is None:
        return {"status": "no_data", "reason": NEXT_STEP}
    try:
        csv = csv_url(told["run_id"]) if filed.proposals.csv(told["run_id"]) is not None else None
        return _proposal(told, asked, csv)
    except (KeyError, TypeError, AttributeError) as error:
        raise VersionUnreadable("the proposal is not whole", cause=repr(error)) from None


def order_proposals(filed: Filed, asked: ProposalsParameters, today: date) -> Answer:
    """The proposals that are kept, the newest first. Raises VersionUnreadable for a damaged file."""
    heads = filed.proposals.heads()
    if not heads:
        return {"status": "no_data", "reason": NEXT_STEP}
    end = None if asked.limit is None else asked.offset + asked.limit
    try:
        shown = [_head(head) for head in heads[asked.offset : end]]
    except (KeyError, TypeError, AttributeError) as error:
        raise VersionUnreadable("a proposal is not whole", cause=repr(error)) from None
    return {"status": "success", "proposals": shown,
            "pagination": page(len(heads), len(shown), asked.offset, asked.limit)}  # fmt: skip


def csv_url(run_id: str) -> str:
    """Where the file of all orders of a proposal is fetched."""
    return f"/api/order-proposals/{run_id}"


def unknown_proposal() -> Refused:
    """The 404 of a proposal that is not kept."""
    return Refused(404, "unknown_proposal", "no proposal of this run is kept. GET /api/order-proposals lists those "
                   "that are", "run_id")  # fmt: skip


def _head(head: Mapping[str, Any]) -> Answer:
    same = ("run_id", "release", "origin", "kind", "unit", "method")
    return {"generated_at": head["at"], **{name: head[name] for name in same}, "items": _counted(head["items"]),
            "csv_url": csv_url(head["run_id"])}  # fmt: skip


def _counted(items: Mapping[str, int]) -> dict[str, int]:
    return {"items_in": items["in"], **{name: items[name] for name in ("ordered", "nothing_needed", "no_data")}}


def _proposal(told: Mapping[str, Any], asked: ProposalParameters, csv: str | None) -> Answer:
    if told["status"] == "no_data":
        return {"status": "no_data", "reason": _undecided(told), "generated_at": told["at"], "release": told["release"]}
    end = None if asked.limit is None else asked.offset + asked.limit
    shown = told["orders"][asked.offset : end]
    cost = told["cost"] or {}
    return {
        "status": "success",
        "generated_at": told["at"],
        **{
            name: told[name] for name in ("run_id", "release", "origin", "kind", "method", "method_reason", "suppliers")
        },
        "units": units(told["unit"], (), ("service", "wanted_service")),
        "items": _counted(told["items"]),
        "missing": _counts(told["missing"]),
        "assumed": _counts(told["assumed"]),
        "unreachable": told["unreachable"],
        "notes": told["notes"],
        "matches": told["matches"],
        "costs": [{"policy": name, "cost": value} for name, value in cost.items()],
        "orders": [_order(one) for one in shown],
        "kept": len(told["orders"]),
        "csv_url": csv,
        "pagination": page(len(told["orders"]), len(shown), asked.offset, asked.limit),
    }


def _undecided(told: Mapping[str, Any]) -> str:
    """Why the newest proposal decided nothing, and what to do."""
    lacks = "; ".join(f"{what}: {count:,}" for what, count in told["missing"].items())
    why = f" (missing: {lacks})" if lacks else ""
    notes = "".join(f". {note[:1].upper()}{note[1:]}" for note in told["notes"])
    return (f"none of the {told['items']['in']:,} {told['kind']} could be decided{why}{notes}. Give what is missing in "
            "the company's tables or a file as inventory.table, and run python -m jobs.replenish again")  # fmt: skip


def _order(one: Mapping[str, Any]) -> dict[str, Any]:
    names = {"quantity": "order_quantity", "value": "order_value", "cost": "expected_cost",
             "service": "expected_service", "reachable": "service_reachable"}  # fmt: skip
    same = ("supplier", "item", "order_on", "expected_on", "lead_time_days", "moq", "position", "cost_without_order",
            "wanted_service", "method", "reason")  # fmt: skip
    return {
        **{name: one[name] for name in same},
        **{ours: one[theirs] for ours, theirs in names.items()},
        "shelf_empty_on": one["shelf_empty_on"] or None,
        "assumed": _names(one["assumed"]),
    }


def _counts(found: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"what": name, "items": count} for name, count in found.items()]


def _settings(book: Book) -> InventorySettings:
    """The defaults the release was made with, ours where it is older than they are; in little memory, of few paths."""
    found = build(InventorySettings, dict(book.config.get("inventory") or {}), "inventory")
    return replace(found, memory_mb=MEMORY_MB, paths=min(found.paths, MOST_PATHS))


def _demand(book: Book, style: str) -> tuple[Panel, np.ndarray, np.ndarray] | None:
    """(history without blanks, mean [H], quantiles [H, Q]) of a style; None when the release has no forecast of it."""
    if book.row_of(book.served, style) is None:
        return None
    _, mean, quantiles, _ = book.forecast_of(book.served, style)
    if not np.isfinite(mean).all():
        return None
    return book.panel_of(style).with_blanks_filled(book.card["blanks"]), mean, quantiles


def _made_by(book: Book, style: str) -> str | None:
    """The model that really made a style's forecast; None when the release has none of it."""
    row = book.row_of(book.served, style)
    by: str = "" if row is None else book.styles(book.served)["made_by"][row].as_py()
    return by or None


def _joined(found: Sequence[tuple[Panel, np.ndarray, np.ndarray]], book: Book) -> tuple[Panel, Forecast]:
    """One panel and forecast of the items, named by their place: a style may be asked about twice."""
    ids = np.array([f"{place:04d}" for place in range(len(found))])
    lengths = [len(panel.y) for panel, _, _ in found]
    history = Panel(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                    np.concatenate([one[0].y for one in found]), book.last_period, book.freq)  # fmt: skip
    n = len(found)
    mean, quantiles = np.stack([one[1] for one in found]), np.stack([one[2] for one in found])
    blank_text = np.full(n, "")
    forecast = Forecast(ids, book.last_period, book.freq, book.levels, mean, quantiles, np.full(n, book.served),
                        np.zeros(n, dtype=np.int64), blank_text, blank_text)  # fmt: skip
    return history, forecast


def _one(item: OrderItem, column: Mapping[str, Any], assumed: str, book: Book) -> dict[str, Any]:
    quantity = float(column["quantity"])
    empty = column["cover_days"]
    end = book.calendar.spans(np.array([book.last_period]))[1][0]
    return {
        "style": item.style,
        "status": "order" if quantity > 0 else "none",
        "missing": [],
        "quantity": quantity,
        "cost": number(column["cost"]),
        "cost_without_order": number(column["idle_cost"]),
        "service": number(column["service"]),
        "service_without_order": number(column["idle_service"]),
        "reachable": bool(column["reachable"]),
        "window_days": int(column["window_days"]),
        "shelf_empty_on": None if np.isnan(empty) else str(end + np.timedelta64(int(empty), "D")),
        "assumed": [*_names(assumed), *(word for flag, word in ASSUMED.items() if column[flag])],
        "beside": [
            {"policy": policy, "quantity": float(column[f"quantity_{policy}"]), "cost": float(column[f"cost_{policy}"]),
             "service": float(column[f"service_{policy}"])} for policy in POLICIES
        ],
    }  # fmt: skip


def _nothing(item: OrderItem, missing: Sequence[str]) -> dict[str, Any]:
    nothing = dict.fromkeys(("quantity", "cost", "cost_without_order", "service", "service_without_order", "reachable",
                             "window_days", "shelf_empty_on"))  # fmt: skip
    return {"style": item.style, "status": "no_data", "missing": list(missing), **nothing, "assumed": [], "beside": []}


def _names(text: str) -> list[str]:
    return [name for name in text.split(", ") if name]


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)
