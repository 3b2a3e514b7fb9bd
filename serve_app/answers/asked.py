"""What a request asks of a release: which model, how far ahead; and how every answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from serve_app.book import Book
from serve_app.problems import Refused
from serve_app.schemas.parameters import DEFAULT_HORIZON
from serve_app.schemas.units import number, units

Answer = dict[str, Any]


def model_of(book: Book, asked: str) -> str:
    """The model whose stored forecast is asked for; auto is what the release serves.

    Raises Refused (409) when the release holds no forecast of it.
    """
    model = book.served if asked == "auto" else asked
    if model not in book.models:
        detail = f"release {book.number} holds no forecast of {model}."
        if model == "ensemble":
            detail += (
                f" It serves {book.served}: " + ("; ".join(book.card["gate"]["reasons"]) or "no ensemble ran") + "."
            )
        raise Refused(
            409, "model_not_in_release", detail + " Ask for one of `allowed`, or train it: python -m jobs.train",
            parameter="model", allowed=("auto", *book.models),
        )  # fmt: skip
    return model


def horizon_of(book: Book, asked: int | None) -> int:
    """Days ahead: as asked; without it 90, or the longest the release answers if that is shorter.

    Raises Refused (409) when the release does not reach so far.
    """
    answered = tuple(sorted(book.days_answered))
    if asked is None:
        within = [days for days in answered if days <= DEFAULT_HORIZON]
        asked = max(within) if within else DEFAULT_HORIZON
    if asked not in answered:
        raise Refused(
            409, "horizon_not_in_release",
            f"release {book.number} forecasts {book.horizon_days} days, not {asked}. Ask for one of `allowed`, or set "
            f"default_forecast_horizon={asked} and train anew: python -m jobs.train force=true",
            parameter="horizon", allowed=answered,
        )  # fmt: skip
    return asked


def evaluation_of(book: Book, model: str) -> str | None:
    """The id of the stored evaluation of a model; None where it was never scored."""
    measured = book.card["metrics"].get(model)
    return None if measured is None else str(measured["evaluation_id"])


def interval_level(book: Book) -> float | None:
    """Share of actual totals that bounds should hold; None where the release states none."""
    config = book.config
    return number(config["confidence_level"]) if config.get("confidence_intervals", True) else None


def last_day(book: Book) -> date:
    """The last day of the history that the forecast is made from."""
    origin = book.calendar.containing(np.datetime64(book.origin))
    return date.fromisoformat(str(book.calendar.spans(np.array([origin]))[1][0])[:10])


def first_day(book: Book) -> str:
    """The first day of the forecast."""
    return (last_day(book) + timedelta(days=1)).isoformat()


def head(book: Book, model: str, percent: Sequence[str], fraction: Sequence[str] = (), **first: Any) -> Answer:
    """The beginning of every answer; `first` stands right after the time."""
    level = interval_level(book)
    return {
        "status": "success",
        "generated_at": book.generated_at,
        **first,
        "release": book.number,
        "evaluation_id": evaluation_of(book, model),
        "units": units(book.unit, percent, (*fraction, "confidence_level"), confidence_level=level),
    }


def no_data(book: Book, reason: str, **more: Any) -> Answer:
    """The answer of an empty scope: why there is nothing, and what to do."""
    return {"status": "no_data", "reason": reason, "generated_at": book.generated_at, "release": book.number, **more}


def unknown_style(style: str) -> Refused:
    """The 404 of a style that the release does not know."""
    shown = style if len(style) <= 60 else style[:57] + "..."
    return Refused(
        404, "unknown_style", f"no style is called {shown!r}. See /api/styles?search= for the names", parameter="style"
    )


def page(total: int, returned: int, offset: int, limit: int | None) -> dict[str, Any]:
    """Which part of all rows an answer holds."""
    end = offset + returned
    following = end if returned and end < total else None
    return {"total": total, "returned": returned, "offset": offset, "limit": limit, "next_offset": following}
