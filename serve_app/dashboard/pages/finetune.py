"""What was learned from a table of the company's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve_app.dashboard.blocks import Block, Cell, Chart, Note, Section, Table, Text
from serve_app.dashboard.charts import bars
from serve_app.dashboard.frame import Api, Page, Query
from serve_app.dashboard.parts import no_data
from serve_app.dashboard.shown import moment

SHOWN = 20
WORDS = {"mse": "Mean squared error", "rmse": "Root mean squared error", "r2_score": "R2", "accuracy": "Accuracy"}


def build(api: Api, query: Query) -> Sequence[Section]:
    answer = api.get("/api/finetune")
    empty = no_data(answer)
    if empty:
        return [Section("", [empty])]
    notes = [Note(f"{one['found']}. {one['remedy']}.", "warn") for one in answer["problems"]]
    return [
        Section("", [Text([answer["summary"], *_checked(answer)]), _measures(answer)]),
        Section("Problems and remedies", notes or [Text(["No problem was found."])]),
        Section("What the model looks at", _importance(answer)),
        Section("Rows", [_rows(answer)]),
    ]


def _checked(answer: dict[str, Any]) -> list[str]:
    """What cross-validation and the search came to, where they were asked for; and the run."""
    folds, trials = answer["cross_validation"], answer["trials"]
    measure = "R2" if answer["task"] == "regression" else "accuracy"
    said = []
    if folds is not None and folds["mean"] is not None:
        spread = "" if folds["std"] is None else f" +- {folds['std']:.3f}"
        worst = "" if folds["worst"] is None else f", worst {folds['worst']:.3f}"
        said.append(f"Over folds of the training rows: {measure} {folds['mean']:.3f}{spread}{worst}.")
    if trials is not None:
        said.append(f"{trials} sets of hyperparameters were tried.")
    return [*said, f"Run {answer['finetune_id']}, in the folder finetune of the storage."]


def _measures(answer: dict[str, Any]) -> Table:
    rows = [
        [Cell(WORDS[one["name"]]), *[_figure(one[name], one["unit"]) for name in ("test", "baseline", "training")]]
        for one in answer["measures"]
    ]
    columns = (("measure", False), ("test rows", True), (answer["baseline_rule"], True), ("training rows", True))
    said = f"{answer['target']} of {answer['source']}, {moment(answer['generated_at'])}"
    return Table("measures", columns, rows, said, "Nothing was measured.")


def _figure(value: float | None, unit: str) -> Cell:
    if value is None:
        return Cell("undefined", number=True)
    text = f"{value:.1f} %" if unit == "percent" else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return Cell(text, number=True, sort=value)


def _importance(answer: dict[str, Any]) -> Sequence[Block]:
    top = answer["importance"][:SHOWN]
    if not top:
        return [Note("The model has no features.")]
    said = (
        f"The {len(top)} strongest of {len(answer['importance'])} features of {answer['target']}; "
        f"{top[0]['feature']} has {top[0]['importance']:.0%}."
    )
    figure = bars([one["feature"] for one in top], [round(100 * one["importance"], 2) for one in top],
                  "share (percent)")  # fmt: skip
    return [Chart("importance", figure, said)]


def _rows(answer: dict[str, Any]) -> Table:
    told = answer["rows"]
    counts = [("rows in", told["rows_in"]), *[(f"left out: {why}", n) for why, n in told["left_out"].items()],
              ("training rows", told["training_rows"]), ("outliers left out of training", told["outliers_left_out"]),
              ("test rows", told["test_rows"])]  # fmt: skip
    rows = [[Cell(name), Cell(f"{count:,}", number=True, sort=count)] for name, count in counts]
    return Table("rows", (("what", False), ("rows", True)), rows, f"Split {told['split']}", "No rows.")


PAGE = Page("/finetune", "Fine-tuning", 62, build, "One column of a table of your own, learned from the others.")
