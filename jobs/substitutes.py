"""`python -m jobs.substitutes`: which yarns may stand in for one (yarn=ID), or for every yarn that is short."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from demand.errors import DataError
from demand.settings import nearest_name
from features.yarn_catalogue import Ints
from features.yarn_pairs import FEATURES
from jobs.cluster import Call, cluster, fan_out, put, require
from jobs.entry import FAILED, OK, run
from jobs.fleet import decisions_of, provenance, runs_root, write_config
from jobs.outputs import wrapped, write_csv, write_parquet
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.show import show
from jobs.yarns import YarnTables, not_used, read_yarn_tables, with_model, write_yarns, yarns_hash
from models.decision_release import MODEL
from models.registry import Registry
from models.release import Release
from models.substitutes import Substitutes, model_of
from models.yarn_substitution import KIND, RULE

YARNS_AT_ONCE = 4_000  # of one task: with 100 candidates each 400,000 pairs, 200 MB and a few seconds
SHOWN = 10  # shortages of the summary


def body(settings: Settings) -> int:
    """One yarn: its ranked candidates. Without yarn=: every shortage, as a release that the service answers from.

    Raises DataError without yarns or stock, SettingsError when there is no such yarn.
    """
    if settings.parallel_training:
        require(settings.cluster)
    tables = read_yarn_tables(settings)
    if tables.company.stock is None:
        raise DataError("no_data: without stock nobody knows what is short, or what there is",
                        missing_table=list(tables.company.missing(("stock",))),
                        **not_used(tables.company), hint="Set company.stock= or company.folder=")  # fmt: skip
    registry = decisions_of(settings, KIND)
    champion = registry.open("champion") if registry.alias("champion") is not None else None
    model = model_of(champion) if settings.enable_ml else None
    answering = with_model(tables, settings, model)
    wanted = answering.short() if settings.yarn is None else _place(answering, settings.yarn)
    frame, lost = ranked_frame(answering, wanted, settings)
    facts = _facts(answering, wanted, frame, champion, tables) | {"lost_batches": lost}
    manifest = provenance(settings, yarns_hash(tables), "substitutes")

    def begin(new: RunFolder) -> None:
        write_config(new, settings)
        write_parquet(frame, new.file("substitutes.parquet"))
        write_csv(frame, new.file("substitutes.csv"))
        new.write_json("substitutes.json", facts)
        new.write_json("company.json", tables.report())
        new.write_json("manifest.json", manifest)

    ran = RunFolder.create(runs_root(settings), settings.run_id, begin)
    if settings.yarn is not None:
        show(*_one_yarn(answering, int(wanted[0]), frame))
    else:
        show(_shortages(answering, wanted, frame), *wrapped(_counted(facts)))
        if not lost:
            number = _release(registry, champion, answering.made_by, tables, settings, ran, manifest)
            show(f"Release   {registry.place(f'releases/{number:06d}')}")
    show(*wrapped(tables.lost_lines("yarns", "stock")), f"Table     {ran.file('substitutes.csv')}")
    return FAILED if lost else OK


def ranked_frame(answering: Substitutes, wanted: Ints, settings: Settings) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row a candidate, in the order of `wanted`; and the tasks whose worker died for good, with the reason.

    Many yarns are spread over Ray's workers in batches; a few are ranked here.
    """
    y = answering.yarns
    # Neighbours in the index share their search: a batch holds yarns that are alike.
    alike = wanted[np.lexsort((wanted, y.total[wanted], y.family_code[wanted]))]
    batches = np.array_split(alike, max(1, -(-len(alike) // YARNS_AT_ONCE)))
    on_ray = settings.parallel_training and len(batches) > 1
    parts, lost = [], {}
    with cluster(settings.cluster) if on_ray else nullcontext(1) as cpus:
        in_flight = cpus if settings.max_parallel_jobs == "auto" else settings.max_parallel_jobs
        for part, crash in _ranked(answering, batches, settings, in_flight if on_ray else 0):
            if crash:
                lost[part] = crash
            else:
                parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    place = pd.Series(np.arange(len(wanted)), index=y.yarn_id[wanted])
    order = np.lexsort((frame["rank"].to_numpy(), frame["yarn"].map(place).to_numpy()))
    return frame.iloc[order].reset_index(drop=True), lost


def _ranked(
    answering: Substitutes, batches: Sequence[Ints], settings: Settings, in_flight: int
) -> Iterator[tuple[Any, str]]:
    """(frame, "") of each batch, or (name, why its worker died)."""
    if not in_flight:
        for batch in batches:
            yield rank_batch(answering, batch, settings.top), ""
        return
    shared = put(answering)
    calls = [Call(f"substitutes {i}", 1, (shared, batch, settings.top)) for i, batch in enumerate(batches)]
    for done in fan_out(rank_batch, calls, in_flight, start_timeout_s=settings.cluster.start_timeout_s):
        yield (done.call.name, done.crash) if done.crash else (done.value, "")


def rank_batch(answering: Substitutes, batch: Ints, top: int) -> pd.DataFrame:
    """A row a candidate of these yarns; runs on a worker."""
    return pd.DataFrame(answering.columns(answering.rank(batch, top)))


def _place(answering: Substitutes, yarn: str) -> Ints:
    place = answering.yarns.find(np.array([yarn.strip()]))
    if place[0] < 0:
        near = nearest_name(yarn, answering.yarns.yarn_id.tolist()) if len(answering.yarns) <= 20_000 else None
        facts = {} if near is None else {"nearest": near}
        raise DataError(
            "no such yarn", key="yarn", found=yarn, yarns=len(answering.yarns),
            first=answering.yarns.yarn_id[:5].tolist(), **facts,
            hint="Write it as the stock does, or leave yarn= out for all that are short",
        )  # fmt: skip
    return place


def _release(
    registry: Registry, champion: Release | None, made_by: str, tables: YarnTables, settings: Settings, ran: RunFolder,
    manifest: Mapping[str, Any],
) -> int:  # fmt: skip
    """Today's yarns, ranked by `made_by`, as the release that answers. Returns its number.

    Not a training: the champion's model is taken over even where the rule ranks (enable_ml=false), so that a later run
    can rank by it again; it keeps its figures and the day it was trained, the history has no new entry.
    """
    before = registry.alias("champion")
    models: Mapping[str, Any] = {} if champion is None else champion.manifest["models"]

    def fill(folder: Path) -> Mapping[str, Any]:
        if champion is not None and models:
            shutil.copytree(champion.file(MODEL), folder / MODEL)
        write_yarns(folder, tables, settings)
        return {"run_id": ran.run_id, "created": manifest["created"], "served": made_by, "models": dict(models)}

    number = registry.publish(fill)
    ranked_by = "the rule" if champion is None or made_by == RULE else f"the model of release {champion.number}"
    registry.promote(number, expected=before, facts={"forced": False, "reason": f"today's yarns, {ranked_by}"})
    return number


# ---- what is told --------------------------------------------------------------------------------------------------


def _facts(
    answering: Substitutes, wanted: Ints, frame: pd.DataFrame, champion: Release | None, tables: YarnTables
) -> dict[str, Any]:
    """Counts, strict JSON: yarns in = with candidates + without + not readable."""
    y = answering.yarns
    found = np.isin(y.yarn_id[wanted], frame["yarn"].to_numpy(dtype=str))
    unread = np.isnan(y.total[wanted]) | (y.family[wanted] == "")
    helped = frame.loc[frame["recommended"], "yarn"].nunique()
    whole = frame.loc[frame["recommended"] & (frame["availability_score"] >= 1), "yarn"].nunique()
    return {
        "made_by": answering.made_by,
        "model": _model_facts(champion) if champion is not None and answering.model is not None else None,
        "yarns": {"in": len(wanted), "with_candidates": int(found.sum()), "without": int((~found & ~unread).sum()),
                  "not_readable": int((~found & unread).sum()), "with_a_recommended_one": int(helped),
                  "with_enough_of_it": int(whole)},
        "candidates": len(frame), "shortage_lb": round(float(np.nan_to_num(y.shortage[wanted]).sum()), 2),
        "features": list(FEATURES), "readings": dict(tables.readings),
    }  # fmt: skip


def _model_facts(champion: Release) -> dict[str, Any]:
    """Which model ranked: the release it was taken from, when it was trained, what was measured of it."""
    entry = champion.manifest["models"][KIND]
    measured = entry["metrics"]
    return {"release": champion.number, "trained_at": entry["trained_at"], "accuracy": measured["accuracy"],
            "evaluation_id": measured["evaluation_id"]}  # fmt: skip


def _counted(facts: Mapping[str, Any]) -> list[str]:
    n, signed = facts["yarns"], facts["made_by"]
    if facts["model"] is not None:
        signed += f", trained {facts['model']['trained_at'][:10]}, accuracy {facts['model']['accuracy']:.3f}"
    return [
        f"Short     {n['in']:,} yarns by {facts['shortage_lb']:,.0f} lb: {n['with_a_recommended_one']:,} have a "
        f"recommended substitute, {n['with_enough_of_it']:,} one with enough on the shelf; {n['with_candidates']:,} "
        f"have any candidate, {n['without']:,} none, the text of {n['not_readable']:,} cannot be read",
        f"Signed    {signed}",
        *[f"Lost      {name}: {why}" for name, why in facts["lost_batches"].items()],
    ]  # fmt: skip


def _shortages(answering: Substitutes, wanted: Ints, frame: pd.DataFrame) -> Table:
    """The largest shortages and the best candidate of each."""
    table = Table(title=f"The {min(SHOWN, len(wanted))} largest shortages", title_justify="left")
    for name in ("yarn", "short lb", "best substitute", "chance", "stock lb", "price"):
        table.add_column(name, justify="left" if name in ("yarn", "best substitute") else "right", overflow="fold")
    shown = frame[(frame["rank"] == 1) & frame["yarn"].isin(answering.yarns.yarn_id[wanted[:SHOWN]])]
    best = {str(row["yarn"]): row for row in shown.to_dict("records")}
    for place in wanted[:SHOWN].tolist():
        name = str(answering.yarns.yarn_id[place])
        short = f"{answering.yarns.shortage[place]:,.0f}"
        if name in best:
            row = best[name]
            table.add_row(name, short, str(row["substitute"]), _chance(row), _stock(row), _price(row))
        else:
            table.add_row(name, short, answering.why_none(place), "", "", "")
    return table


def _one_yarn(answering: Substitutes, place: int, frame: pd.DataFrame) -> list[Any]:
    y = answering.yarns
    short = y.shortage[place]
    needs = "its stock is not known" if np.isnan(short) else f"short by {short:,.0f} lb" if short else "not short"
    head = wrapped([f"Yarn      {y.yarn_id[place]}: {y.description[place]}", f"Reading   {y.reading[place]}",
                    f"Stock     {needs}", f"Signed    {answering.made_by}"])  # fmt: skip
    if not len(frame):
        return [*head, *wrapped([f"None      {answering.why_none(place)}"])]
    table = Table(title="Candidates, the best first", title_justify="left")
    for name in ("", "substitute", "chance", "stock lb", "price", "why"):
        table.add_column(name, justify="right" if name in ("", "chance", "stock lb", "price") else "left",
                         overflow="fold")  # fmt: skip
    for row in frame.to_dict("records"):
        table.add_row(str(row["rank"]), str(row["substitute"]), _chance(row), _stock(row), _price(row), str(row["why"]))
    return [*head, table]


def _chance(row: Mapping[Any, Any]) -> str:
    """The probability of the classifier, or the rule's score under its own name."""
    return f"rule {row['score']:.2f}" if row["made_by"] == RULE else f"{row['probability']:.2f}"


def _stock(row: Mapping[Any, Any]) -> str:
    """Pounds on the shelf; low: not what is short, or next to none."""
    low = not row["available"] or row["availability_score"] < 1
    return f"{row['stock_lb']:,.0f}" + (" (low)" if low else "")


def _price(row: Mapping[Any, Any]) -> str:
    return "-" if np.isnan(row["price_difference"]) else f"{row['price_difference']:+.2f} $"


if __name__ == "__main__":
    run("substitutes", body)
