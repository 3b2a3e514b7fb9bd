"""The gate of the release desk: whether a release may be what everybody is answered from, and why, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from demand.errors import DemandError, VersionUnreadable
from demand.panel import Panel
from demand.store import read_panel, stored_panel
from evaluation.advice import how_unstable
from evaluation.promotion import Check, Contender, Loss, beats, believable, not_worse, same_past
from jobs.carry import KNOWN_SHARE, known_share, styles_of
from jobs.fleet import runs_root
from jobs.settings import Settings
from models import golden
from models.catalog import BASELINES
from models.forecast_files import read_forecasts
from models.registry import Registry
from models.release import Release

WIDTH = 80
TO_BEAT = ("seasonal_naive", "mean")


@dataclass(frozen=True)
class Decision:
    """What the gate says. reasons: why it is held back, or what speaks for it; tests: the figures behind them."""

    passed: bool
    reasons: tuple[str, ...]
    tests: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, checks: list[Check]) -> Decision:
        """Passed when every check was; a release that is held back is told of its faults alone."""
        faults = [check for check in checks if not check.passed]
        tests = tuple({"check": check.name, "passed": check.passed, **check.test} for check in checks if check.test)
        return cls(not faults, tuple(check.words for check in faults or checks), tests)

    @property
    def words(self) -> str:
        """The reasons as one line."""
        return ("" if self.passed else "held back: ") + "; ".join(self.reasons)

    def as_json(self) -> dict[str, Any]:
        """For the history and the promotion's facts."""
        return {"passed": self.passed, "reasons": list(self.reasons), "tests": [dict(test) for test in self.tests]}


def decide(
    candidate: Release, champion: Release | None, settings: Settings, *, proved: bool = False, no_champion: str = ""
) -> Decision:
    """Whether `candidate` may take the place of `champion` (None: nothing serves, or what serves cannot be read;
    `no_champion` says which).

    It must predict: every style has a finite row and its files repeat the golden prediction (proved: that was seen
    already, on these very bytes). What it serves must beat the seasonal naive and the mean beyond chance, or be the
    best baseline. It must not be worse than the champion, nor have been made from other demand on the same days. Both
    releases must have been opened, and so compared with their manifests.
    """
    checks = [predicts(candidate, proved=proved)]
    if not checks[0].passed:
        return Decision.of(checks)
    card = candidate.json("card.json")
    checks += _serves_the_better(candidate, card, settings)
    checks += _threshold(candidate, card, settings)
    checks += _stable(candidate, card, settings)
    if champion is None:
        checks.append(Check("champion", True, no_champion or "nothing serves yet"))
    else:
        checks += _against(candidate, champion, settings)
    return Decision.of(checks)


def predicts(release: Release, *, proved: bool = False) -> Check:
    """Whether a release can answer at all: a finite row for every style, and models that say again what they said."""
    fault = unanswered(release) or golden.fault_when_made(release.path)
    fault = fault or ("" if proved else golden.ailment(release.path))
    if fault:
        return Check("predicts", False, f"it does not predict: {fault}")
    said = "and its models repeat their golden prediction" if golden.is_kept(release.path) else ""
    return Check("predicts", True, " ".join(f"every style has a row {said}".split()))


def unanswered(release: Release) -> str:
    """Which styles have no finite, non-negative forecast; "" when all have."""
    try:
        ((_, served),) = read_forecasts(release.file("forecasts.parquet"))
        expected = int(release.manifest["n_series"])
    except (DemandError, OSError, ValueError, KeyError) as error:
        return f"its forecasts cannot be read ({type(error).__name__}: {error})"
    numbers = np.concatenate([served.mean[:, :, None], served.quantiles], axis=2)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)).all(axis=(1, 2)))
    if len(bad):
        return f"{len(bad)} styles have no finite forecast, {', '.join(map(str, served.ids[bad][:5]))} among them"
    if len(served.ids) != expected or not expected:
        return f"it has rows of {len(served.ids)} styles, {expected} are in its manifest"
    return ""


def panel_of(release: Release, settings: Settings) -> Panel | None:
    """The demand a release was made from: its own copy, or its run's while that is kept; None when both are gone."""
    if release.file("panel").is_dir():
        return read_panel(release.file("panel"))
    place = runs_root(settings) / Path(str(release.manifest.get("run_id", "none"))).name / "panel"
    if place.is_dir() and stored_panel(place).data_hash == release.manifest.get("data_hash"):
        return read_panel(place)
    return None


def contender(release: Release, settings: Settings, name: str) -> Contender | None:
    """The release as the checks see it; None when it was made before the scored forecasts were kept."""
    panel = panel_of(release, settings)
    if panel is None or not release.file("scored.parquet").is_file():
        return None
    card = release.json("card.json")
    scored: dict[str, list[Any]] = {}
    for kind, forecast in read_forecasts(release.file("scored.parquet")):
        scored.setdefault(kind, []).append(forecast)
    ((_, live),) = read_forecasts(release.file("forecasts.parquet"))
    return Contender(name, card["served"], scored, live, panel, card["season"], relative_wape(card))


def relative_wape(card: Mapping[str, Any]) -> float | None:
    """WAPE of what is served over the seasonal naive's on the same origins: comparable between data of two dates."""
    served, naive = (card["metrics"][name]["wape"] for name in (card["served"], "seasonal_naive"))
    return served / naive if served is not None and naive else None


def _serves_the_better(candidate: Release, card: Mapping[str, Any], settings: Settings) -> list[Check]:
    served = card["served"]
    if served in BASELINES:
        board = pq.read_table(candidate.file("metrics.parquet")).to_pandas()
        return [_best_baseline(board, served, card["gate"]["reasons"])]
    entry = contender(candidate, settings, name_of(candidate))
    if entry is None:
        words = "; ".join(card["gate"]["reasons"]) or "it beat the baselines when it was made"
        return [Check("baselines", bool(card["gate"]["passed"]), words)]
    return beats(entry, TO_BEAT, _loss(card), settings.seed)


def _best_baseline(board: pd.DataFrame, served: str, why: list[str]) -> Check:
    ranked = board[board["model"].isin(list(BASELINES)) & board["eligible"] & board["score"].notna()]
    best = str(ranked.iloc[0]["model"]) if len(ranked) else served
    because = f", because {'; '.join(why)}" if why else ""
    if best == served:
        return Check("baselines", True, f"it serves the best baseline, {served}{because}")
    return Check("baselines", False, f"it serves {served}, though {best} is the better baseline")


def _threshold(candidate: Release, card: Mapping[str, Any], settings: Settings) -> list[Check]:
    board = pq.read_table(candidate.file("metrics.parquet"), columns=["model", "below_threshold"]).to_pandas()
    below = bool(board.loc[board["model"] == card["served"], "below_threshold"].any())
    if not below:
        return []
    said = f"the accuracy of {card['served']} is below its min_accuracy_threshold"
    if settings.gate.below_threshold == "block":
        return [Check("threshold", False, f"{said} and gate.below_threshold=block")]
    return [Check("threshold", True, f"{said} (gate.below_threshold=warn)")]


def _stable(candidate: Release, card: Mapping[str, Any], settings: Settings) -> list[Check]:
    """Nothing for a stable model; as it was judged when the release was made, at the limit of that day."""
    columns = ["model", "unstable", "wape_std", "wape_worst", "worst_cutoff"]
    board = pq.read_table(candidate.file("metrics.parquet"), columns=columns).to_pandas()
    rows = board.loc[(board["model"] == card["served"]) & board["unstable"]]
    if rows.empty:
        return []
    said = f"the WAPE of {card['served']} {how_unstable(rows.iloc[0])}"
    if settings.gate.unstable == "block":
        return [Check("stable", False, f"{said} and gate.unstable=block")]
    return [Check("stable", True, f"{said} (gate.unstable=warn)")]


def _against(candidate: Release, champion: Release, settings: Settings) -> list[Check]:
    new_card, old_card = candidate.json("card.json"), champion.json("card.json")
    name = name_of(champion)
    for what in ("freq", "unit", "horizon"):
        if new_card[what] != old_card[what]:
            words = f"no common yardstick: {name} has {what} {old_card[what]}, this one {new_card[what]}"
            return [Check("champion", True, words)]
    share = known_share(champion, styles_of(candidate))
    if share < KNOWN_SHARE:
        return [Check("champion", True, f"another fleet: {name} knows {share:.0%} of its styles")]
    new, old = contender(candidate, settings, name_of(candidate)), contender(champion, settings, name)
    if new is None or old is None:
        return [_by_card(new_card, old_card, name)]
    return [not_worse(new, old, _loss(new_card), settings.seed), same_past(new, old), believable(new, old)]


def _by_card(new: Mapping[str, Any], old: Mapping[str, Any], name: str) -> Check:
    """For releases made before the scored forecasts were kept with them."""
    ours, theirs = relative_wape(new), relative_wape(old)
    worse = ours is not None and theirs is not None and ours > theirs + 0.03
    figures = " against ".join("undefined" if one is None else f"{one:.3f}" for one in (ours, theirs))
    said = "worse than" if worse else "not worse than"
    return Check("champion", not worse, f"{said} {name}: WAPE over the seasonal naive's, {figures}")


def _loss(card: Mapping[str, Any]) -> Loss:
    """The loss its own gate tested: where forecasting zero wins on absolute error, that is the quantile loss."""
    found: list[Loss] = [test["loss"] for test in card["gate"]["tests"]]
    return found[0] if found else "absolute"


def gate_lines(number: int, decision: Decision) -> list[str]:
    """Why a release was held back, and what may be done, at 80 columns; nothing when it passed."""
    if decision.passed:
        return []
    then = f"Next      python -m jobs.promote release={number} asks again; force=true overrules, and is recorded"
    return [*held_back(decision, f"release {number}"), *_folded(then)]


def held_back(decision: Decision, what: str) -> list[str]:
    """Why it was held back, at 80 columns."""
    return _folded(f"Held back {what} was not promoted: {'; '.join(decision.reasons)}")


def _folded(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False)


def champion_of(registry: Registry, number: int | None) -> tuple[Release | None, str]:
    """The champion to compare with, and why there is none: nothing serves, or what serves is damaged."""
    if number is None:
        return None, "nothing serves yet"
    try:
        return registry.open(number), ""
    except VersionUnreadable as error:
        return None, f"release {number} serves and cannot be compared with, it is damaged: {error}"


def name_of(release: Release) -> str:
    """As the sentences call it; a release that has no number yet is the candidate."""
    return f"release {release.number}" if release.number else "the candidate"
