"""The training of the order surrogate: the champion's history and the items' costs in, a judged release out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from demand.company.joins import Explosion
from demand.company.read import read_company
from demand.company.tables import Company
from demand.errors import DataError, ModelError, SettingsError
from demand.panel import Panel
from demand.store import panel_hash, read_panel
from evaluation.inventory import CLAIRVOYANT, SURROGATE, serves
from evaluation.inventory_study import Study, study
from jobs.decision_entries import failed, succeeded, summary
from jobs.entries import KEEP_LISTED
from jobs.fleet import decisions_of, provenance, registry_of, runs_root, write_config
from jobs.order_items import Wanted, wanted
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from models.decision_release import keep_model
from models.inventory.items import Items
from models.inventory.known import decidable
from models.inventory.policies import POLICIES
from models.inventory.surrogate import KIND, OrderSurrogate


def train(settings: Settings, run_id: str | None) -> tuple[dict[str, Any], list[str]]:
    """Trains, judges, releases; returns the entry of the run's summary and the lines a person reads.

    The surrogate serves when no simple policy that serves well enough costs less. Raises DataError without a
    release of the fleet or without costs, FitError when there is too little to learn from: that is in the history then.
    """
    panel, items, found = learning_panel(settings)
    blanks = registry_of(settings).open("champion").json("card.json")["blanks"]
    manifest = provenance(settings, panel_hash(panel), "train") | {"decision": KIND}
    registry, config = decisions_of(settings, KIND), settings.models[KIND]
    target = config.min_accuracy_threshold
    started = time.perf_counter()
    try:
        made = study(
            panel, items, OrderSurrogate.from_config(config), settings.inventory, target=target, blanks=blanks,
            seed=settings.seed, min_rows=settings.min_training_samples, max_rows=settings.max_training_samples,
            max_seconds=config.max_training_time_seconds,
        )  # fmt: skip
    except ModelError as error:
        registry.append_history([failed(KIND, error, manifest, run_id)])
        raise
    seconds = round(time.perf_counter() - started, 1)
    accuracy = made.told["quantity"]["accuracy"]
    report = made.told | {"kind": found.kind, "unit": found.unit, "notes": list(found.notes),
                          "below_threshold": accuracy is None or accuracy < target}  # fmt: skip
    reasons = reasons_against(report, settings.gate.below_threshold, target)

    def begin(new: RunFolder) -> None:
        write_config(new, settings)
        new.write_json("evaluation.json", report)
        new.write_json("manifest.json", manifest)

    run = RunFolder.create(runs_root(settings), run_id, begin)
    entry = _entry(settings, made, report, manifest, run.run_id) | {"seconds": seconds}

    def fill(folder: Path) -> None:
        made.fitted.save(folder, {name: report[name] for name in ("recommended", "savings")} | {"report": report})

    kept = keep_model(registry, KIND, fill, entry, reasons)
    place = f"releases/{kept.release:06d}"
    whole = succeeded(KIND, entry, manifest, kept.release)
    run.write_json("summary.json", summary(manifest, whole, reasons))
    return whole, _lines(report, reasons, registry.place(place))


def learning_panel(settings: Settings) -> tuple[Panel, Items, Wanted]:
    """(demand of the items whose costs are known, the items in its order, what is known of them).

    Styles as the champion's release holds their history; yarns as that history needs them by the bill of materials.
    Raises DataError without a release or when no item's costs are known.
    """
    registry = registry_of(settings)
    if registry.alias("champion") is None:
        raise DataError("no_data: no release of the fleet holds a history to learn from",
                        hint="Run python -m jobs.pipeline first")  # fmt: skip
    panel = read_panel(registry.open("champion").file("panel"))
    company = read_company(settings.company) if settings.company.any else Company()
    inventory = settings.inventory
    try:
        found = wanted(panel, company, settings.company, inventory.items, inventory.table, settings.substitution)
    except SettingsError as error:  # what is not stated is not known: the fleet's training is not refused for it
        raise DataError(f"no_data: {error.message}", hint=error.hint, **error.facts) from None
    # Every position is asked in a study, so what is in stock today does not matter.
    known = found.known.assign(on_shelf=found.known["on_shelf"].fillna(0.0))
    ready = decidable(known, inventory)
    if found.explosion is not None:
        panel = yarn_history(panel, found.explosion, found.unit)
    rows = panel.index_of(ready.items.ids)
    items = ready.items.take(np.flatnonzero(rows >= 0))
    if not len(items):
        raise DataError(
            f"no_data: what a unit costs is not known of any of the {found.kind}", items=len(found.known),
            hint="Name a file with columns item and unit_cost as inventory.table, or the company's tables",
        )  # fmt: skip
    order = np.argsort(items.ids)
    items = items.take(order)
    return panel.take(panel.index_of(items.ids)), items, found


def yarn_history(panel: Panel, links: Explosion, unit: str) -> Panel:
    """What the styles' history needs of each yarn a period, in `unit`: a series a yarn, of the longest style's length.

    NaN in a period in which the demand of any of the yarn's styles is not known: filled here it would hold what came
    later, and count as demand that really followed. A style needs nothing before its first period.
    """
    length = int(panel.lengths.max())
    y = panel.window(panel.end - length + 1, length)
    begun = np.arange(length) >= length - panel.lengths[:, None]
    needed = links.of(np.maximum(np.nan_to_num(y), 0.0))
    uses = replace(links, pounds=(links.pounds > 0).astype(np.float64))
    needed[uses.of((begun & np.isnan(y)).astype(np.float64)) > 0] = np.nan
    ids = links.yarn_ids
    return Panel(ids, np.arange(len(ids) + 1, dtype=np.int64) * length, needed.ravel(), panel.end, panel.freq,
                 unit=unit)  # fmt: skip


def reasons_against(report: Mapping[str, Any], below: str, target: float) -> list[str]:
    """Why the surrogate may not serve, in words; empty = it may. A simple policy that costs less on what followed, and
    serves well enough (`evaluation.inventory.serves`), always stops it."""
    rows = {row["policy"]: row for row in report["policies"]}
    own, compared = rows[SURROGATE], [rows[name] for name in (SURROGATE, *POLICIES)]
    reasons = [
        f"{name} cost {rows[name]['realised_cost']:,.0f} where the surrogate cost {own['realised_cost']:,.0f}"
        for name in POLICIES if serves(rows[name], compared) and rows[name]["realised_cost"] < own["realised_cost"]
    ]  # fmt: skip
    if report["below_threshold"] and below == "block":
        reasons.append(f"its accuracy is below min_accuracy_threshold ({target:g}), and gate.below_threshold is block")
    return reasons


def _entry(
    settings: Settings, made: Study, report: Mapping[str, Any], manifest: Mapping[str, Any], run_id: str
) -> dict[str, Any]:
    """What the history and the summary say of the training (contract 8.2)."""
    rows = {row["policy"]: row for row in report["policies"]}
    own = rows[SURROGATE]
    alone = next(row for row in report["service_alone"]["policies"] if row["policy"] == SURROGATE)
    ranked = sorted(made.fitted.importances().items(), key=lambda one: -one[1])
    recipe = replace(OrderSurrogate.from_config(settings.models[KIND]))
    return {
        "metrics": {
            "accuracy": report["quantity"]["accuracy"], "wape": report["quantity"]["wape"],
            "target": settings.models[KIND].min_accuracy_threshold, "target_met": not report["below_threshold"],
            "regret": own["expected_regret"], "realised_regret": own["realised_regret"],
            "service": own["realised_service"], "service_gap": own["realised_gap"],
            "service_gap_error": own["realised_error"], "service_promised": own["expected_gap"],
            "service_alone_gap": alone["realised_gap"], "service_alone_gap_error": alone["realised_error"],
            "service_within": report["surrogate"]["service_within"],
            **{f"{name}_regret": rows[name]["expected_regret"] for name in POLICIES},
            "clairvoyant_cost": rows[CLAIRVOYANT]["realised_cost"], "realised_cost": own["realised_cost"],
            "recommended": report["recommended"]["policy"], "savings": report["savings"],
            "train_size": made.fitted.n_rows, "test_size": report["n"], "unit": "fraction", "evaluation_id": run_id,
        },
        "parameters": asdict(recipe),
        "top_features": [list(one) for one in ranked][:KEEP_LISTED],
        "feature_columns": list(made.fitted.features),
        "below_threshold": report["below_threshold"],
        "run_id": run_id,
        **{name: manifest[name] for name in ("data_hash", "config_hash")},
    }  # fmt: skip


def _lines(report: Mapping[str, Any], reasons: list[str], place: str) -> list[str]:
    rows = {row["policy"]: row for row in report["policies"]}
    alone = next(row for row in report["service_alone"]["policies"] if row["policy"] == SURROGATE)
    met = "missed" if report["below_threshold"] else "met"
    quantity, items = report["quantity"], report["items"]
    lost, asked = (sum(one[name] for one in report["decisions"].values()) for name in ("not_known", "asked"))
    accuracy = "not measurable" if quantity["accuracy"] is None else f"{quantity['accuracy']:.3f}"
    beside = ", ".join(f"{name} {_share(rows[name]['expected_regret'])}" for name in POLICIES)
    same = ", ".join(
        f"{_share(one['expected_share'])} ({_share(one['realised_share'])}) than {name}"
        for name, one in report["equal_service"].items()
    )
    return [
        f"Items     {items['learned']} {report['kind']} learned from, {items['judged']} others judged at later dates"
        + (f"; {items['not_drawn']} of {items['in']} not drawn" if items["not_drawn"] else ""),
        *([f"Unknown   {lost} of {asked} decisions are not priced: what followed is not wholly known"] if lost else []),
        f"Regret    {_share(rows[SURROGATE]['expected_regret'])} above the exact search; {beside}",
        f"Followed  {_share(rows[SURROGATE]['beyond_bound'])} above the clairvoyant cost, "
        f"the exact search {_share(rows['exact']['beyond_bound'])}",
        f"Service   {_share(rows[SURROGATE]['realised_service'])} where it can be had, "
        f"{_points(rows[SURROGATE]['realised_gap'])} against what is wanted (standard error "
        f"{_points(rows[SURROGATE]['realised_error'], '')})",
        f"Promised  {_points(rows[SURROGATE]['expected_gap'])} by the paths: the promise is off by "
        f"{_points(rows[SURROGATE]['surprise'])} (standard error {_points(rows[SURROGATE]['surprise_error'], '')}); "
        f"{_share(report['demand_ratio'])} of the demand they expect came",
        f"Wanted    {_within(report['surrogate']['service_within'])}: where nothing but the wanted service is bought "
        f"(a unit short costs nothing) {_points(alone['realised_gap'])} (standard error "
        f"{_points(alone['realised_error'], '')}), promised {_points(alone['expected_gap'])}",
        f"Equal     asked for no more service than theirs the exact search costs less by {same} (on what followed)",
        f"Quantity  {accuracy} of 1 - WAPE, target {met}",
        f"Use       {report['recommended']['policy']}: {report['recommended']['words']}",
        f"Serving   {'yes' if not reasons else 'no: ' + '; '.join(reasons)}",
        f"Release   {place}",
    ]  # fmt: skip


def _within(value: bool | None) -> str:
    return "not known" if value is None else f"{'within' if value else 'not within'} two points"


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1%}"


def _points(value: float | None, sign: str = "+") -> str:
    return "not known" if value is None else f"{100 * value:{sign}.1f} points"
