"""What may stand in for a yarn: candidates by an index, ranked by the classifier or, without one, by the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from demand.errors import SettingsError, VersionUnreadable
from demand.settings import build
from features.yarn_catalogue import Floats, Ints, YarnCatalogue
from features.yarn_pairs import (
    AVAILABLE,
    COLOR,
    MATERIAL,
    PRICE,
    QUALITY,
    WEIGHT,
    Candidates,
    Pairs,
    rank_within,
    rule_score,
)
from features.yarn_pairs import FEATURES as FEATURES  # the columns of `Ranked.features`, for those who show them
from features.yarn_settings import SubstitutionSettings
from models.decision_release import MODEL
from models.files import read_arrays, read_json, write_arrays, write_json
from models.release import Release
from models.yarn_substitution import KIND, RULE, FittedSubstitution

CATALOGUE, SETTINGS = "catalogue.npz", "settings.json"
YARNS = "yarns"  # the folder of a release that holds the yarns as they were


class Ranked(NamedTuple):
    """P candidates, the best of each yarn first: pairs, features [P, 7], score [P] by which they are ranked (the
    probability of a classifier, or the rule's), recommended [P], rank [P] from 1."""

    pairs: Pairs
    features: Floats
    score: Floats
    recommended: NDArray[np.bool_]
    rank: Ints


@dataclass(frozen=True, eq=False)
class Substitutes:
    """The yarns as they were, and who ranks them: `model`, or the rule where there is none."""

    yarns: YarnCatalogue
    settings: SubstitutionSettings
    model: FittedSubstitution | None = None

    @property
    def made_by(self) -> str:
        return RULE if self.model is None else KIND

    @cached_property
    def candidates(self) -> Candidates:
        """The index; made when it is first asked."""
        return Candidates(self.yarns, self.settings)

    def rank(self, a: Ints, top: int) -> Ranked:
        """The best `top` candidates of each of these yarns, each named once, in the order of `a`.

        Of equal score the cheaper one comes first, then the one with more of the shortage on the shelf, then by id.
        """
        pairs, features = self.candidates.best(a)
        if self.model is None:
            score, limit = rule_score(features, self.settings), self.settings.rule_threshold
        else:
            score, limit = self.model.probability(features), 0.5
        owner = np.repeat(np.arange(len(a)), _runs(a, pairs.a))
        price = np.nan_to_num(features[:, PRICE], nan=np.inf)
        order = np.lexsort((pairs.b, -np.nan_to_num(features[:, AVAILABLE]), price, -score, owner))
        place = rank_within(owner[order])
        order = order[place < top]
        chosen = score[order]
        return Ranked(Pairs(pairs.a[order], pairs.b[order]), features[order], chosen, chosen >= limit,
                      rank_within(owner[order]) + 1)  # fmt: skip

    def short(self) -> Ints:
        """The yarns with a shortage, the largest first."""
        shortage = np.nan_to_num(self.yarns.shortage)
        return np.lexsort((np.arange(len(shortage)), -shortage))[: int((shortage > 0).sum())]

    def columns(self, ranked: Ranked) -> dict[str, NDArray[Any]]:
        """A row a candidate, as tables and answers hold it; NaN = not known.

        probability is a classifier's; of the rule it is NaN, and `score` is the rule's own. price_difference: of b to
        a, per pound. available: more than `available_lb` on the shelf. imputed: the supplier has too few orders.
        """
        y, (a, b) = self.yarns, ranked.pairs
        probability = ranked.score if self.model is not None else np.full(len(a), np.nan)
        return {
            "yarn": y.yarn_id[a],
            "rank": ranked.rank,
            "substitute": y.yarn_id[b],
            "made_by": np.full(len(a), self.made_by),
            "probability": probability,
            "score": ranked.score,
            "recommended": ranked.recommended,
            **{name: ranked.features[:, k] for k, name in enumerate(FEATURES)},
            "imputed": y.imputed[b],
            "stock_lb": y.theoretical[b],
            "available": np.nan_to_num(y.theoretical[b]) > self.settings.available_lb,
            "shortage_lb": y.shortage[a],
            "cost_per_lb": y.cost[b],
            "price_difference": y.cost[b] - y.cost[a],
            "supplier": y.supplier[b],
            "description": y.description[b],
            "reading": y.reading[b],
            "why": self.reasons(ranked),
        }

    def reasons(self, ranked: Ranked) -> NDArray[np.object_]:
        """[P] each candidate in words, from the values it was judged by."""
        y, s, x = self.yarns, self.settings, ranked.features
        a, b = ranked.pairs
        weight = x[:, WEIGHT]
        parts = [
            _said(x[:, COLOR], "same colour", "another colour", "colour not stated"),
            np.select(
                [np.isnan(weight), weight >= s.weight_match, weight >= s.weight_close],
                ["weight not readable", "weight matches", "weight is close"],
                "weight differs",
            ).astype(object),
            _said(x[:, MATERIAL], "same fibres", "other fibres", "fibres not wholly stated"),
            _said((x[:, QUALITY] == 1).astype(float), "made alike", "made another way", ""),
            _prices(x[:, PRICE]),
            _stock(y.theoretical[b], y.shortage[a]),
            _on_time(y.reliability[b], y.imputed[b]),
        ]
        joined = parts[0]
        for part in parts[1:]:
            joined = joined + "; " + part
        return joined

    def why_none(self, place: int) -> str:
        """Why a yarn has no candidate, in words."""
        if self.yarns.family[place] == "" or np.isnan(self.yarns.total[place]):
            return "its text cannot be read"
        return "no other yarn of its fibre and weight has stock"

    def save(self, folder: Path) -> None:
        """The yarns and the limits; the model is kept beside them by whoever trains it."""
        write_arrays(folder / CATALOGUE, self.yarns.arrays())
        write_json(folder / SETTINGS, asdict(self.settings))

    @classmethod
    def load(cls, folder: Path, model: FittedSubstitution | None) -> Substitutes:
        """As it was saved. Raises VersionUnreadable."""
        try:
            yarns = YarnCatalogue.from_arrays(read_arrays(folder / CATALOGUE))
            told: Mapping[str, Any] = read_json(folder / SETTINGS)
            settings = build(SubstitutionSettings, told, "settings")
        except (KeyError, TypeError, ValueError, SettingsError) as error:
            raise VersionUnreadable("the stored yarns cannot be used", folder=folder.name, cause=str(error)) from None
        return cls(yarns, settings, model)


def model_of(release: Release | None) -> FittedSubstitution | None:
    """The classifier that a release keeps, whether it ranks there or not; None where there is none."""
    if release is None or not release.manifest["models"]:
        return None
    return FittedSubstitution.load(release.file(MODEL))


def open_substitutes(release: Release) -> Substitutes:
    """What a release answers with: its classifier, or the rule where that served. Raises VersionUnreadable."""
    return Substitutes.load(release.file(YARNS), None if ruled(release) else model_of(release))


def ruled(release: Release) -> bool:
    """Whether the rule ranks in a release, with or without a classifier kept beside it."""
    return bool(release.manifest["served"] == RULE)


def _runs(a: Ints, found: Ints) -> Ints:
    """How many of the pairs belong to each of `a`: pairs come in the order of `a`, some yarns have none."""
    counts = np.bincount(found, minlength=int(a.max()) + 1 if len(a) else 0)
    return counts[a]


def _said(values: Floats, yes: str, no: str, unknown: str) -> NDArray[np.object_]:
    words: NDArray[np.object_] = np.select([np.isnan(values), values == 1], [unknown, yes], no).astype(object)
    return words


def _prices(ratio: Floats) -> NDArray[np.object_]:
    """`5 % cheaper`, `the same price`, `price not known`."""
    points = np.round(np.nan_to_num(100 * (ratio - 1), posinf=0.0))
    amount = np.abs(points).astype(np.int64).astype(str).astype(object)
    told = np.where(points == 0, "the same price", amount + np.where(points < 0, " % cheaper", " % dearer"))
    return np.where(np.isnan(ratio), "price not known", told).astype(object)


def _stock(held: Floats, shortage: Floats) -> NDArray[np.object_]:
    """`800 lb on the shelf cover the 400 lb that are short`."""
    pounds = _whole(held) + " lb on the shelf"
    need = _whole(shortage)
    cover = np.where(
        held >= shortage, " cover the " + need + " lb that are short", " of " + need + " lb that are short"
    )
    return np.where(np.isnan(held), "stock not known", pounds + np.where(shortage > 0, cover, "")).astype(object)


def _on_time(share: Floats, imputed: NDArray[np.bool_]) -> NDArray[np.object_]:
    assumed = np.where(imputed, " (assumed: too few orders)", "").astype(object)
    told: NDArray[np.object_] = "supplier on time " + _whole(100 * share) + " %" + assumed
    return told


def _whole(values: Floats) -> NDArray[np.object_]:
    """Whole numbers as text, with commas between thousands."""
    rounded = np.round(np.nan_to_num(values)).astype(np.int64)
    distinct, place = np.unique(rounded, return_inverse=True)
    return np.array([f"{n:,}" for n in distinct.tolist()] or [""], dtype=object)[place.ravel()]
