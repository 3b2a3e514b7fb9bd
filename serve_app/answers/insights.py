"""`GET /api/insights`: what stands out, in words, each with the numbers and names it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from demand.cleaning import DEFAULT_RULES
from demand.panel import Floats
from evaluation.leaderboard import best_model
from serve_app.answers.asked import Answer, first_day, head, last_day
from serve_app.answers.columns import flags, numbers, values
from serve_app.answers.fleet import FALLING, RISING, Fleet, trends_wanted
from serve_app.answers.model_rows import LARGE_BIAS, errors_of, measured, target_of
from serve_app.book import Book
from serve_app.schemas.parameters import NoParameters
from serve_app.schemas.units import number, percent

NAMED = 5  # styles an insight names
CARRIED = 0.5  # share of the forecast that "a few styles" carry
STALE_DAYS = DEFAULT_RULES["stale_days"].limit
Finding = dict[str, Any]


def insights(book: Book, asked: NoParameters, today: date) -> Answer:
    """What stands out in the release, most useful first. Nothing but stored figures and their sums."""
    return {
        **head(book, book.served, ("wape", "baseline_wape", "accuracy_improvement", "bias_rel", "mape", "target_mape",
                                   "growth_rate"), ("share", "coverage", "interval")),
        "insights": findings(book, today),
    }  # fmt: skip


def findings(book: Book, today: date) -> list[Finding]:
    """All findings of a release; `today` decides only how old the data is."""
    fleet = Fleet.of(book, book.served, 30)
    found = [*_accuracy(book), *_age(book, today)]
    if len(fleet):
        found += [*_movers(fleet), *_trust(fleet), *_quiet(fleet), *_concentrated(fleet)]
    return [*found, *_models(book), *_rejected(book)]


def _finding(
    name: str, text: str, source: str, told: dict[str, Any], styles: Iterable[str] = (), models: Iterable[str] = ()
) -> Finding:
    return {"id": name, "text": text, "numbers": told, "styles": list(styles), "models": list(models),
            "source": source}  # fmt: skip


def _accuracy(book: Book) -> Iterator[Finding]:
    """The served model against the seasonal naive, on the same origins."""
    errors = errors_of(book, book.served)
    wape, naive = errors["wape"], errors["baseline_wape"]
    if wape is None or naive is None:
        return
    points = round(naive - wape, 6)
    side = "lower than" if points > 0 else "not lower than"
    yield _finding(
        "accuracy", f"{book.served} is served: WAPE {wape:.1f}%, {side} the seasonal naive's {naive:.1f}%.",
        "card.json", {"wape": wape, "baseline_wape": naive, "accuracy_improvement": points}, models=(book.served,),
    )  # fmt: skip


def _age(book: Book, today: date) -> Iterator[Finding]:
    text = old_data(book, today)
    if text is not None:
        yield _finding("data_age", text, "styles.parquet", {"days": (today - last_day(book)).days})


def old_data(book: Book, today: date) -> str | None:
    """What is to be said of data that is too old to order by: its age in days from its last day to `today`, the days
    the forecast is for, and what to do; None while it is fresh enough."""
    first, last = first_day(book), last_day(book)
    days = (today - last).days
    if days <= STALE_DAYS:
        return None
    until = last + timedelta(days=book.horizon_days)
    return (
        f"The data ends on {last}, {days} days ago, and the forecast is for {first} to {until}: load newer orders, "
        "then train again."
    )


def _movers(fleet: Fleet) -> Iterator[Finding]:
    """The fastest growing and falling styles, and the largest change in quantity."""
    names = np.array(values(fleet.table, "unique_id"), dtype=object)
    growth, change = fleet.growth, fleet.ahead(30) - fleet.recent
    if not trends_wanted(fleet.book):
        growth = np.full(len(fleet), np.nan)
    for name, chosen, ranked, verb in (
        ("growing", growth > RISING, -growth, "grow"),
        ("falling", growth < FALLING, growth, "fall"),
    ):
        places = _first(chosen, ranked)
        if len(places):
            count, rate = int(chosen.sum()), float(growth[places[0]])
            text = (
                f"{_styles(count)} {verb}{'s' if count == 1 else ''} by more than {RISING:.0f}% against the last 30 "
                f"days; {names[places[0]]} most, by {rate:+.0f}%."
            )
            yield _finding(name, text, "styles.parquet", {"count": count, "growth_rate": rate}, names[places])
    places = _first(np.abs(change) > 0, -np.abs(change))
    if len(places):
        at = places[0]
        before, ahead, moved = (float(column[at]) for column in (fleet.recent, fleet.ahead(30), change))
        text = (
            f"{names[at]} changes most: {ahead:,.0f} {fleet.book.unit}".rstrip() + f" in the next 30 days, "
            f"{moved:+,.0f} against the last 30 days."
        )
        told = {"forecast_30_days": ahead, "last_30_days": before, "change": moved}
        yield _finding("largest_change", text, "styles.parquet", told, names[places])


def _first(chosen: Any, ranked: Floats) -> Any:
    """Places of the first few of those chosen, smallest `ranked` first, equal ones by name."""
    places = np.flatnonzero(chosen)
    return places[np.argsort(ranked[places], kind="stable")][:NAMED]


def _trust(fleet: Fleet) -> Iterator[Finding]:
    names = np.array(values(fleet.table, "unique_id"), dtype=object)
    ahead = np.nan_to_num(fleet.ahead(30))
    low = flags(fleet.table, "low_confidence")
    if low.any():
        share = float(low.mean())
        places = _first(low, -ahead)
        text = f"{_styles(int(low.sum()))} ({share:.0%}) below the confidence threshold or never measured: look at " \
               f"them before ordering, {names[places[0]]} first."  # fmt: skip
        yield _finding(
            "low_confidence", text, "styles.parquet", {"count": int(low.sum()), "share": share}, names[places]
        )
    fell = numbers(fleet.table, "fallback_level") > 0
    if fell.any():
        places = _first(fell, -ahead)
        reason = values(fleet.table, "reason")[places[0]] or "no reason kept"
        text = f"{_styles(int(fell.sum()))} fell back to another model; {names[places[0]]}: {reason}."
        told = {"count": int(fell.sum()), "share": float(fell.mean())}
        yield _finding("fell_back", text, "styles.parquet", told, names[places])


def _quiet(fleet: Fleet) -> Iterator[Finding]:
    """Styles that neither sold of late nor are expected to."""
    quiet = (fleet.recent == 0) & (fleet.ahead(30) <= 0)
    if quiet.any():
        sold = np.nan_to_num(numbers(fleet.table, "historical_total"))
        names = np.array(values(fleet.table, "unique_id"), dtype=object)[_first(quiet, -sold)]
        text = f"{_styles(int(quiet.sum()))} sold nothing in the last 30 days, and nothing is expected in the next 30."
        told = {"count": int(quiet.sum()), "share": float(quiet.mean())}
        yield _finding("no_demand", text, "styles.parquet", told, names)


def _concentrated(fleet: Fleet) -> Iterator[Finding]:
    """A few styles that carry half of what is expected."""
    ahead = np.maximum(np.nan_to_num(fleet.ahead(30)), 0.0)
    if not ahead.sum() > 0:
        return
    order = np.argsort(-ahead, kind="stable")
    carried = np.cumsum(ahead[order]) / ahead.sum()
    count = int(np.searchsorted(carried, CARRIED)) + 1
    if len(fleet) > 2 * count:
        share = float(carried[count - 1])
        names = np.array(values(fleet.table, "unique_id"), dtype=object)[order[: min(count, NAMED)]]
        text = f"{_styles(count)} of {len(fleet):,} carr{'ies' if count == 1 else 'y'} {share:.0%} of the next 30 days."
        yield _finding("concentration", text, "styles.parquet", {"count": count, "share": share}, names)


def _models(book: Book) -> Iterator[Finding]:
    best, served, m = best_model(book.board), book.served, measured(book, book.served)
    if best != served:
        text = f"{best} ranks first, but {served} is served"
        reasons = "; ".join(book.card["gate"]["reasons"])
        told = {"wape": errors_of(book, best)["wape"], "baseline_wape": errors_of(book, best)["baseline_wape"]}
        text += f": {reasons}." if reasons else "."
        yield _finding("best_not_served", text, "metrics.parquet", told, models=(best, served))
    if m["bias_rel"] is not None and abs(m["bias_rel"]) > LARGE_BIAS:
        side = "high: stock builds up" if m["bias_rel"] > 0 else "low: orders run short"
        text = f"{served} was too {side} if used as is ({m['bias_rel']:+.0%} of demand in total)."
        yield _finding("bias", text, "card.json", {"bias_rel": percent(m["bias_rel"])}, models=(served,))
    if m["coverage"] is not None and m["interval"] is not None and abs(m["coverage"] - m["interval"]) > 0.05:
        width = "too narrow" if m["coverage"] < m["interval"] else "too wide"
        text = f"The {m['interval']:.0%} intervals of {served} are {width}: {m['coverage']:.0%} of values fell inside."
        told = {"coverage": number(m["coverage"]), "interval": number(m["interval"])}
        yield _finding("intervals", text, "card.json", told, models=(served,))
    for model in book.board["model"].astype(str):
        target, met = target_of(book, model)
        if met is False and model == served:
            mape = errors_of(book, model)["mape"]
            text = f"{model} misses its target: MAPE {mape:.1f}% per style and period, the target is {target:g}%."
            yield _finding("target_missed", text, "card.json", {"mape": mape, "target_mape": target}, models=(model,))


def _rejected(book: Book) -> Iterator[Finding]:
    out = [
        name for name, status in zip(values(book.outcomes, "unique_id"), values(book.outcomes, "status"), strict=True)
        if status == "rejected"
    ]  # fmt: skip
    if out:
        text = (
            f"No forecast for {_styles(len(out))}: no usable history came in with {'it' if len(out) == 1 else 'them'}."
        )
        yield _finding("rejected", text, "outcomes.parquet", {"count": len(out)}, sorted(out)[:NAMED])


def _styles(count: int) -> str:
    return f"{count:,} style{'' if count == 1 else 's'}"
