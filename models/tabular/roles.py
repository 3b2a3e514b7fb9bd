"""Which column is the target, the date, a feature, and why the others are none; what teaches nothing is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demand.business_table import Kind
from demand.columns import PERSONAL
from demand.errors import DataError, SchemaError
from demand.exports import normalised
from demand.settings import nearest_name
from features.tabular.business import FROM_REVENUE, REVENUE
from models.tabular.settings import FineTuneSettings, Task

MOST_CODES = 20  # integer codes 0..k-1 up to here are classes
MOST_CLASSES = 100
_ID = re.compile(r"(?:^|[_\s-])(?:id|uuid|guid)$|(?<=[a-z])I[dD]$|^unnamed: ?0$|^index$|^row[_ ]?(?:number|no)$", re.I)


@dataclass(frozen=True)
class Roles:
    """numeric, text: the features' source columns. aside: other column -> why it is no feature. why: of the task."""

    target: str
    task: Task
    why: str
    date: str | None
    numeric: tuple[str, ...]
    text: tuple[str, ...]
    aside: Mapping[str, str]


def roles_of(frame: pd.DataFrame, kinds: Mapping[str, Kind], target: str, settings: FineTuneSettings) -> Roles:
    """The role of every column of a typed table.

    Raises SchemaError: no such target or excluded column, a target or column without values, a constant target, a
    column made from the target, too many categories, several dates to choose from, no feature left.
    """
    _refuse_absent(frame, target, settings)
    if kinds[target] == "empty":  # leaving it out, as other empty columns may be, would leave nothing to learn
        raise SchemaError("the target holds no value at all", target=target, rows=len(frame),
                          hint="Fill it, or name another column as target")  # fmt: skip
    empty = [name for name, kind in kinds.items() if kind == "empty" and name not in settings.exclude]
    if empty:
        raise SchemaError(
            "columns hold no value at all", columns=empty, rows=len(frame),
            hint="Fill them, remove them from the table, or leave them out with exclude",
        )  # fmt: skip
    task, why = _task(frame[target], kinds[target], target, settings)
    date = _date(kinds, settings)
    _refuse_made_from(target, frame, settings)
    aside: dict[str, str] = {}
    numeric: list[str] = []
    text: list[str] = []
    for name, kind in kinds.items():
        if name == target:
            continue
        if name in settings.exclude:
            aside[name] = "excluded"
        elif kind == "date":
            aside[name] = "orders the rows" if name == date else "a date"
        elif normalised(name) in PERSONAL:
            aside[name] = "about people or partners"
        elif looks_like_id(name):
            aside[name] = "an id"
        else:
            (text if kind == "text" else numeric).append(name)
    _refuse_many_categories(frame, text, settings)
    if not numeric and not text:
        raise SchemaError(
            "no column is left to learn from", target=target, aside=[f"{k}: {v}" for k, v in aside.items()]
        )
    return Roles(target, task, why, date, tuple(numeric), tuple(text), aside)


def looks_like_id(name: str) -> bool:
    """Whether a header says that its column names rows."""
    return _ID.search(name) is not None


def refuse_few(found: int, settings: FineTuneSettings) -> None:
    """Raises DataError "Insufficient data" for fewer rows than are needed."""
    if found < settings.min_training_samples:
        raise DataError(
            "Insufficient data", needed_rows=settings.min_training_samples, found_rows=found,
            hint=f"Get more data: at least {settings.min_training_samples} rows with a known target",
        )  # fmt: skip


def _refuse_absent(frame: pd.DataFrame, target: str, settings: FineTuneSettings) -> None:
    known = [str(name) for name in frame.columns]
    named = {"target": [target], "exclude": settings.exclude, "date": [settings.date] if settings.date else []}
    for key, names in named.items():
        for name in names:
            if name not in known:
                raise SchemaError(
                    "the table has no such column", key=key, found=name, nearest=nearest_name(name, known),
                    columns=known, hint="Name a column as the table spells it",
                )  # fmt: skip
    if target in settings.exclude:
        raise SchemaError("the target cannot be left out", key="exclude", found=target)


def _task(column: pd.Series, kind: Kind, target: str, settings: FineTuneSettings) -> tuple[Task, str]:
    if kind == "date":
        raise SchemaError("a date cannot be predicted", target=target, hint="Name a column of numbers or categories")
    known = column.dropna()
    distinct = known.nunique()
    if distinct < 2:
        raise SchemaError("the target is constant: there is nothing to learn", target=target, distinct_values=distinct,
                          rows=len(known), hint="Name a column that differs between rows as target")  # fmt: skip
    classes = kind in ("text", "boolean")
    why = {"text": "text", "boolean": "truth values"}.get(kind, "numbers")
    if kind == "number" and distinct <= MOST_CODES and set(known.unique()) == set(range(distinct)):
        classes, why = True, f"codes 0 to {distinct - 1}"
    if settings.task == "regression" and kind == "text":
        raise SchemaError("text is no quantity", target=target, task="regression", hint="Set task=classification")
    task: Task = settings.task if settings.task != "auto" else ("classification" if classes else "regression")
    if task == "classification" and distinct > MOST_CLASSES:
        raise SchemaError("the target has too many classes", target=target, classes=distinct, limit=MOST_CLASSES,
                          hint="Group them, or predict a number with task=regression")  # fmt: skip
    return task, f"the target is {why}" if settings.task == "auto" else "as asked for"


def _date(kinds: Mapping[str, Kind], settings: FineTuneSettings) -> str | None:
    dates = [name for name, kind in kinds.items() if kind == "date" and name not in settings.exclude]
    if settings.date is not None:
        if kinds[settings.date] != "date":
            raise SchemaError("the column holds no dates", key="date", found=settings.date, kind=kinds[settings.date],
                              hint="Name a column of dates, or leave date out")  # fmt: skip
        return settings.date
    if len(dates) > 1:
        raise SchemaError("several columns are dates", columns=dates, hint="Say which orders the rows with date")
    return dates[0] if dates else None


def _refuse_made_from(target: str, frame: pd.DataFrame, settings: FineTuneSettings) -> None:
    """Columns whose names say that they were made from the target of the same row."""
    plain = re.escape(target)
    made = re.compile(
        rf"^(?:{plain}_poly_\d+|(?:.+_)?{plain}_(?:x|div|plus|minus)_.+|.+_(?:x|div|plus|minus)_{plain})$"
    )
    found = [str(name) for name in frame.columns if name not in settings.exclude and made.match(str(name))]
    if target == REVENUE:
        found += [name for name in FROM_REVENUE if name in frame and name not in settings.exclude]
    if found:
        raise SchemaError(
            "columns made from the target would give the answer away", target=target, columns=found,
            hint="Remove them, or leave them out with exclude",
        )  # fmt: skip


def _refuse_many_categories(frame: pd.DataFrame, text: list[str], settings: FineTuneSettings) -> None:
    many = {name: n for name in text if (n := int(frame[name].nunique())) > settings.max_categories}
    if many:
        raise SchemaError(
            "text columns have too many categories", columns=[f"{name}: {n}" for name, n in many.items()],
            limit=settings.max_categories,
            hint="Group them, leave the column out with exclude, or raise max_categories",
        )  # fmt: skip


def codes_of(column: pd.Series, kind: Kind) -> tuple[np.ndarray, list[str]]:
    """(the class of each row [n], the classes' names): texts sorted, numbers ascending and without a fraction."""
    codes, values = pd.factorize(column, sort=True)
    names = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values.tolist()]
    if kind == "boolean":
        names = ["true" if name == "1" else "false" for name in names]
    return codes.astype(np.int64), names
