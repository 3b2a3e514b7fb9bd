"""`POST /api/yarn-substitutes`: who may stand in for a yarn, from the yarns and the model of one release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.release import Release
from models.substitutes import FEATURES, Substitutes, open_substitutes, ruled
from models.yarn_substitution import KIND
from serve_app.answers.asked import Answer, page
from serve_app.answers.columns import rows
from serve_app.problems import Refused
from serve_app.schemas.substitutes import SubstitutesRequest
from serve_app.schemas.units import listed, number, percent, units

NEXT_STEP = (
    "No yarns were released yet. Run python -m jobs.substitutes company.folder=FOLDER with the exports of yarns and "
    "stock; with labels, python -m jobs.train 'only=[yarn_substitution]' first"
)
FRACTIONS = ("probability", "score", *(name for name in FEATURES if name != "price_ratio"))


@dataclass(frozen=True, eq=False)
class YarnBook:
    """One release of yarns, opened: what every answer about substitutes is from. model: who ranks, None = the rule."""

    number: int
    generated_at: str
    model: Mapping[str, Any] | None
    substitutes: Substitutes

    @classmethod
    def open(cls, release: Release) -> YarnBook:
        """Raises VersionUnreadable when the release cannot be used."""
        model = None if ruled(release) else release.manifest["models"].get(KIND)
        return cls(release.number, str(release.manifest["created"]), model, open_substitutes(release))


def substitutes(book: YarnBook | None, asked: SubstitutesRequest) -> Answer:
    """The candidates of one yarn, or of a part of those that are short. Raises Refused (404): no such yarn."""
    if book is None:
        return {"status": "no_data", "reason": NEXT_STEP}
    answering = book.substitutes
    wanted = answering.short()
    if asked.yarn:
        wanted = answering.yarns.find(np.array([asked.yarn.strip()]))
        if wanted[0] < 0:
            shown = asked.yarn if len(asked.yarn) <= 60 else asked.yarn[:57] + "..."
            raise Refused(404, "unknown_yarn", f"no yarn is called {shown!r} in release {book.number}", "yarn")
    shown_yarns = wanted[asked.offset : asked.offset + asked.limit]
    columns = answering.columns(answering.rank(shown_yarns, asked.top))
    plain = {name: _plain(values) for name, values in columns.items() if name not in ("yarn", "made_by", "shortage_lb")}
    by_yarn: dict[str, list[dict[str, Any]]] = {}
    for yarn, row in zip(columns["yarn"].tolist(), rows(plain), strict=True):
        by_yarn.setdefault(yarn, []).append(row)
    return {
        "status": "success",
        "generated_at": book.generated_at,
        "release": book.number,
        "made_by": answering.made_by,
        "model": _ranked_by(book.model),
        "units": units("lb", ("accuracy",), FRACTIONS),
        "yarns": [_replaced(answering, place, by_yarn) for place in shown_yarns.tolist()],
        "pagination": page(len(wanted), len(shown_yarns), asked.offset, asked.limit),
    }


def _replaced(answering: Substitutes, place: int, by_yarn: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    yarns = answering.yarns
    found = by_yarn.get(str(yarns.yarn_id[place]), [])
    return {
        "yarn": str(yarns.yarn_id[place]),
        "description": str(yarns.description[place]),
        "reading": str(yarns.reading[place]),
        "shortage_lb": number(yarns.shortage[place]),
        "candidates": found,
        "reason": "" if found else answering.why_none(place),
    }


def _ranked_by(model: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if model is None:
        return None
    measured = model["metrics"]
    return {
        "trained_at": model["trained_at"],
        "accuracy": percent(measured["accuracy"]),
        "target_met": measured["target_met"],
        "evaluation_id": measured["evaluation_id"],
    }


def _plain(values: Any) -> list[Any]:
    """A column as JSON holds it: null for what is not known."""
    return listed(values) if values.dtype.kind == "f" else list(values.tolist())
