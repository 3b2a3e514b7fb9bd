"""What a training run takes over from the champion's release: models that are not due, as they were fitted then."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from demand.errors import VersionUnreadable
from demand.panel import Panel
from evaluation.backtest import Question
from evaluation.folds import Fold
from evaluation.stored import laid_on as laid_on
from evaluation.stored import member_forecasts as member_forecasts
from jobs.due import models_due
from jobs.plan import Origins
from jobs.race import Race
from jobs.settings import Settings, as_plain, chosen_models
from models.catalog import BASELINES, EXTRA, recipe_class
from models.ensemble import KIND
from models.forecast_files import read_forecasts
from models.release import Release

KNOWN_SHARE = 0.9  # of the styles: below it the champion was trained on another fleet
LOOKS_AHEAD = 366  # days searched for a model's next trigger


@dataclass(frozen=True)
class Intent:
    """What one training run does.

    train: the kinds that are fitted. carried: ensemble members taken from `release`, or from another one that `others`
    names (kind -> number). idle: kind -> why it is not trained. notes: what was decided otherwise than the schedule
    says, in words. origins: cutoffs (inner, scored) of the release when members are carried, so that all models are
    compared on the same origins.
    """

    train: tuple[str, ...]
    carried: tuple[str, ...] = ()
    idle: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    release: int | None = None
    origins: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def lenders(self) -> dict[int, tuple[str, ...]]:
        """Release -> the kinds it lends."""
        found: dict[int, tuple[str, ...]] = {}
        for kind in self.carried:
            number = self.others.get(kind, self.release)
            if number is not None:
                found[number] = (*found.get(number, ()), kind)
        return found

    def lender(self, kind: str) -> int | None:
        """The release that lends a kind."""
        return next((number for number, kinds in self.lenders.items() if kind in kinds), None)

    def as_json(self) -> dict[str, Any]:
        """For the run's manifest: a resumed run does what it set out to do, whatever is due by then."""
        return {
            "train": list(self.train), "carried": list(self.carried), "idle": dict(self.idle),
            "notes": list(self.notes), "release": self.release,
            "origins": [list(part) for part in self.origins] if self.origins else None,
            "others": dict(self.others),
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Intent:
        inner, scored = value["origins"] or ((), ())
        return cls(
            tuple(value["train"]), tuple(value["carried"]), dict(value["idle"]), tuple(value["notes"]),
            value["release"], (tuple(inner), tuple(scored)) if value["origins"] else None,
            dict(value.get("others", {})),
        )  # fmt: skip

    def folds(self, question: Question, end: int) -> Origins | None:
        """The release's origins and today's live one; None when the run makes its own."""
        if self.origins is None:
            return None
        horizon = question.spec.horizon
        inner, scored = ([Fold(cutoff, horizon) for cutoff in part] for part in self.origins)
        return Origins(tuple(inner), tuple(scored), (Fold(end, horizon),))


def what_is_due(settings: Settings, champion: Release | None, now: datetime) -> Intent:
    """Which of the chosen models train now: all of them in a first run or with force; else those whose trigger fires
    today, and those that the champion lacks or whose version is stale (older than its retrain frequency and the grace
    days). `settings.due` says it in the place of the triggers. `train` is empty when nothing is due.
    """
    chosen = chosen_models(settings)
    learned = [kind for kind in chosen if kind not in BASELINES]
    if champion is None or settings.force or not learned:  # baselines learn nothing that could wait
        return Intent(chosen)
    day = now.astimezone(settings.schedule.zone).date()
    due = models_due(settings.schedule, day) if settings.due is None else settings.due
    if KIND in due:  # a member that stands beside the seven has no cadence of its own: it trains with the ensemble
        due = (*due, *(kind for kind in EXTRA if kind not in settings.schedule.scheduled))
    wanted, idle, notes = [], {}, []
    for kind in learned:
        refresh = kind != KIND and settings.ensemble.retrain_base_models
        missing = refresh and kind not in champion.manifest["models"]
        old = _stale(kind, settings, champion, now) if refresh else ""
        if kind in due or missing or old:
            wanted.append(kind)
            if kind not in due:
                notes.append(f"{kind} is not due and trained all the same: {old or 'the champion has none'}")
        else:
            idle[kind] = f"not due on {day}; next on {_next(settings, kind, day)}"
    baselines = tuple(kind for kind in chosen if kind in BASELINES)
    return Intent((*baselines, *wanted) if wanted else (), idle=idle, notes=tuple(notes))


def with_carried(
    intent: Intent, settings: Settings, champion: Release | None, panel: Panel, question: Question, now: datetime
) -> Intent:
    """The intent with its origins and the members that the champion's release lends; everything that was asked for is
    trained, and a note says why, when the release cannot be compared with today's data."""
    members = [m for m in settings.ensemble.members if m in settings.models and settings.models[m].enabled]
    lent = [kind for kind in members if kind not in intent.train]
    if champion is None or not lent or not settings.enable_ml:
        return intent
    why = not_comparable(champion, panel, question)
    if why:
        note = f"nothing is taken over from the champion: {why}"
        return replace(intent, train=chosen_models(settings), idle={}, notes=(*intent.notes, note))
    enabled = replace(settings, only=None)
    stored = champion.config()
    same = {kind: stored["models"].get(kind) == as_plain(settings)["models"][kind] for kind in lent}
    same |= dict.fromkeys(lent, False) if stored["features"] != as_plain(settings)["features"] else {}
    moved = panel.end != trained_to(champion, panel)
    notes, without = list(intent.notes), set()
    train = set(intent.train) | ({KIND} if settings.models[KIND].enabled else set())
    for kind in lent:
        reason = "its settings changed" if not same[kind] else ""
        reason = reason or ("" if kind in champion.manifest["models"] else "the champion has none")
        if not reason and moved and kind not in BASELINES and not recipe_class(kind).rolls_forward:
            reason = "its fits answer for the day they were made only"
        if reason and settings.ensemble.retrain_base_models:
            train.add(kind)
            notes.append(f"{kind} is trained as well: {reason}")
        elif reason:
            without.add(kind)
            notes.append(f"{kind} is left out of the ensemble: {reason}, and retrain_base_models is false")
        elif old := _stale(kind, settings, champion, now):
            notes.append(f"{kind} is stale: {old}")
    carried = tuple(kind for kind in lent if kind not in train and kind not in without)
    order = [kind for kind in chosen_models(enabled) if kind in train]
    card = champion.json("card.json")
    cutoffs = card["folds"]
    origins = (tuple(cutoffs[: card["n_inner"]]), tuple(cutoffs[card["n_inner"] :])) if carried else None
    idle = {kind: why for kind, why in intent.idle.items() if kind not in train}
    return replace(
        intent, train=tuple(order), carried=carried, idle=idle, notes=tuple(notes),
        release=champion.number if carried else None, origins=origins,
    )  # fmt: skip


def lend(race: Race, intent: Intent, release: Release, panel: Panel, question: Question) -> Race:
    """The race with the members that this release lends beside those that ran: their forecasts of the run's origins as
    they were made then, and today's from the stored fits."""
    kinds = intent.lenders[release.number]
    raw = {kind: dict(by_cutoff) for kind, by_cutoff in race.raw.items()}
    live = Fold(panel.end, question.spec.horizon)
    today, unusable = member_forecasts(release, question.history(panel, live), question, kinds)
    if unusable:
        raise VersionUnreadable(
            "members of a release cannot be used", release=release.number,
            models=[f"{kind}: {why}" for kind, why in unusable.items()],
            hint="Train everything anew: force=true",
        )  # fmt: skip
    assert intent.origins is not None
    cutoffs = {cutoff for part in intent.origins for cutoff in part}
    for kind, forecast in read_forecasts(release.file("origins.parquet")):
        if kind in kinds and forecast.origin in cutoffs:
            known = question.history(panel, Fold(forecast.origin, forecast.horizon))
            raw.setdefault(kind, {})[forecast.origin] = laid_on(known, forecast, question)
    for kind in kinds:
        raw[kind][panel.end] = today[kind]
    return replace(race, raw={kind: raw[kind] for kind in sorted(raw)})


def not_comparable(champion: Release, panel: Panel, question: Question) -> str:
    """Why the champion's members cannot stand beside models trained today; "" when they can."""
    card = champion.json("card.json")
    asked = {
        "freq": panel.freq, "horizon": question.spec.horizon, "levels": list(question.spec.levels),
        "season": question.season, "blanks": question.blanks,
    }  # fmt: skip
    for name, value in asked.items():
        if card[name] != value:
            return f"release {champion.number} has {name} {card[name]}, now it is {value}"
    share = known_share(champion, panel.ids.tolist())
    if share < KNOWN_SHARE:
        return f"release {champion.number} knows {share:.0%} of the styles"
    newest = max(card["folds"])
    if panel.end - (newest + card["horizon"]) >= card["horizon"]:
        return f"the origins of release {champion.number} lie more than a horizon back"
    if panel.end < trained_to(champion, panel):
        return f"the data ends before the origin of release {champion.number}"
    return ""


def styles_of(release: Release) -> set[str]:
    """The styles that a release forecasts."""
    served = read_forecasts(release.file("forecasts.parquet"))
    return {series for _, forecast in served for series in forecast.ids.tolist()}


def known_share(release: Release, styles: Collection[str]) -> float:
    """Share of these styles that a release forecasts."""
    known = styles_of(release)
    return sum(style in known for style in styles) / max(1, len(styles))


def trained_to(champion: Release, panel: Panel) -> int:
    return int(panel.calendar.containing(champion.json("card.json")["origin"]))


def _stale(kind: str, settings: Settings, champion: Release, now: datetime) -> str:
    """Why the champion's version of a model is too old, "" when it is not."""
    entry = champion.manifest["models"].get(kind)
    if entry is None:
        return ""
    age = now - datetime.fromisoformat(entry["trained_at"])
    limit = settings.models[kind].retrain_frequency_days + settings.schedule.grace_days
    return f"its version is {age.days} days old, {limit} are allowed" if age > timedelta(days=limit) else ""


def _next(settings: Settings, kind: str, day: date) -> str:
    ahead = (day + timedelta(days=offset) for offset in range(1, LOOKS_AHEAD))
    kind = KIND if kind in EXTRA and kind not in settings.schedule.scheduled else kind
    found = next((one for one in ahead if kind in models_due(settings.schedule, one)), None)
    return found.isoformat() if found else "no day of the coming year"
