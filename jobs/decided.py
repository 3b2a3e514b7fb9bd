"""What `decisions=true` adds to a pipeline: a purchase proposal, and substitutes for yarns that are short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from demand.company.joins import lead_times
from demand.company.read import read_company
from demand.company.tables import Company
from demand.errors import DataError, DemandError, SettingsError
from demand.moments import stamp
from evaluation.report_decisions import Decisions
from jobs.fleet import Fleet, decisions_of, registry_of
from jobs.order_files import file_served, headline, proposal_of, write_proposal
from jobs.outputs import wrapped, write_csv, write_parquet
from jobs.replenish import propose
from jobs.settings import Settings
from jobs.substitutes import ranked_frame
from jobs.yarns import read_yarn_tables, with_model
from models.substitutes import model_of
from models.yarn_substitution import KIND as SUBSTITUTION


@dataclass(frozen=True, eq=False)
class Decided:
    """report: what the run's report shows. lines: what a person reads in the terminal."""

    report: Decisions
    lines: list[str]


def check_decisions(settings: Settings) -> None:
    """Raises what reading the company's tables raises, and SettingsError when neither they nor inventory.table say what
    is in stock: known before hours of training, not after."""
    if not settings.company.any and settings.inventory.table is None:
        raise SettingsError(
            "nothing says what is in stock", key="decisions", found=True,
            hint="Name the folder of the company's tables as company.folder, or a file as inventory.table",
        )  # fmt: skip
    company = read_company(settings.company) if settings.company.any else Company()
    if company.suppliers is not None:
        lead_times(company, settings.company)


def decide_after(fleet: Fleet, number: int) -> Decided:
    """Decides on the forecast of release `number`, whether it serves or not; files go into the run's folder. What
    cannot be decided is said, and ends nothing: the release is there, and its report and summary are to come."""
    settings, folder = fleet.settings, fleet.run.path
    release = registry_of(settings).open(number)
    company = read_company(settings.company) if settings.company.any else Company()
    sentences: list[str] = []
    lines: list[str] = []
    summary = orders = substitutes = None
    try:
        made = propose(settings, release, company)
    except DemandError as error:
        sentences.append(f"No purchase proposal: {error}")
    else:
        write_proposal(folder, made)
        fleet.run.write_json("replenish.json", made["summary"])
        served = file_served(Path(settings.storage.root), made, fleet.run.run_id, stamp(datetime.now(UTC)))
        summary, orders = made["summary"], proposal_of(made)
        lines += [*headline(summary), *served, f"Proposal  {folder / 'proposal.csv'}"]
    if company.stock is not None:
        try:
            substitutes = _substitutes(settings)
        except DemandError as error:
            sentences.append(f"No substitutes: {error}")
        else:
            write_parquet(substitutes, fleet.run.file("substitutes.parquet"))
            write_csv(substitutes, fleet.run.file("substitutes.csv"))
            short = int(substitutes["yarn"].nunique())
            lines += [f"Yarns     {short} that are short have candidates", f"Table     {folder / 'substitutes.csv'}"]
    else:
        sentences.append("No substitutes: the company's yarn stock is not given")
    return Decided(Decisions(summary, orders, substitutes, sentences), [*wrapped(sentences), *lines])


def _substitutes(settings: Settings) -> pd.DataFrame:
    registry = decisions_of(settings, SUBSTITUTION)
    champion = registry.open("champion") if registry.alias("champion") is not None else None
    answering = with_model(read_yarn_tables(settings), settings, model_of(champion) if settings.enable_ml else None)
    frame, lost = ranked_frame(answering, answering.short(), settings)
    if lost:
        raise DataError("substitutes could not be ranked", batches=list(lost), cause=next(iter(lost.values())))
    return frame
