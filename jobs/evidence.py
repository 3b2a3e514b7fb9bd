"""What a release keeps so that it can be judged later: its demand, its scored forecasts, its golden prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demand.panel import Panel
from demand.store import write_panel
from evaluation.classes import demand_classes
from jobs.fleet import Fleet
from jobs.gate import TO_BEAT
from jobs.race import Race
from jobs.verdict import Verdict
from models import golden
from models.forecast_files import write_forecasts

MOST = 8  # styles of the golden prediction


def keep_evidence(folder: Path, fleet: Fleet, race: Race, verdict: Verdict) -> None:
    """Writes panel/, scored.parquet and golden/ into a release in the making.

    scored.parquet: the complete forecasts of what is served and of the baselines it must beat, at every scored origin;
    with the panel's demand they are what the gate tests. A release whose models cannot be loaded is made all the same:
    the fault is kept in golden/ and stops its promotion.
    """
    if not (folder / "panel").is_dir():
        write_panel(fleet.panel, folder / "panel")
    kinds = sorted({verdict.served, *TO_BEAT})
    scored = [(kind, result.forecast) for kind in kinds for result in verdict.results[kind]]
    write_forecasts(folder / "scored.parquet", scored)
    (live,) = fleet.origins.live
    history = fleet.question.history(fleet.panel, live)
    styles = history.take(golden_styles(history))
    said = {
        kind: by_cutoff[live.cutoff].take(np.searchsorted(by_cutoff[live.cutoff].ids, styles.ids))
        for kind, by_cutoff in race.raw.items()
        if (folder / "models" / kind).is_dir()
    }
    golden.keep(folder, styles, said)


def golden_styles(history: Panel) -> np.ndarray:
    """Positions of one style a demand class, the one that sold most, ascending; never more than MOST."""
    classes = demand_classes(history)
    sold = np.add.reduceat(np.abs(history.y), history.indptr[:-1])
    best = [int(inside[np.argmax(sold[inside])]) for name in np.unique(classes)
            for inside in (np.flatnonzero(classes == name),)]  # fmt: skip
    return np.array(sorted(best[:MOST]), dtype=np.int64)
