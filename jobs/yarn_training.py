"""The training of the yarn classifier: labels in, a judged release out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from demand.errors import ModelError
from evaluation.classification import judge, reasons_against
from features.yarn_pairs import rule_score
from jobs.decision_entries import failed, succeeded, summary
from jobs.entries import KEEP_LISTED
from jobs.fleet import decisions_of, provenance, runs_root, write_config
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.yarns import YarnTables, labelled_pairs, read_yarn_tables, write_yarns, yarns_hash
from models.decision_release import keep_model
from models.yarn_labels import Labelled
from models.yarn_substitution import KIND, FitLimits, FittedSubstitution, YarnSubstitution


def train(settings: Settings, run_id: str | None) -> tuple[dict[str, Any], list[str]]:
    """Trains, judges, releases; returns the entry of the run's summary and the lines a person reads.

    The model serves when it is better than the majority class and not worse than the rule. Raises DataError without
    yarns or labels, FitError when nothing can be learned from them: that is in the history then.
    """
    tables, labelled, counts = _read(settings)
    manifest = provenance(settings, yarns_hash(tables), "train") | {"decision": KIND}
    registry = decisions_of(settings, KIND)
    started = time.perf_counter()
    try:
        fitted = _fitted(settings, labelled)
    except ModelError as error:
        registry.append_history([failed(KIND, error, manifest, run_id)])
        raise
    seconds = round(time.perf_counter() - started, 1)
    report = _judged(settings, fitted) | {"labels": counts}
    reasons = reasons_against(report, settings.gate.below_threshold)

    run = _written(settings, run_id, report, tables, manifest)
    entry = _entry(settings, fitted, report, manifest, run.run_id) | {"seconds": seconds}
    kept = keep_model(
        registry, KIND, fitted.save, entry, reasons, beside=lambda folder: write_yarns(folder, tables, settings)
    )
    whole = succeeded(KIND, entry, manifest, kept.release)
    run.write_json("summary.json", summary(manifest, whole, reasons))
    released = registry.place(f"releases/{kept.release:06d}")
    serving = f"Serving   {'yes' if not reasons else 'no: ' + '; '.join(reasons)}"
    return whole, [*_lines(report, counts, tables), serving, f"Release   {released}"]


def score(settings: Settings, run_id: str | None) -> list[str]:
    """How good a training would be: the same figures, and nothing is released. Returns the lines a person reads.

    Raises as `train`.
    """
    tables, labelled, counts = _read(settings)
    report = _judged(settings, _fitted(settings, labelled)) | {"labels": counts}
    manifest = provenance(settings, yarns_hash(tables), "backtest") | {"decision": KIND}
    run = _written(settings, run_id, report, tables, manifest)
    return [*_lines(report, counts, tables), f"Figures   {run.file('evaluation.json')}"]


def _read(settings: Settings) -> tuple[YarnTables, Labelled, dict[str, int]]:
    tables = read_yarn_tables(settings)
    return (tables, *labelled_pairs(tables, settings))


def _written(
    settings: Settings, run_id: str | None, report: Mapping[str, Any], tables: YarnTables, manifest: Mapping[str, Any]
) -> RunFolder:
    def begin(new: RunFolder) -> None:
        write_config(new, settings)
        new.write_json("evaluation.json", report)
        new.write_json("company.json", tables.report())
        new.write_json("manifest.json", manifest)

    return RunFolder.create(runs_root(settings), run_id, begin)


def _fitted(settings: Settings, labelled: Labelled) -> FittedSubstitution:
    config = settings.models[KIND]
    limits = FitLimits(
        settings.min_training_samples, settings.max_training_samples, config.max_training_time_seconds,
        settings.cluster.pooled_cpus,
    )  # fmt: skip
    return YarnSubstitution.from_config(config).fit(labelled, limits)


def _judged(settings: Settings, fitted: FittedSubstitution) -> dict[str, Any]:
    unseen, limits = fitted.out_of_fold, settings.substitution
    if unseen is None:
        raise ValueError("only a model that was fitted here can be judged")
    rule = rule_score(unseen.labelled.features, limits) >= limits.rule_threshold
    return judge(
        unseen, rule, target=settings.models[KIND].min_accuracy_threshold, scoring=fitted.recipe.scoring,
        oob_score=fitted.oob_score, label_noise=limits.label_noise,
    )  # fmt: skip


def _entry(
    settings: Settings, fitted: FittedSubstitution, report: Mapping[str, Any], manifest: Mapping[str, Any], run_id: str
) -> dict[str, Any]:
    """What the history and the summary say of the training (contract 8.2)."""
    importance = list(fitted.importance.items())
    return {
        "metrics": {
            **{name: report[name] for name in ("accuracy", "f1_weighted", "n", "n_yes", "n_yarns", "oob_score", "bound",
                                               "brier", "target", "target_met", "evaluation_id")},
            "majority_accuracy": report["majority"]["accuracy"], "rule_accuracy": report["rule"]["accuracy"],
            "train_size": fitted.n_trained, "test_size": report["n"], "unit": "fraction",
        },
        "parameters": asdict(fitted.recipe),
        "top_features": importance[:KEEP_LISTED],
        "feature_columns": list(fitted.recipe.features),
        "below_threshold": not report["target_met"],
        "run_id": run_id,
        **{name: manifest[name] for name in ("data_hash", "config_hash")},
    }  # fmt: skip


def _lines(report: Mapping[str, Any], counts: Mapping[str, int], tables: YarnTables) -> list[str]:
    met = "met" if report["target_met"] else "missed"
    bound = "" if report["bound"] is None else f"; at most {report['bound']:.3f} with these labels"
    left = ", ".join(f"{n:,} {why}" for why, n in counts.items() if why not in ("labels", "used") and n)
    unread = tables.readings["yarns"] - tables.readings["sizes_read"]
    oob = "" if report["oob_score"] is None else f"; out of bag {report['oob_score']:.3f}, which shares yarns"
    return [
        *tables.lost_lines("labels", "yarns", "stock"),
        f"Yarns     {tables.readings['yarns']:,}, the size of {unread:,} cannot be read",
        f"Labels    {counts['used']:,} of {counts['labels']:,} pairs used{f'; left out: {left}' if left else ''}",
        f"Accuracy  {report['accuracy']:.3f} on yarns it had not seen, target {report['target']:g} {met}{bound}",
        f"F1        {report['f1_weighted']:.3f} weighted{oob}",
        f"Beside    the rule {report['rule']['accuracy']:.3f}, the majority class {report['majority']['accuracy']:.3f}",
    ]
