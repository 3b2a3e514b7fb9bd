"""How the boosters of one pooled fit come about: cut by time, stop early, then learn from all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from demand.errors import FitError
from demand.panel import Floats, Ints
from models.base import FitContext
from models.xgboost_anchor import Anchor
from models.xgboost_boosters import Booster, Deadline, Part, Trained, predict, train
from models.xgboost_quantiles import ALPHAS, Spread
from models.xgboost_rows import TrainingRows

if TYPE_CHECKING:
    from models.xgboost import XGBoost

# Objectives whose answer is a quantity. The first learn what is left after the anchor; the others need labels that are
# not negative and learn the demand itself.
LEFTOVERS = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror")
RATIOS = ("count:poisson", "reg:tweedie", "reg:squaredlogerror")
CENTRE = 0.5  # the mean label: where the default base_score starts
# Most rows of each training: (the try that finds the rounds, the final fit); a try validates on half as many.
POINT_ROWS = (60_000, 120_000)
QUANTILE_ROWS = (42_000, 70_000)
FEWEST = 200  # rows that each side of the validation cut must keep
# Rounds made at least, over the learning rate (30 at .1): the few validation origins of a short or noisy history often
# stop at once. 20 to 40 rounds were better than 1 to 10 on every fleet measured; sparse ones want 20, smooth ones 80.
LEAST_ROUNDS = 3.0
# Rounds over the learning rate where the history is too short to find their number (60 at .1): all 200 learned the
# noise of two years of monthly parts (RMSSE +5 %, a part's total +17 % at origins that no score sees).
BLIND_ROUNDS = 6.0
# What a row counts, in observations. One period's demand is the target of many rows (each origin that can see it), so
# that rows are not independent: at 1 each, `min_child_weight` and `reg_lambda` of 1 restrain nothing. Of 1, 1/20 and
# 1/50 chosen at origins that no score sees: better on eight of nine public fleets (WAPE 1 to 3 %).
ROW_WEIGHT = 1 / 20
QUANTILE_POWER = 0.5  # of a row's scale, in the quantiles' loss: between every style alike and every unit alike
WILD = 1.0  # the largest ratio kept, in multiples of the one that one row in a thousand passes
HEAVIEST = 10.0
POINT_BINS, QUANTILE_BINS = 128, 64  # histogram bins: a quantile booster costs ten times a squared error
# Of the deadline, in the order of the work: both boosters on the older origins, then both on all.
TRY_POINT, TRY_QUANTILE, FINAL_POINT, FINAL_QUANTILE = 0.15, 0.5, 0.65, 1.0


@dataclass(frozen=True)
class Label:
    """The booster's label and the way back: demand = anchor * leftover + factor * label + shift, in units of scale."""

    leftover: bool
    factor: float
    shift: float

    @classmethod
    def of(cls, demand: Floats, anchor: Floats, weight: Floats, objective: str) -> Label:
        """Labels whose weighted mean is CENTRE: a booster that stops after a few rounds is unbiased all the same."""
        if objective in LEFTOVERS:
            return cls(True, 1.0, float(np.average(demand - anchor, weights=weight)) - CENTRE)
        return cls(False, max(float(np.average(np.maximum(demand, 0.0), weights=weight)), 1e-9) / CENTRE, 0.0)

    def forward(self, demand: Floats, anchor: Floats) -> Floats:
        return demand - anchor - self.shift if self.leftover else np.maximum(demand, 0.0) / self.factor

    def back(self, answer: Floats, anchor: Floats) -> Floats:
        return answer * self.factor + self.shift + (anchor if self.leftover else 0.0)


@dataclass(frozen=True, eq=False)
class Learned:
    """What a fit keeps: the anchor rule, the two boosters, the label of the point booster, the spread, and figures."""

    anchor: Anchor
    point: Booster
    label: Label
    quantile: Booster
    spread: Spread
    facts: Mapping[str, Any]


def learn(
    recipe: XGBoost, rows: TrainingRows, horizon: int, levels: tuple[float, ...], context: FitContext, seed: int,
    deadline: Deadline,
) -> Learned:  # fmt: skip
    """Both boosters, stopped early on the newest origins when there is room for the cut, then fitted to all rows."""
    cut = validation_cut(rows.origin, horizon, recipe.validation_split) if recipe.early_stopping_rounds else None
    attempt = _Attempt(recipe, rows, context, seed, deadline)
    facts: dict[str, Any] = {"rows_available": rows.available, "rows_used": len(rows.y), "oldest_origin": rows.oldest}
    facts["series_used"] = len(np.unique(rows.series))
    everything = np.arange(len(rows.y))
    held = without_wild(rows.y)
    rounds = quantile_rounds = recipe.n_estimators
    spread = Spread.normal(levels)
    if cut is None:
        asked = recipe.early_stopping_rounds and recipe.validation_split
        if asked:
            blind = int(np.ceil(BLIND_ROUNDS / recipe.learning_rate))
            rounds = quantile_rounds = min(recipe.n_estimators, blind)
        facts["early_stopping"] = "off: " + (
            "the history is too short to keep its newest origins apart" if asked else "not asked for"
        )
    else:
        older, newer = cut
        anchor = Anchor.fit(rows.terms.take(older), held[older])
        tried = attempt.point(anchor, older, TRY_POINT, rounds, newer)[0]
        tried_quantile = attempt.quantile(anchor, older, TRY_QUANTILE, rounds, newer)
        least = min(recipe.n_estimators, int(np.ceil(LEAST_ROUNDS / recipe.learning_rate)))
        rounds, quantile_rounds = max(tried.rounds, least), max(tried_quantile.rounds, least)
        boosted = predict(tried_quantile.booster, rows.x[newer]) + anchor.at(rows.terms.take(newer))[:, None]
        spread = Spread.measured(levels, boosted, held[newer], rows.terms.sparse[newer])
        facts |= {"early_stopping": "on", "validation_rows": len(newer), "validation": dict(tried.scores)}
        facts["validation"]["quantile"] = tried_quantile.scores["quantile"]
    anchor = Anchor.fit(rows.terms, held)
    point, label = attempt.point(anchor, everything, FINAL_POINT, rounds)
    quantile = attempt.quantile(anchor, everything, FINAL_QUANTILE, quantile_rounds)
    facts |= {"rounds": point.rounds, "quantile_rounds": quantile.rounds}
    facts["stopped_by_time"] = point.cut_short or quantile.cut_short
    return Learned(anchor, point.booster, label, quantile.booster, spread, facts)


def validation_cut(origin: Ints, horizon: int, share: float) -> tuple[Ints, Ints] | None:
    """Rows to learn from and rows to stop on, cut by time: the newest `share` of the origins, and those whose whole
    horizon ended before them. None when either side would hold fewer than FEWEST rows."""
    distinct = np.unique(origin)
    held = int(np.ceil(share * len(distinct)))
    if not held or held >= len(distinct):
        return None
    first = distinct[-held]
    older, newer = np.flatnonzero(origin + horizon <= first), np.flatnonzero(origin >= first)
    return (older, newer) if min(len(older), len(newer)) >= FEWEST else None


def without_wild(y: Floats) -> Floats:
    """Demand in units of scale [R], held within WILD times the size that one row in a thousand passes: what the anchor
    and the spread are fitted to.

    A series that sold next to nothing and then an ordinary quantity is a ratio of thousands: one such row would rule
    them. The boosters learn from demand as it is: labels held alike gained nothing (evaluation/ACCURACY.md).
    """
    most = WILD * float(np.quantile(np.abs(y), 0.999))
    return np.clip(y, -most, most)


def mean_weights(scale: Floats) -> Floats:
    """Weights of rows [R] in a fit of the mean: the series' scale, at most HEAVIEST times the average.

    A row's error then counts in the source's unit, so that the fleet's total is unbiased from the first round on. With
    equal weights the wild ratios of nearly silent series rule the mean (carparts: bias +1.5, so weighted +.04).
    """
    return _relative(scale) * ROW_WEIGHT


def quantile_weights(scale: Floats) -> Floats:
    """Weights of rows [R] in a fit of the quantiles: a power of the series' scale, held as those of the mean are."""
    return _relative(scale**QUANTILE_POWER) * ROW_WEIGHT


def _relative(weight: Floats) -> Floats:
    return np.asarray(np.minimum(weight / weight.mean(), HEAVIEST))


@dataclass(frozen=True, eq=False)
class _Attempt:
    recipe: XGBoost
    rows: TrainingRows
    context: FitContext
    seed: int
    deadline: Deadline

    def point(
        self, anchor: Anchor, learn_from: Ints, share: float, rounds: int, stop_on: Ints | None = None
    ) -> tuple[Trained, Label]:
        """The configured objective. Its answer is the mean (of an absolute error: the median)."""
        recipe, rows = self.recipe, self.rows
        level = anchor.at(rows.terms)
        weight = mean_weights(rows.scale)
        label = Label.of(rows.y[learn_from], level[learn_from], weight[learn_from], recipe.objective)
        params = recipe.booster_params(recipe.threads(self.context), self.seed, POINT_BINS)
        params |= {"objective": recipe.objective, "base_score": recipe.base_score}
        params["eval_metric"] = list(recipe.eval_metric)
        labels = label.forward(rows.y, level)
        return self._train(params, labels, learn_from, stop_on, share, rounds, POINT_ROWS, weight), label

    def quantile(
        self, anchor: Anchor, learn_from: Ints, share: float, rounds: int, stop_on: Ints | None = None
    ) -> Trained:
        """Three quantiles in one booster, from a sample of the rows: each round costs ten of the squared error."""
        recipe, rows = self.recipe, self.rows
        params = recipe.booster_params(recipe.threads(self.context), self.seed, QUANTILE_BINS)
        params |= {"objective": "reg:quantileerror", "quantile_alpha": list(ALPHAS), "eval_metric": "quantile"}
        labels = rows.y - anchor.at(rows.terms)
        weight = quantile_weights(rows.scale)
        return self._train(params, labels, learn_from, stop_on, share, rounds, QUANTILE_ROWS, weight)

    def _sample(self, rows: Ints, most: int) -> Ints:
        if len(rows) <= most:
            return rows
        return np.sort(np.random.default_rng(self.seed).choice(rows, most, replace=False))

    def _train(
        self,
        params: dict[str, Any],
        labels: Floats,
        learn_from: Ints,
        stop_on: Ints | None,
        share: float,
        rounds: int,
        most: tuple[int, int],
        weight: Floats,
    ) -> Trained:
        self.deadline.check()
        x = self.rows.x
        if not np.isfinite(labels[learn_from]).all():
            raise FitError("labels are not finite", count=int((~np.isfinite(labels[learn_from])).sum()))

        def part(rows: Ints) -> Part:
            return Part(x[rows], labels[rows], weight[rows])

        return train(
            params, rounds, part(self._sample(learn_from, most[stop_on is None])), self.deadline, share,
            validation=None if stop_on is None else part(self._sample(stop_on, most[0] // 2)),
            patience=self.recipe.early_stopping_rounds, verbose=self.recipe.verbose,
        )  # fmt: skip
