"""`python -m jobs.finetune`: learns one column of a company's own table from the others, and says how good that is."""

from __future__ import annotations

import textwrap
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demand.masking import masked
from demand.moments import now_utc, stamp
from evaluation.finetune_report import checked, headline, measured, write_finetune_report
from jobs.entry import OK, run
from jobs.settings import Settings
from jobs.show import show
from models.files import CARD, read_json
from models.tabular import MLModelFineTuning
from models.tabular.results import MODEL, REPORT, keep

TOP = 5


def body(settings: Settings) -> int:
    """Writes `<storage>/finetune/<id>/` (report.html, result.json, model/), or nothing when the table is refused."""
    tuner = MLModelFineTuning(
        settings=settings.finetune, source=settings.source, date_format=settings.columns.date_format,
        decimal=settings.columns.decimal,
    )  # fmt: skip
    frame = tuner.load_business_data()
    if settings.validate:
        tuner.preprocess_data(frame)
        show("Valid     the table can be learned from")
        return OK
    metrics = tuner.fine_tune_pipeline(frame)
    name = settings.run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    result = _result(name, tuner, metrics, settings)

    def fill(folder: Path) -> None:
        tuner.save_models(folder / MODEL)
        result["model_sha256"] = read_json(folder / MODEL / CARD)["files"]["model.npz"]
        write_finetune_report(folder / REPORT, result)

    folder = keep(Path(settings.storage.root), name, result, fill)
    told = [part for line in _lines(result) for part in textwrap.wrap(line, 80, subsequent_indent=" " * 10)]
    show(*told, f"Report    {folder / REPORT}", f"Model     {folder / MODEL}")
    return OK


def _result(name: str, tuner: MLModelFineTuning, metrics: dict[str, Any], settings: Settings) -> dict[str, Any]:
    table = tuner.table
    assert table is not None
    # the account of the file: what typing found in memory was settled when it was read
    rows = {**metrics["rows"], "rows_in": table.rows_in, "left_out": {**table.left_out, **metrics["rows"]["left_out"]}}
    metrics["rows"] = rows
    return {
        "finetune_id": name,
        "at": stamp(now_utc(), "milliseconds"),
        "source": Path(masked(settings.source.path)).name,
        "table": {
            "rows_in": table.rows_in, "left_out": dict(table.left_out), "unreadable": dict(table.unreadable),
            "personal": list(table.personal), "kinds": dict(table.kinds), "formats": dict(table.formats),
        },
        "features": settings.finetune.features,
        "model_sha256": None,
        "metrics": metrics,
    }  # fmt: skip


def _lines(result: dict[str, Any]) -> list[str]:
    metrics = result["metrics"]
    task, rows = metrics["task"], metrics["rows"]
    left, unreadable = rows["left_out"], result["table"]["unreadable"]
    reasons = f" ({_counted(left)})" if left else ""
    strongest = [f"{name} {value:.0%}" for name, value in metrics["importance"][:TOP]]
    return [
        f"Task      {task['chosen']} of {task['target']}: {task['why']}",
        f"Rows      {rows['rows_in']:,} in, {sum(left.values()):,} left out{reasons}; {rows['training_rows']:,} train "
        f"(+ {rows['outliers_left_out']:,} outliers), {rows['test_rows']:,} test",
        *([f"Unread    cells taken as missing: {_counted(unreadable)}"] if unreadable else []),
        f"Split     {rows['split']}",
        headline(metrics),
        *[
            f"Measure   {name}: {test}; baseline {base}; training {train}"
            for name, test, base, train in measured(metrics)
        ],
        *[f"{name:<10}{words}" for name, words in checked(metrics)],
        f"Features  {', '.join(strongest)}",
        *[f"Problem   {one['cause']}: {one['found']}. {one['remedy']}" for one in metrics["problems"]],
    ]


def _counted(counts: dict[str, int]) -> str:
    """The five largest counts by name, and how many names there are in all where there are more."""
    largest = sorted(counts.items(), key=lambda item: -item[1])[:TOP]
    more = f"; .. {len(counts)} in all" if len(counts) > len(largest) else ""
    return "; ".join(f"{name}: {n:,}" for name, n in largest) + more


if __name__ == "__main__":
    run("finetune", body)
