"""The surrogate of the exact search, learned on some items and dates and judged on other items at later dates.

    dates  ... t t t t | window of the last t | j j j | window of the last j = the newest known period
    items      half a                            half b

Which half an item is in is told by a hash of its id, so that it stays there. Judged dates begin only when the windows
of all training dates are over: no demand that a training decision is about is seen by a judged one as its future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from demand.errors import FitError
from demand.panel import Blanks, Floats, Ints, Panel
from demand.store import bucket_of
from evaluation.inventory import EXACT, SURROGATE, Judged, joined, judge, recommended, report, savings
from models.base import Forecast
from models.inventory.checked import checked
from models.inventory.features import Facts
from models.inventory.items import Items
from models.inventory.paths import Days
from models.inventory.policies import POLICIES
from models.inventory.questions import Questions, ask, varied
from models.inventory.replay import Outcome
from models.inventory.search import search
from models.inventory.settings import InventorySettings
from models.inventory.surrogate import FittedSurrogate, OrderSurrogate
from models.inventory.widths import Came, widths_of

LEARNED_DATES, JUDGED_DATES = 4, 3
LEARNED_COPIES, JUDGED_COPIES = 4, 2  # positions and costs asked of an item at a date
LEAST_PERIODS = 6  # of history before a decision
Foresee = Callable[[Panel], Forecast]  # (histories up to a date, without blanks) -> a row for each of them
MOST_ITEMS = 4_000  # more teach nothing new and take minutes


@dataclass(frozen=True, eq=False)
class Study:
    """What was learned and how good it is.

    told: strict JSON, the report of `evaluation.inventory` with `dates`, `items` (in = learned + judged + not drawn),
    `decisions` (asked = priced on what followed + not known, of both halves) and `recommended` (chosen on the
    training items and dates by what followed there) and, on the judged decisions, `savings` of what orders are decided
    by: the recommended policy where it is a simple one, else the exact search.
    """

    fitted: FittedSurrogate
    judged: Judged
    told: dict[str, Any]


def study(
    panel: Panel, items: Items, recipe: OrderSurrogate, settings: InventorySettings, *, target: float,
    blanks: Blanks = "interpolate", seed: int = 42, min_rows: int = 100, max_rows: int = 10_000_000,
    max_seconds: float | None = None, foresee: Foresee | None = None,
) -> Study:  # fmt: skip
    """panel: demand of exactly these items, in their order; NaN = not known (out of stock): filled as `blanks` says in
    histories, each cut at its decision first, and a decision whose window holds one is not judged. `position` of the
    items does not matter: every position is asked. target: of 1 - WAPE of quantity. foresee: makes the forecast that a
    decision rests on, from the history at its date alone; None: decisions rest on windows of the past.

    Raises FitError ("Insufficient data") when the history is too short for the dates, the rows are too few, or what
    followed is not wholly known for any judged decision.
    """
    n_items = len(items)
    chosen = np.arange(n_items)
    if len(chosen) > MOST_ITEMS:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen)[:MOST_ITEMS])
        panel, items = panel.take(chosen), items.take(chosen)
    half = bucket_of(items.ids, 2).astype(np.int64)
    learned_at, judged_at = dates(panel, items, settings)
    told_by = Told(panel, items, settings, blanks, foresee)
    known = [told_by.known(np.flatnonzero(half == 0), at) for at in learned_at]
    widths = told_by.widths(known)
    asked = [told_by.asked(one, LEARNED_COPIES, seed, widths) for one in known]
    lesson = [one for one in asked if one is not None]
    if not lesson:
        raise FitError("Insufficient data: no item has enough history before the training dates",
                       expected=LEAST_PERIODS, hint="Use a longer history")  # fmt: skip
    rows, facts, quantity = _merged([questions for questions, _ in lesson])
    fitted = recipe.fit(rows, facts, quantity, min_rows, max_rows, max_seconds)
    names = (EXACT, SURROGATE, *POLICIES)
    followed = _judged(panel, lesson, fitted, settings)
    choice = recommended(followed, names)
    others = [
        told_by.asked(told_by.known(np.flatnonzero(half == 1), at), JUDGED_COPIES, seed + 1, widths) for at in judged_at
    ]
    held_out = [one for one in others if one is not None]
    if not held_out:
        raise FitError("Insufficient data: no other items to judge the surrogate on", items=len(items),
                       hint="Use more items")  # fmt: skip
    judged = _judged(panel, held_out, fitted, settings, POLICIES)
    alone = [(priced_by_service(questions, settings), series) for questions, series in held_out]
    if not judged.n:
        raise FitError("Insufficient data: what followed is not wholly known for any judged decision",
                       decisions=_counts(held_out, 0)["asked"],
                       hint="Use a history with fewer unknown periods, or shorter lead times")  # fmt: skip
    day = panel.calendar.dates
    told = report(judged, target, _judged(panel, alone, fitted, settings)) | {
        "dates": {"learned": [str(d)[:10] for d in day(learned_at)], "judged": [str(d)[:10] for d in day(judged_at)]},
        "items": {"in": n_items, "learned": int((half == 0).sum()), "judged": int((half == 1).sum()),
                  "not_drawn": n_items - len(items)},
        "decisions": {"learned_from": _counts(lesson, followed.n), "judged": _counts(held_out, judged.n)},
        "n_learned": fitted.n_rows, "widths": list(widths), "recommended": choice,
        "savings": savings(judged, choice["policy"] if choice["policy"] in POLICIES else EXACT),
    }  # fmt: skip
    return Study(fitted, judged, told)


def _counts(found: list[tuple[Questions, Ints]], priced: int) -> dict[str, int]:
    """Decisions asked = priced on what followed + those of which that is not wholly known."""
    asked = sum(len(questions.items) for questions, _ in found)
    return {"asked": asked, "priced": priced, "not_known": asked - priced}


def priced_by_service(questions: Questions, settings: InventorySettings) -> Questions:
    """The same decisions with a unit short costing nothing, answered by a search of their own: the cheapest quantity is
    the smallest that serves as wanted. The simple policies are left out: one does not look at the wanted service, and
    the others do not look at that cost."""
    items = replace(questions.items, stockout=np.zeros(len(questions.items)))
    best = search(items, questions.sample, settings.review_days, settings.paths, settings.memory_mb)
    return replace(questions, items=items, optimum=best, simple={})


def dates(panel: Panel, items: Items, settings: InventorySettings) -> tuple[list[int], list[int]]:
    """(periods learned at, periods judged at), ascending. Raises FitError when the history has no room for both."""
    calendar = panel.calendar
    reach = int(np.ceil(longest_window(items, settings) / calendar.days_per_period)) + 1
    step = calendar.periods_in(settings.review_days)
    newest = panel.end - reach
    judged = [newest - step * k for k in range(JUDGED_DATES)][::-1]
    newest = judged[0] - reach
    learned = [newest - step * k for k in range(LEARNED_DATES)][::-1]
    first = int(panel.start.min(initial=panel.end)) + LEAST_PERIODS - 1
    learned = [at for at in learned if at >= first]
    if not learned:
        raise FitError(
            "Insufficient data: the history is too short to learn at one date and judge at later ones",
            expected_periods=panel.end - newest + LEAST_PERIODS, found=int(panel.lengths.max(initial=0)),
            hint="Use a longer history, or shorter lead times",
        )  # fmt: skip
    return learned, judged


def longest_window(items: Items, settings: InventorySettings) -> int:
    """Days that a decision asked here may reach: positions are asked at up to twice the lead time, see `varied`."""
    return int(items.lead_days.max(initial=0)) * 2 + settings.review_days


class Known(NamedTuple):
    """What a date knows: the items that are old enough by their rows in the panel, their histories without blanks, and
    their forecasts (None: decisions rest on windows of the past)."""

    rows: Ints
    history: Panel
    forecast: Forecast | None


@dataclass(frozen=True, eq=False)
class Told:
    """What is known at a date, and what is asked there. `known` is None where no item is old enough."""

    panel: Panel
    items: Items
    settings: InventorySettings
    blanks: Blanks
    foresee: Foresee | None

    def known(self, chosen: Ints, origin: int) -> Known | None:
        history = self.panel.until(origin)
        rows = history.index_of(self.items.ids[chosen])
        old = rows >= 0
        old[old] = history.lengths[rows[old]] >= LEAST_PERIODS
        if not old.any():
            return None
        known = history.take(rows[old]).with_blanks_filled(self.blanks)
        known = replace(known, y=np.maximum(known.y, 0.0))
        return Known(chosen[old], known, self.foresee(known) if self.foresee else None)

    def widths(self, known: Sequence[Known | None]) -> tuple[float, ...]:
        """How much further totals lay from these forecasts than their paths say; () on paths of the past."""
        longest, past = longest_window(self.items, self.settings), []
        for one in known:
            if one is not None and one.forecast is not None:
                origin = one.history.end
                came = self.panel.window(origin + 1, Days.after(self.panel.calendar, origin, longest).periods)
                past.append(Came(one.forecast, one.history, np.maximum(came, 0.0)[one.rows]))
        return widths_of(past, self.settings.paths)

    def asked(
        self, known: Known | None, copies: int, seed: int, widths: tuple[float, ...]
    ) -> tuple[Questions, Ints] | None:
        """The decisions about what is known, and each one's row in the panel."""
        if known is None:
            return None
        rows, history, forecast = known
        mean = np.add.reduceat(history.y, history.indptr[:-1]) / history.lengths / history.calendar.days_per_period
        which, asked = varied(self.items.take(rows), mean, self.settings.review_days, copies, seed + history.end)
        return ask(history, which, asked, self.settings, forecast, widths), rows[which]


def _judged(
    panel: Panel, found: list[tuple[Questions, Ints]], fitted: FittedSurrogate, settings: InventorySettings,
    same_service: tuple[str, ...] = (),
) -> Judged:  # fmt: skip
    """The decisions priced on their paths and on what followed; those whose window is not wholly known are left out."""
    parts = []
    for questions, series in found:
        reach = int((questions.items.lead_days + settings.review_days).max())
        days = Days.after(panel.calendar, questions.origin, reach)
        future = np.maximum(panel.window(questions.origin + 1, days.periods), 0.0)[series]
        kept = np.flatnonzero(np.isfinite(days.spread(future)).all(axis=1))
        parts.append(_part(questions, days, future, kept, fitted, settings, same_service))
    return joined(parts)


def _part(
    questions: Questions, days: Days, future: Floats, kept: Ints, fitted: FittedSurrogate, settings: InventorySettings,
    same_service: tuple[str, ...],
) -> Judged:  # fmt: skip
    def actual(rows: Ints, length: int) -> Floats:
        daily = Days(days.step[:length], days.share[:length]).spread(future[kept[rows]])
        return np.asarray(daily[:, None, :])

    def sample(rows: Ints, length: int) -> Floats:
        return np.asarray(questions.sample(kept[rows], length))

    best = questions.optimum
    best = replace(best, quantity=best.quantity[kept], outcome=_pick(best.outcome, kept), idle=_pick(best.idle, kept),
                   reached=best.reached[kept], binding=best.binding[kept])  # fmt: skip
    items = questions.items.take(kept)
    proposed = fitted.quantity(questions.items, questions.facts)[kept]
    answered = checked(items, proposed, sample, settings.review_days, settings.paths, settings.memory_mb)
    quantities = {SURROGATE: answered, **{name: q[kept] for name, q in questions.simple.items()}}
    return judge(items, best, quantities, sample, actual, settings.review_days, settings.paths,
                 settings.memory_mb, same_service)  # fmt: skip


def _pick(outcome: Outcome, rows: Ints) -> Outcome:
    return Outcome(outcome.cost[rows], outcome.short[rows], outcome.demanded[rows])


def _merged(parts: list[Questions]) -> tuple[Items, Facts, Floats]:
    items = Items(**{f.name: np.concatenate([getattr(q.items, f.name) for q in parts]) for f in fields(Items)})
    facts = Facts(**{f.name: np.concatenate([getattr(q.facts, f.name) for q in parts]) for f in fields(Facts)})
    return items, facts, np.concatenate([q.optimum.quantity for q in parts])
