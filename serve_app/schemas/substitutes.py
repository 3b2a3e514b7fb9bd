"""`POST /api/yarn-substitutes`: a yarn, or all that are short, in; ranked candidates out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_app.problems import Refused
from serve_app.schemas.shared import Body, Pagination, Percent, Units

Pounds = Annotated[float | None, Field(description="Pounds; null: not known")]
Similarity = Annotated[float | None, Field(description="0 to 1; null: what it needs cannot be read")]
Money = Annotated[float | None, Field(description="Per pound; null: a cost is not known")]
EXAMPLES: list[dict[str, Any]] = [{"yarn": "18003", "top": 3}, {"limit": 20}]


class SubstitutesRequest(BaseModel):
    """One yarn, or a part of the yarns that are short, the largest shortage first."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, json_schema_extra={"examples": list(EXAMPLES)}
    )

    yarn: Annotated[
        str, Field(description="The yarn to replace, as the stock spells it; absent: all that are short",
                   min_length=1, max_length=200),
    ] = ""  # fmt: skip
    top: Annotated[int, Field(description="Candidates of each yarn", ge=1, le=50)] = 10
    limit: Annotated[int, Field(description="Yarns in this answer", ge=1, le=50)] = 20
    offset: Annotated[int, Field(description="Yarns to pass over", ge=0, le=10_000_000)] = 0


class Candidate(Body):
    """A yarn that may stand in for another."""

    rank: int
    substitute: Annotated[str, Field(description="Its id")]
    probability: Annotated[
        float | None, Field(description="Calibrated probability that it may (fraction); null: the rule answers")
    ]
    score: Annotated[float, Field(description="What it is ranked by: the probability, or the rule's score (0 to 1)")]
    recommended: Annotated[bool, Field(description="Whether the model or rule says yes")]
    color_similarity: Similarity
    weight_similarity: Similarity
    material_match: Similarity
    price_ratio: Annotated[float | None, Field(description="Its cost over the other's; null: a cost is not known")]
    availability_score: Similarity
    quality_score: Similarity
    supplier_reliability: Similarity
    imputed: Annotated[bool, Field(description="supplier_reliability is assumed: the supplier has too few orders")]
    stock_lb: Pounds
    available: Annotated[bool, Field(description="More on the shelf than substitution.available_lb")]
    cost_per_lb: Money
    price_difference: Annotated[float | None, Field(description="Its cost less the other's, per pound")]
    supplier: str
    description: str
    reading: Annotated[str, Field(description="What its texts were read as")]
    why: Annotated[str, Field(description="In words, from the values above")]


class ReplacedYarn(Body):
    """A yarn and who may stand in for it."""

    yarn: str
    description: str
    reading: Annotated[str, Field(description="What its texts were read as, and what could not be read")]
    shortage_lb: Annotated[float | None, Field(description="Pounds below zero of its planning balance; null: no stock")]
    candidates: list[Candidate]
    reason: Annotated[str, Field(description="Why there is no candidate; empty when there is one")]


class RankedBy(Body):
    """The classifier behind the probabilities."""

    trained_at: str
    accuracy: Percent
    target_met: bool
    evaluation_id: str


class SubstitutesAnswer(Body):
    """Ranked substitutes as they were released; the same request to the same release gives the same bytes."""

    status: Literal["success"]
    generated_at: Annotated[str, Field(description="When the release was made (UTC), not when it was asked")]
    release: Annotated[int, Field(description="Number of the release of yarns that answers")]
    made_by: Annotated[str, Field(description="yarn_substitution, or rule where no model serves")]
    model: Annotated[RankedBy | None, Field(description="null: the rule answers")]
    units: Units
    yarns: list[ReplacedYarn]
    pagination: Pagination


def read_substitutes(value: Any) -> SubstitutesRequest:
    """The request in a JSON body. Raises Refused (400) naming what is wrong."""
    if not isinstance(value, dict):
        raise Refused(400, "bad_body", "the body must be one JSON object", "body")
    try:
        return SubstitutesRequest.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])[:100] or "body"
        known = list(SubstitutesRequest.model_fields)
        raise Refused(400, "bad_body", f"{name}: {fault['msg']}", name, known) from None
