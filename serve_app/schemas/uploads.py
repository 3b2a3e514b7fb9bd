"""`POST /api/upload_csv`: a file in, its quality report and a data_id out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demand.calendar import FREQUENCIES
from demand.settings import nearest_name
from serve_app.problems import Refused
from serve_app.schemas.shared import Body, Quantity

DATA_ID = r"^[0-9a-f]{64}$"
Q = TypeVar("Q", bound=BaseModel)
Header = Annotated[str, Field(min_length=1, max_length=200)]


class UploadParameters(BaseModel):
    """How an uploaded file is read, where its content does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    freq: Annotated[
        Literal["auto", "D", "B", "W-MON", "W-TUE", "W-WED", "W-THU", "W-FRI", "W-SAT", "W-SUN", "MS", "ME"],
        Field(description="The calendar the rows are summed to; auto: as their dates say"),
    ] = "auto"
    date: Annotated[Header | None, Field(description="The header of the date column")] = None
    style: Annotated[Header | None, Field(description="The header of the style column")] = None
    quantity: Annotated[Header | None, Field(description="The header of the quantity column")] = None
    date_format: Annotated[Header | None, Field(description="How dates are written, such as %d.%m.%Y")] = None
    decimal: Annotated[Literal[".", ",", "auto"], Field(description="The decimal sign; auto: as configured")] = "auto"
    encoding: Annotated[Header | None, Field(description="Of text files, such as latin-1; UTF-8 when absent")] = None


def read_parameters(pairs: Iterable[tuple[str, str]]) -> UploadParameters:
    """The query of an upload. Raises Refused (400) naming the parameter and what is allowed."""
    return read_query(UploadParameters, pairs, {"freq": ("auto", *FREQUENCIES), "decimal": (".", ",", "auto")})


def read_query(kind: type[Q], pairs: Iterable[tuple[str, str]], words: Mapping[str, tuple[str, ...]]) -> Q:
    """Parameters of a model with no others, each said once; words: name -> what is allowed. Raises Refused (400)."""
    values: dict[str, str] = {}
    known = tuple(kind.model_fields)
    for name, value in pairs:
        if name not in known:
            near = nearest_name(name, known)
            hint = f"Did you mean {near!r}?" if near else "Leave it out."
            raise Refused(400, "bad_parameter", f"unknown parameter {name[:60]!r}. {hint}", name[:60], known)
        if name in values:
            raise Refused(400, "bad_parameter", f"the parameter {name!r} is given twice. Give it once.", name)
        values[name] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        raise Refused(400, "bad_parameter", f"{name}: {fault['msg']}", name, words.get(name)) from None


class UploadRows(Body):
    """Every row has one fate: rows_in = used + merged + the sum of left_out."""

    rows_in: int
    used: Annotated[int, Field(description="Rows that gave a period of a style")]
    merged: Annotated[int, Field(description="Further rows added to one of them")]
    left_out: Annotated[dict[str, int], Field(description="Reason -> rows")]


class UploadColumns(Body):
    """What the headers were taken for."""

    chosen: Annotated[dict[str, str], Field(description="Role -> header")]
    personal_dropped: Annotated[list[str], Field(description="Headers about people: none of their cells are kept")]
    ignored: list[str]


class UploadCalendar(Body):
    """The calendar of the periods."""

    freq: str
    first_period: str
    last_period: str
    incomplete_last_period: Annotated[str, Field(description="The last period when the data ends inside it, or empty")]
    periods: Annotated[int, Field(description="Periods of all styles together")]
    without_rows: int
    unknown_periods: int
    date_format: str


class UploadStyles(Body):
    """Which styles are there."""

    found: int
    used: int
    first: Annotated[list[str], Field(description="The first 20 names in use")]
    rejected: Annotated[dict[str, str], Field(description="The first 20 that are not in use -> why")]


class UploadDemand(Body):
    """What was sold."""

    total: Quantity
    unit: str | None
    returns_rows: int
    returns_quantity: Quantity
    unusual_periods: int


class UploadFinding(Body):
    """One rule of quality."""

    rule: str
    level: Literal["warn", "error"]
    limit: float
    found: float | None
    passed: Annotated[bool | None, Field(description="null: could not be judged")]


class UploadAnswer(Body):
    """The quality report of an upload. The file itself is not kept: only demand a style and period."""

    status: Literal["success"]
    data_id: Annotated[str, Field(pattern=DATA_ID, description="Names the cleaned demand in /api/predictions")]
    expires_at: Annotated[str, Field(description="After this it is gone (UTC)")]
    format: str
    quality_score: Annotated[float, Field(description="0 to 100")]
    score_parts: Annotated[dict[str, float], Field(description="The four parts of the score (fractions)")]
    rows: UploadRows
    columns: UploadColumns
    calendar: UploadCalendar
    styles: UploadStyles
    demand: UploadDemand
    findings: list[UploadFinding]
    notes: list[str]


class UploadDeleted(Body):
    """An upload that is gone."""

    status: Literal["success"]
    data_id: str
    deleted: Literal[True]


def told(report: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    """A cleaning report (`CleaningReport.as_json`) as an upload's answer says it, without data_id and expires_at.

    ids: the styles in use.
    """
    files = report["files"]
    return {
        "format": str(files[0]["format"]) if files else "",
        "quality_score": report["quality_score"],
        "score_parts": dict(report["score_parts"]),
        "rows": {name: report[name] for name in ("rows_in", "used", "merged", "left_out")},
        "columns": {
            "chosen": dict(report["mapping"]),
            "personal_dropped": list(report["personal_dropped"]),
            "ignored": list(report["ignored_columns"]),
        },
        "calendar": {
            **{name: report[name] for name in ("freq", "first_period", "last_period", "incomplete_last_period")},
            "periods": report["periods"],
            "without_rows": report["gaps"]["total"],
            "unknown_periods": report["unknown_periods"],
            "date_format": str(report["date"]["format"]),
        },
        "styles": {
            "found": report["styles_in"],
            "used": report["styles"],
            "first": ids[:20],
            "rejected": dict(list(report["rejected"].items())[:20]),
        },
        "demand": {
            "total": report["quantity_total"],
            "unit": report["unit"] or None,
            "returns_rows": report["returns"]["rows"],
            "returns_quantity": report["returns"]["quantity"],
            "unusual_periods": report["outliers"]["count"],
        },
        "findings": [dict(finding) for finding in report["findings"]],
        "notes": [*report["layout"], *report["notes"]],
    }
