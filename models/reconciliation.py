"""Forecasts of styles, families and the total that agree: bottom-up, and MinT with variances measured per node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demand.errors import SHOWN, SettingsError
from demand.panel import Floats, Ints, Panel, Strings
from models.group_columns import check_named

TOTAL = "total"
KEY = "hierarchy.levels"
FLOOR = 1e-9  # of the mean variance: a node that was never wrong still gives way a little


@dataclass(frozen=True, eq=False)
class Tree:
    """Styles under nested groups, all of them under the total; level 0 are the styles.

    levels  L names, finest group first, `total` last
    nodes   per level the node names, ascending [K_l]
    parent  parent[0] [N]: each style's node of the first level; parent[l] [K_l-1]: each node's node one level up
    """

    levels: tuple[str, ...]
    nodes: tuple[Strings, ...]
    parent: tuple[Ints, ...]

    @classmethod
    def of(cls, panel: Panel, columns: Sequence[str]) -> Tree:
        """The tree that static columns name, finest first (family, then department).

        Raises SettingsError (key hierarchy.levels) for a column that the panel lacks or that is named twice, for
        styles without a value, for a column that gives every style a group of its own or all the same one, and where a
        group lies in two groups of the next column.
        """
        names: list[Strings] = []
        code: list[Ints] = []
        check_named(panel, columns, KEY, "the hierarchy names")
        for column in columns:
            found, place = np.unique(_labels(panel, column), return_inverse=True)
            _refuse_useless(panel, column, len(found))
            names.append(found)
            code.append(place.astype(np.int64))
        parent = code[:1]
        for k in range(1, len(columns)):
            parent.append(_above(code[k - 1], code[k], names[k - 1], columns[k - 1], columns[k]))
        parent.append(np.zeros(len(names[-1]) if names else panel.n_series, dtype=np.int64))
        return cls((*columns, TOTAL), (*names, np.array([TOTAL])), tuple(parent))

    def take(self, rows: Ints) -> Tree:
        """The tree over these styles alone [n]: nodes without any of them are left out."""
        nodes, parent, below = [], [], self.parent[0][rows]
        for level, names in enumerate(self.nodes):
            kept, place = np.unique(below, return_inverse=True)
            nodes.append(names[kept])
            parent.append(place.astype(np.int64))
            below = self.parent[level + 1][kept] if level + 1 < len(self.parent) else kept
        return Tree(self.levels, tuple(nodes), tuple(parent))

    def sums(self, styles: Floats) -> list[Floats]:
        """The styles [N, H] and what they add up to at each level: L + 1 arrays [K, H], styles first."""
        out = [styles]
        for parent, names in zip(self.parent, self.nodes, strict=True):
            out.append(_added(out[-1], parent, len(names)))
        return out

    def panels(self, history: Panel) -> list[Panel]:
        """The summed histories, one panel a level above the styles; y must be known (blanks filled).

        A node begins with its first style.
        """
        out, below = [], history
        for parent, names in zip(self.parent, self.nodes, strict=True):
            below = summed(below, parent, names)
            out.append(below)
        return out


def min_trace(tree: Tree, base: Sequence[Floats], variance: Sequence[Floats]) -> Floats:
    """The styles' means [N, H] whose sums lie nearest to all base forecasts, weighed by how wrong each node has been.

    base: L + 1 arrays [K, H], not negative, styles first; variance: L + 1 arrays [K], mean squared errors of the same
    nodes. Generalised least squares with a diagonal covariance (MinT "wls_var", Wickramasuriya, Athanasopoulos and
    Hyndman 2019), by message passing along the tree instead of a matrix: up, each node's own forecast is averaged with
    the sum of its children by precision; down, what a node gained is shared among its children by variance. No value is
    negative: below each node the children's answer is the nearest one that is not (Michelot 1986).
    """
    v = _floored(variance)
    mean, spread = [base[0]], [v[0]]
    added: list[Floats] = []
    pooled: list[Floats] = []
    for level, (parent, names) in enumerate(zip(tree.parent, tree.nodes, strict=True), start=1):
        total = _added(mean[-1], parent, len(names))
        uncertain = np.bincount(parent, weights=spread[-1], minlength=len(names)).astype(np.float64)
        gain = uncertain / (uncertain + v[level])
        mean.append(total + gain[:, None] * (base[level] - total))
        spread.append(uncertain * (1 - gain))
        added.append(total)
        pooled.append(uncertain)
    answer = mean[-1]
    for level in range(len(tree.parent) - 1, -1, -1):
        answer = _shared(answer, mean[level], spread[level], tree.parent[level], added[level], pooled[level])
    return answer


def _shared(
    answer: Floats, mean: Floats, spread: Floats, parent: Ints, added: Floats, pooled: Floats
) -> Floats:  # fmt: skip
    """The children [K, H] of nodes whose values are settled at `answer`: nearest to `mean`, not negative."""
    excess, free = (added - answer)[parent], np.ones(mean.shape, dtype=bool)
    share = np.broadcast_to(pooled[parent][:, None], mean.shape)
    n = len(answer)
    while True:
        out: Floats = np.where(free, mean - excess / share * spread[:, None], 0.0)
        negative = out < 0
        if not negative.any():
            return out
        free &= ~negative
        left = _added(np.where(free, mean, 0.0), parent, n) - answer
        width = _added(np.where(free, spread[:, None], 0.0), parent, n)
        # Where rounding took the last child of a node that is to hold next to nothing, it holds nothing.
        excess, share = left[parent], np.where(width > 0, width, 1.0)[parent]


def _floored(variance: Sequence[Floats]) -> list[Floats]:
    usual = float(np.mean(np.concatenate([np.atleast_1d(v) for v in variance])))
    return [np.maximum(v, FLOOR * usual if usual > 0 else 1.0) for v in variance]


def _added(values: Floats, parent: Ints, n: int) -> Floats:
    """[n, H]: the rows [K, H] of each parent, added up."""
    out = np.zeros((n, values.shape[1]))
    np.add.at(out, parent, values)
    return out


def summed(panel: Panel, parent: Ints, names: Strings) -> Panel:
    """A series a group [K], ascending names: the sum of its series [N], from the first one's start; y must be known."""
    start = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(start, parent, panel.start)
    indptr = np.concatenate([[0], np.cumsum(panel.end - start + 1)]).astype(np.int64)
    node = parent[panel.series_of]
    y = np.bincount(indptr[node] + panel.periods - start[node], weights=panel.y, minlength=int(indptr[-1]))
    return Panel(names, indptr, y.astype(np.float64), panel.end, panel.freq, unit=panel.unit)


def _labels(panel: Panel, column: str) -> Strings:
    values = panel.static[column]
    blank = np.array([value is None or value != value or not str(value).strip() for value in values], dtype=bool)
    if blank.any():
        raise SettingsError(
            "styles without a value have no place in the hierarchy", key=KEY, column=column, count=int(blank.sum()),
            first=panel.ids[blank][:SHOWN].tolist(), hint="Fill the column for every style, or leave the level out",
        )  # fmt: skip
    return np.array([str(value).strip() for value in values], dtype=str)


def _refuse_useless(panel: Panel, column: str, n: int) -> None:
    if n == panel.n_series or n == 1:
        found = "a group of its own for every style" if n > 1 else "the same group for all styles"
        raise SettingsError(
            "the column makes no level between styles and total", key=KEY, column=column, found=found,
            styles=panel.n_series, hint="Leave it out; the total is always there",
        )  # fmt: skip


def _above(lower: Ints, upper: Ints, names: Strings, column: str, above: str) -> Ints:
    """[K]: the upper group of each lower one."""
    pairs = np.unique(np.stack([lower, upper]), axis=1)
    several = np.unique(pairs[0][1:][pairs[0][1:] == pairs[0][:-1]])
    if len(several):
        raise SettingsError(
            f"groups of {column} lie in several groups of {above}", key=KEY, count=len(several),
            first=names[several][:SHOWN].tolist(), hint="Name levels that are nested, finest first",
        )  # fmt: skip
    return np.asarray(pairs[1], dtype=np.int64)
