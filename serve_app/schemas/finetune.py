"""`GET /api/finetune`: the newest fine-tuning of a table of the company's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serve_app.schemas.shared import Body, NoData

Figure = Annotated[float | None, Field(description="In the unit of this measure; null: undefined")]


class Measure(Body):
    """One measure on the rows of the test, beside the simplest guess and the rows of the training."""

    name: Literal["mse", "rmse", "r2_score", "accuracy"]
    unit: Annotated[str, Field(description="target: as the target; target squared; fraction; percent")]
    test: Figure
    baseline: Figure
    training: Figure


class Importance(Body):
    """How much of the model's splitting a feature did."""

    feature: str
    importance: Annotated[float, Field(description="Fraction; all together 1, or all 0")]


class Found(Body):
    """A problem that was found."""

    cause: str
    found: str
    remedy: str


class TunedRows(Body):
    """What became of the rows: rows_in = used + the sum of left_out."""

    rows_in: int
    used: int
    left_out: Annotated[dict[str, int], Field(description="Reason -> rows")]
    training_rows: int
    outliers_left_out: int
    test_rows: int
    split: str


class FinetuneAnswer(Body):
    """What was learned, how good it is against the simplest guess, what it rests on, what to do about it."""

    status: Literal["success"]
    finetune_id: Annotated[str, Field(description="The stored run that every figure is from")]
    generated_at: Annotated[str, Field(description="When it was made (UTC)")]
    source: Annotated[str, Field(description="The file's name")]
    target: str
    task: Literal["regression", "classification"]
    why: Annotated[str, Field(description="Why this task")]
    classes: list[str]
    summary: str
    baseline_rule: str
    measures: list[Measure]
    gap: Annotated[
        float | None, Field(description="Training minus test, in R2 or accuracy (fraction); null: undefined")
    ]
    importance: list[Importance]
    problems: list[Found]
    rows: TunedRows
    cross_validation: Annotated[
        dict[str, float | None] | None,
        Field(description="mean, std, worst of the folds (fractions); null: not asked"),
    ]
    trials: Annotated[int | None, Field(description="Hyperparameters that were tried; null: not asked")]


FinetuneOrNone = FinetuneAnswer | NoData
