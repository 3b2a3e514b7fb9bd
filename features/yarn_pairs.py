"""May yarn b replace yarn a? Seven features of a pair, over many pairs at once, and the rule that rests on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from demand.company.notation import CONSTRUCTIONS
from features.yarn_catalogue import Floats, Ints, YarnCatalogue
from features.yarn_settings import SubstitutionSettings

FEATURES = ("color_similarity", "weight_similarity", "material_match", "price_ratio", "availability_score",
            "quality_score", "supplier_reliability")  # fmt: skip
COLOR, WEIGHT, MATERIAL, PRICE, AVAILABLE, QUALITY, RELIABLE = range(len(FEATURES))
MISMATCH = 0.7  # of quality, for each process that one yarn has and the other has not
PAIRS_AT_ONCE = 2_000_000  # 150 MB of features and the arrays they are made from
_QUALITY = MISMATCH ** np.array([bin(byte).count("1") for byte in range(256)])  # by the bits that differ


class Pairs(NamedTuple):
    """P ordered pairs: places of a and b in the catalogue, [P] each."""

    a: Ints
    b: Ints


def pair_features(yarns: YarnCatalogue, pairs: Pairs, settings: SubstitutionSettings) -> Floats:
    """[P, 7] in the order of FEATURES; NaN where what a feature needs is not known.

    color_similarity      1 when the normalised colours are the same, else 0
    weight_similarity     smaller / larger of total denier, or of resultant count; 0 for filament against spun
    material_match        1 when the main fibre is the same, its percentages at most material_points apart, else 0
    price_ratio           cost of b / cost of a, per pound
    availability_score    min(1, balance of b on the shelf / shortage of a); without a shortage 1 when b has stock, else
                          0. A balance below zero is none
    quality_score         .7 to the power of the processes that one has and the other has not
    supplier_reliability  on-time share of b's supplier, see `yarn_catalogue.on_time_shares`
    """
    a, b = pairs
    out = np.empty((len(a), len(FEATURES)))
    out[:, COLOR] = _same(yarns.color_code, a, b)
    out[:, WEIGHT] = weight_similarity(yarns, pairs)
    out[:, MATERIAL] = _material(yarns, pairs, settings.material_points)
    out[:, PRICE] = yarns.cost[b] / yarns.cost[a]
    out[:, AVAILABLE] = _availability(yarns.theoretical[b], yarns.shortage[a])
    out[:, QUALITY] = _quality(yarns, pairs)
    out[:, RELIABLE] = yarns.reliability[b]
    return out


def weight_similarity(yarns: YarnCatalogue, pairs: Pairs) -> Floats:
    """[P] see `pair_features`."""
    a, b = pairs
    low, high = np.minimum(yarns.total[a], yarns.total[b]), np.maximum(yarns.total[a], yarns.total[b])
    other = yarns.construction[a] != yarns.construction[b]
    found: Floats = np.where(np.isnan(low), np.nan, np.where(other, 0.0, low / high))
    return found


def rule_score(features: Floats, settings: SubstitutionSettings) -> Floats:
    """[P] what answers without labels: material_match x weight_similarity x quality_score, and x rule_color where the
    colours are not known to be the same. Yes from `rule_threshold` on. What is not known counts as 0: nothing is
    recommended on a guess."""
    return _rule(features[:, COLOR], features[:, WEIGHT], features[:, MATERIAL], features[:, QUALITY], settings)


def _score(yarns: YarnCatalogue, pairs: Pairs, weight: Floats, settings: SubstitutionSettings) -> Floats:
    """The same from the yarns, without the features that it does not need."""
    color, material = _same(yarns.color_code, *pairs), _material(yarns, pairs, settings.material_points)
    return _rule(color, weight, material, _quality(yarns, pairs), settings)


def _rule(color: Floats, weight: Floats, material: Floats, quality: Floats, settings: SubstitutionSettings) -> Floats:
    score: Floats = np.nan_to_num(material * weight * quality) * np.where(color == 1.0, 1.0, settings.rule_color)
    return score


class Candidates:
    """For each yarn the others that are worth comparing, by an index over main fibre, construction and weight.

    Yarns of one fibre and construction lie together, ascending by weight: a yarn's candidates are one run of them,
    found by two binary searches, so that the product of all yarns with all others is never made.
    """

    def __init__(self, yarns: YarnCatalogue, settings: SubstitutionSettings) -> None:
        self._yarns, self._settings = yarns, settings
        readable = (yarns.family != "") & ~np.isnan(yarns.total)
        self._group = np.where(readable, yarns.family_code * len(CONSTRUCTIONS) + yarns.construction, -1)
        usable = np.flatnonzero(readable & (np.nan_to_num(yarns.theoretical, nan=-1.0) > settings.min_stock_lb))
        self._weights = np.unique(yarns.total[usable])
        keys = self._keys(self._group[usable], np.searchsorted(self._weights, yarns.total[usable]))
        order = np.lexsort((usable, keys))
        self._members: Ints = usable[order]
        self._sorted: Ints = keys[order]

    def runs(self, a: Ints) -> tuple[Ints, Ints]:
        """First and end place [len(a)] of each yarn's candidates among the members; none for an unread text."""
        group, total, band = self._group[a], self._yarns.total[a], self._settings.weight_band
        slack = 1e-12  # a candidate exactly at the band is one
        low = np.searchsorted(self._weights, total * band * (1 - slack), side="left")
        high = np.searchsorted(self._weights, total / band * (1 + slack), side="right")
        first = np.searchsorted(self._sorted, self._keys(group, low), side="left")
        end = np.searchsorted(self._sorted, self._keys(group, high), side="left")
        unread = group < 0
        return np.where(unread, 0, first), np.where(unread, 0, end)

    def _keys(self, group: Ints, weight: Ints) -> Ints:
        """One number that sorts by group, then by the rank of the weight."""
        return np.asarray(group * (len(self._weights) + 1) + weight, dtype=np.int64)

    def pairs(self, a: Ints) -> Iterator[Pairs]:
        """All pairs of these yarns with their candidates, in parts of about PAIRS_AT_ONCE, a yarn with itself too."""
        first, end = self.runs(a)
        counts = end - first
        # Whole yarns in each part: a part ends where the running total passes the next multiple.
        part = (np.cumsum(counts) - counts) // PAIRS_AT_ONCE
        for which in np.split(np.arange(len(a)), np.flatnonzero(np.diff(part)) + 1):
            n = counts[which]
            place = np.repeat(first[which] - (np.cumsum(n) - n), n) + np.arange(int(n.sum()))
            yield Pairs(np.repeat(a[which], n), self._members[place])

    def best(self, a: Ints) -> tuple[Pairs, Floats]:
        """Of each yarn its `max_candidates` best pairs by the rule, and their features [P, 7]; no yarn with itself.

        Equal scores are ordered by weight similarity, then by the place in the catalogue: the same yarns give the same
        candidates, however they are asked for.
        """
        # Yarns whose texts say the same have the same candidates in the same order: these are looked for once.
        leads, same = self._alike(a)
        found, most = self._ranked(leads), self._settings.max_candidates
        n = (
            np.bincount(np.searchsorted(leads, found.a), minlength=len(leads))
            if len(leads)
            else np.array([], dtype=int)
        )
        starts, counts = np.cumsum(n) - n, n[same]
        place = np.repeat(starts[same] - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
        left, right = np.repeat(a, counts), found.b[place]
        other = left != right
        left, right = left[other], right[other]
        kept = rank_within(np.repeat(np.arange(len(a)), counts)[other]) < most
        pairs = Pairs(left[kept], right[kept])
        return pairs, pair_features(self._yarns, pairs, self._settings)

    def _alike(self, a: Ints) -> tuple[Ints, Ints]:
        """One yarn, ascending, for each set of texts that read the same; and for each of `a` the place of its own."""
        y = self._yarns
        said = np.column_stack([
            self._group[a], y.total[a], y.share[a], y.color_code[a], y.processes[a],
        ])  # fmt: skip
        _, first, same = np.unique(np.nan_to_num(said, nan=-1.0), axis=0, return_index=True, return_inverse=True)
        leads = a[first]
        order = np.argsort(leads, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return leads[order], place[same.ravel()]

    def _ranked(self, a: Ints) -> Pairs:
        """The best pairs of each of these yarns, one more than is kept (it may be the yarn itself); a ascending."""
        kept = [Pairs(a[:0], a[:0])]
        for part in self.pairs(a):
            weight = weight_similarity(self._yarns, part)
            score = _score(self._yarns, part, weight, self._settings)
            order = np.lexsort((part.b, -np.nan_to_num(weight), -score, part.a))
            chosen = order[rank_within(part.a[order]) <= self._settings.max_candidates]
            kept.append(Pairs(part.a[chosen], part.b[chosen]))
        return Pairs(np.concatenate([p.a for p in kept]), np.concatenate([p.b for p in kept]))


def rank_within(groups: NDArray[np.int64]) -> Ints:
    """[P] place of each row in its run of equal group numbers, from 0."""
    if not len(groups):
        return np.array([], dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def _quality(yarns: YarnCatalogue, pairs: Pairs) -> Floats:
    found: Floats = _QUALITY[yarns.processes[pairs.a] ^ yarns.processes[pairs.b]]
    return found


def _same(codes: Ints, a: Ints, b: Ints) -> Floats:
    """[P] 1 where the codes are the same, 0 where not, NaN where one is not known."""
    left, right = codes[a], codes[b]
    return np.where((left >= 0) & (right >= 0), (left == right).astype(np.float64), np.nan)


def _material(yarns: YarnCatalogue, pairs: Pairs, points: float) -> Floats:
    a, b = pairs
    apart = np.abs(yarns.share[a] - yarns.share[b])
    # Rounded: 58.1 and 54.1 are 4 points apart, though not in binary.
    within = np.where(np.isnan(apart), np.nan, (np.round(apart, 9) <= points).astype(np.float64))
    same = _same(yarns.family_code, a, b)
    return np.where(same == 1.0, within, same)


def _availability(balance: Floats, shortage: Floats) -> Floats:
    held = np.maximum(balance, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.minimum(1.0, held / shortage)
    whole = np.where(held > 0, 1.0, 0.0)
    found: Floats = np.where(shortage > 0, share, whole)
    return np.where(np.isnan(shortage) | np.isnan(balance), np.nan, found)
