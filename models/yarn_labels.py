"""Judged pairs of yarns: how they are split so that nothing is known twice, and how scores become probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints

_EDGE = 1e-3  # forests say 0 and 1 of what they have not seen: without it a logit would be infinite


@dataclass(frozen=True, eq=False)
class Labelled:
    """P pairs that somebody judged: features [P, 7], y [P] 1 or 0, a and b [P] numbers of the yarns, when [P] the day
    of the judgement as a number (larger is newer)."""

    features: Floats
    y: Ints
    a: Ints
    b: Ints
    when: Ints

    def newest(self, most: int) -> Labelled:
        """At most this many pairs, the newest; in their own order."""
        if len(self.y) <= most:
            return self
        kept = np.sort(np.argsort(self.when, kind="stable")[-most:])
        return replace(self, **{name: getattr(self, name)[kept] for name in ("features", "y", "a", "b", "when")})

    @property
    def yarns(self) -> Ints:
        """Numbers of all yarns in the pairs, ascending, each once."""
        return np.unique(np.concatenate([self.a, self.b]))


@dataclass(frozen=True, eq=False)
class Folds:
    """In which fold the yarns a and b of each pair lie [P]."""

    a: Ints
    b: Ints

    def split(self, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(train, test) [P] of one fold: pairs with neither yarn in it, and pairs whose candidate b is in it."""
        return (self.a != k) & (self.b != k), self.b == k


def folds_of(labelled: Labelled, n: int, seed: int) -> Folds:
    """The yarns cut into n folds of about the same size, by chance. A pair is tested in the fold of its candidate b,
    by a model that has seen no pair with a yarn of that fold: pairs that share a yarn are never on both sides."""
    yarns = labelled.yarns
    fold = np.random.default_rng(seed).permutation(np.arange(len(yarns)) % n)
    return Folds(fold[np.searchsorted(yarns, labelled.a)], fold[np.searchsorted(yarns, labelled.b)])


@dataclass(frozen=True)
class Calibration:
    """Platt's sigmoid on the logit of the forest's share of votes: two numbers, so that a few hundred labels carry it,
    and strictly rising, so that it makes no ties. (Isotonic regression needs about a thousand labels, and its steps
    would give neighbours in the ranking the same probability.)"""

    slope: float
    intercept: float

    @classmethod
    def of(cls, score: Floats, y: Ints) -> Calibration:
        """Fitted on scores of pairs that the model had not seen. Where they do not rise with the labels there is
        nothing to rank by: every pair gets the share of yes."""
        if len(np.unique(y)) < 2:
            return cls(0.0, float(_logit(np.array([(y.sum() + 0.5) / (len(y) + 1)]))[0]))
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=np.inf).fit(_logit(score)[:, None], y)
        slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
        if slope > 0:
            return cls(slope, intercept)
        return cls(0.0, float(_logit(np.array([y.mean()]))[0]))

    def __call__(self, score: Floats) -> Floats:
        """[P] probability that the label is yes."""
        said: Floats = 1.0 / (1.0 + np.exp(-(self.slope * _logit(score) + self.intercept)))
        return said


def cross_calibrated(score: Floats, y: Ints, fold: Ints) -> Floats:
    """[P] each fold's scores as probabilities, by a calibration that was fitted on the other folds alone."""
    said = np.empty(len(score))
    for k in np.unique(fold):
        own = fold == k
        said[own] = Calibration.of(score[~own], y[~own])(score[own])
    return said


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The pairs of the training, the fold each was tested in, and its probability there: calibrated on other folds."""

    labelled: Labelled
    fold: Ints
    probability: Floats


def _logit(score: Floats) -> Floats:
    inside = np.clip(score, _EDGE, 1 - _EDGE)
    found: Floats = np.log(inside / (1 - inside))
    return found
