"""`POST /api/custom-features`: a table in, the same table with features beside its columns out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.schemas.shared import Body
from serve_app.schemas.uploads import DATA_ID, Header, read_query

Names = Annotated[str, Field(min_length=1, max_length=2000)]


class CustomParameters(BaseModel):
    """Which columns play which part; what is left out is decided by what the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: Annotated[Header | None, Field(description="The date column; the only one when absent")] = None
    columns: Annotated[
        Names | None, Field(description="Columns whose past is summed up, with commas between; all numbers when absent")
    ] = None
    categories: Annotated[
        Names | None, Field(description="Columns of categories, with commas between; all texts when absent")
    ] = None
    group: Annotated[Header | None, Field(description="The column whose values are separate histories")] = None
    nulls: Annotated[
        Literal["keep", "fill"], Field(description="fill: the last value known before in the group, else 0")
    ] = "keep"
    date_format: Annotated[Header | None, Field(description="How dates are written, such as %d.%m.%Y")] = None
    encoding: Annotated[Header | None, Field(description="Of text files, such as latin-1; UTF-8 when absent")] = None

    def listed(self, name: Literal["columns", "categories"]) -> list[str] | None:
        """The names of a list, without blanks around them; None when it was left out."""
        text: str | None = getattr(self, name)
        return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def read_parameters(pairs: Iterable[tuple[str, str]]) -> CustomParameters:
    """The parameters of a request. Raises Refused (400) naming the parameter and what is allowed."""
    return read_query(CustomParameters, pairs, {"nulls": ("keep", "fill")})


class CustomRows(Body):
    """rows_in = used + the sum of left_out."""

    rows_in: int
    used: int
    left_out: Annotated[dict[str, int], Field(description="Reason -> rows")]


class CustomSummary(Body):
    """The new columns, by family."""

    total_features: int
    feature_groups: list[str]
    features_by_group: dict[str, list[str]]


class CustomAnswer(Body):
    """What was made, and where it can be fetched until it expires."""

    status: Literal["success"]
    data_id: Annotated[str, Field(pattern=DATA_ID, description="Names the made table")]
    expires_at: Annotated[str, Field(description="After this it is gone (UTC)")]
    download_url: Annotated[str, Field(description="GET it: the table as CSV")]
    rows: CustomRows
    date: str
    columns: list[str]
    categories: list[str]
    group: str | None
    columns_left_out: Annotated[dict[str, str], Field(description="Column that no feature was made of -> why")]
    summary: CustomSummary
    nulls: Annotated[dict[str, int], Field(description="New column -> values not known, of those with any")]
    personal_dropped: Annotated[list[str], Field(description="Headers about people: their cells are not taken over")]
    unreadable: Annotated[dict[str, int], Field(description="Column -> cells that could not be read and are missing")]
    csv_bytes: int
