"""The page of a fine-tuning run: measures beside the baseline, importances, problems and remedies; self-contained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"
MOST_BARS = 25
_WORDS = {"mse": "mean squared error", "rmse": "root mean squared error", "r2_score": "R2", "accuracy": "accuracy"}


def write_finetune_report(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the page of `result` (as `models.tabular.results` keeps it). Every text from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("base.css", "finetune.css"))
    page = environment.get_template("finetune.html.j2").render(**_context(result), style=style)
    path.write_text(page, encoding="utf-8")


def headline(metrics: Mapping[str, Any]) -> str:
    """How good the model is against the simplest guess, in one sentence."""
    task, target = metrics["task"]["chosen"], metrics["task"]["target"]
    found, base = metrics[task], metrics["baseline"]
    if task == "classification":
        right, guess = found["accuracy"], base["accuracy"]
        words = "better than" if right > guess else "no better than"
        return f"{right:.1%} of the test rows of {target} are right, {words} the {base['rule']} ({guess:.1%})."
    words = "better than" if found["rmse"] < base["rmse"] else "no better than"
    return (
        f"The root mean squared error of {target} is {shown(found['rmse'])}, {words} the {base['rule']} "
        f"({shown(base['rmse'])}); R2 is {shown(found['r2_score'])}."
    )


def measured(metrics: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(measure, test, baseline, training) of each one, as text."""
    found, base, train = metrics[metrics["task"]["chosen"]], metrics["baseline"], metrics["train"]
    return [
        (_WORDS[name], shown(found[name]), shown(base[name]), shown(train[name])) for name in _WORDS if name in found
    ]


def checked(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(Folds, ..) and (Tuned, ..) in words: what cross-validation and the search found, where they were asked for."""
    folds, search = metrics["cross_validation"], metrics["tuning"]
    found = []
    if folds is not None:
        spread = "" if folds["std"] is None else f" +- {shown(folds['std'])}"
        name = "R2" if folds["measure"] == "r2_score" else folds["measure"]
        found.append(("Folds", f"{name} {shown(folds['mean'])}{spread} over {folds['folds']} folds of the training "
                               f"rows, worst {shown(folds['worst'])}"))  # fmt: skip
    if search is not None:
        n = len(search["trials"])
        used = ", ".join(f"{key}={value}" for key, value in search["best"].items())
        found.append(("Tuned", f"{n} trials; {used} is used" if search["accepted"] else
                      f"{n} trials; none was better than the defaults on rows held back, which are used"))  # fmt: skip
    return found


def shown(value: float | None) -> str:
    """Four significant digits; what is undefined says so."""
    return "undefined" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _context(result: Mapping[str, Any]) -> dict[str, Any]:
    metrics, table = result["metrics"], result["table"]
    top = metrics["importance"][:MOST_BARS]
    widest = max((value for _, value in top), default=0) or 1
    rows = metrics["rows"]
    folds, search = metrics["cross_validation"], metrics["tuning"]
    return {
        "result": result,
        "task": metrics["task"],
        "better": _better(metrics),
        "headline": headline(metrics),
        "measures": measured(metrics),
        "rule": metrics["baseline"]["rule"],
        "gap": metrics["gap"],
        "gap_shown": shown(metrics["gap"]["value"]),
        "bars": [(name, f"{value:.1%}", round(100 * value / widest, 2)) for name, value in top],
        "more": len(metrics["importance"]) - len(top),
        "problems": metrics["problems"],
        "classes": [(name, metrics["classification"]["report"][name]) for name in metrics["task"]["classes"]],
        "rows": [
            ("rows in", f"{rows['rows_in']:,}"),
            *[(f"left out: {why}", f"{n:,}") for why, n in rows["left_out"].items()],
            ("above max_training_samples", f"{rows['over_maximum']:,}"),
            ("training rows", f"{rows['training_rows']:,}"),
            ("training rows left out as outliers", f"{rows['outliers_left_out']:,}"),
            ("test rows", f"{rows['test_rows']:,}"), ("split", rows["split"]),
        ],
        "aside": list(metrics["columns"]["aside"].items()) + [(name, "about people") for name in table["personal"]],
        "unreadable": list(table["unreadable"].items()),
        "folds": None if folds is None else [
            (label, shown(folds[name])) for label, name in (("mean", "mean"), ("spread", "std"), ("worst", "worst"))
        ],
        "search": search,
    }  # fmt: skip


def _better(metrics: Mapping[str, Any]) -> bool:
    found, base = metrics[metrics["task"]["chosen"]], metrics["baseline"]
    if metrics["task"]["chosen"] == "classification":
        return bool(found["accuracy"] > base["accuracy"])
    return bool(found["rmse"] < base["rmse"])
