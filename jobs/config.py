"""`python -m jobs.config`: is the configuration valid, what is enabled, what is due, what was measured."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import yaml

from demand.durable import write_whole
from demand.errors import VersionUnreadable
from jobs import entry
from jobs.checks import warnings
from jobs.due import Trigger, cadences_on, models_due
from jobs.settings import Settings, as_config_json, as_plain, config_hash
from models.files import read_json, write_json

WIDTH = entry.WIDTH
JSON_NAME, YAML_NAME = "config.json", "config.yaml"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exits with 0 when the settings are valid, 2 when they are not."""
    entry.run("config", report, argv)


def report(settings: Settings) -> int:
    """Prints the report and writes config.json and config.yaml; `show=MODEL` prints that model's 13 fields alone."""
    if settings.show is not None:
        print(_yaml({settings.show: as_plain(settings)["models"][settings.show]}), end="")
        return entry.OK
    root = Path(settings.storage.root)
    content, text = as_config_json(settings), _yaml(as_plain(settings))
    write_whole(root / JSON_NAME, lambda path: write_json(path, content))
    write_whole(root / YAML_NAME, lambda path: path.write_text(text, encoding="utf-8"))
    for line in lines(settings, datetime.now(settings.schedule.zone)):
        print(line)
    print(f"\nWritten to {root}: {JSON_NAME}, {YAML_NAME}")
    return entry.OK


def lines(settings: Settings, now: datetime) -> Iterator[str]:
    """The report as lines of at most 80 columns; `now` decides what is due unless `due_on` is set."""
    yield from _validation(settings)
    yield from _models(settings)
    yield from _due(settings, now)
    yield from _schedule(settings)
    yield from _benchmarks(settings)
    yield from _performance(settings)


def _validation(settings: Settings) -> Iterator[str]:
    found = warnings(settings, os.cpu_count())
    yield f"Configuration {config_hash(settings)[:12]}: 0 errors, {len(found)} warnings"
    for warning in found:
        yield from _wrapped(f"- {warning}", "  ")


def _models(settings: Settings) -> Iterator[str]:
    enabled = {kind: config for kind, config in settings.models.items() if config.enabled}
    yield from _title(f"Enabled models: {len(enabled)} of {len(settings.models)}")
    yield f"  {'model':<23}{'type':<15}{'threshold':>9}{'max s':>6}{'days':>6}"
    for kind, config in enabled.items():
        note = "  off: enable_ml" if not settings.enable_ml and config.type != "baseline" else ""
        yield (
            f"  {kind:<23}{config.type:<15}{config.min_accuracy_threshold:>9.2f}"
            f"{config.max_training_time_seconds:>6.0f}{config.retrain_frequency_days:>6}{note}"
        )
    off = [kind for kind in settings.models if kind not in enabled]
    if off:
        yield from _wrapped(f"disabled: {', '.join(off)}", "  ")


def _due(settings: Settings, now: datetime) -> Iterator[str]:
    day = settings.due_on or now.date()
    due = [kind for kind in models_due(settings.schedule, day) if _trains(settings, kind)]
    yield from _title(f"Due on {day:%A} {day.isoformat()}")
    yield from _wrapped(", ".join(due) or "nothing", "  ")
    cadences = cadences_on(settings.schedule, day)
    idle = [kind for kind in models_due(settings.schedule, day) if kind not in due]
    if idle:
        yield from _wrapped(f"in the schedule but not trained: {', '.join(idle)} (disabled)", "  ")
    yield from _wrapped(f"cadences: {', '.join(cadences) or 'none'}", "  ")


def _trains(settings: Settings, kind: str) -> bool:
    return kind in settings.models and settings.models[kind].enabled


def _schedule(settings: Settings) -> Iterator[str]:
    schedule = settings.schedule
    yield from _title(f"Schedule, {schedule.timezone}")
    for cadence, models in schedule.cadences.items():
        trigger = schedule.triggers[cadence]
        hours, minutes = Trigger.parse(trigger).hours, Trigger.parse(trigger).minutes
        at = f"{min(hours):02d}:{min(minutes):02d}" if len(hours) == len(minutes) == 1 else ""
        yield f"  {cadence:<10}{trigger:<16}{at:<7}{', '.join(models) or 'nothing'}"


def _benchmarks(settings: Settings) -> Iterator[str]:
    yield from _title("Targets (to compare with, never gates)")
    if not settings.benchmarks:
        yield "  none"
        return
    yield f"  {'model':<23}{'MAPE':>7}{'RMSE, unit sold':>18}{'training s':>13}"
    for kind, target in settings.benchmarks.items():
        yield f"  {kind:<23}{target.mape:>7.2f}{target.rmse:>18g}{target.training_time:>13g}"


def _performance(settings: Settings) -> Iterator[str]:
    runs = Path(settings.storage.root) / settings.storage.training_registry
    yield from _title("Measured: the newest stored evaluation")
    stored: list[tuple[str, str, dict[str, Any]]] = []
    for path in sorted(runs.glob("*/backtest.json")):
        try:
            found = read_json(path)
            stored.append((str(found["timestamp"]), path.parent.name, found["summary"]["model_comparison"]))
        except (VersionUnreadable, KeyError, TypeError) as error:
            yield from _wrapped(f"{path.parent.name}/backtest.json cannot be read: {error}", "  ")
    if not stored:
        yield "  none yet: python -m jobs.backtest"
        return
    timestamp, run_id, comparison = max(stored)
    yield from _wrapped(f"run {run_id}, {timestamp}, {len(stored)} evaluations stored", "  ")
    yield f"  {'model':<23}{'WAPE':>8}{'MAPE':>8}{'RMSE':>12}{'R2':>8}  status"
    best_first = sorted(comparison.items(), key=lambda item: (_missing(item[1].get("wape")), item[0]))
    for kind, row in best_first:
        numbers = "".join(f"{_number(row.get(name)):>{width}}" for name, width in _COLUMNS)
        yield f"  {kind:<23}{numbers}  {row.get('status', '')}"


_COLUMNS = (("wape", 8), ("mape", 8), ("rmse", 12), ("r2", 8))


def _missing(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _title(text: str) -> Iterator[str]:
    yield ""
    yield from _wrapped(text, "")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=WIDTH)


if __name__ == "__main__":
    main()
