"""How good one model was over past origins: the measures of a backtest, as strict-JSON-ready dictionaries.

The contract's `M` object is `measure(results)`: every fold and series pooled. A measure that is undefined is None, with
the reason in `reasons`; nothing here is ever NaN or infinite.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demand.errors import DataError
from demand.panel import Floats, Ints, Strings
from evaluation import formulas as f
from evaluation.results import FoldResult

Measures = dict[str, Any]

_WHY = {
    "wape": "nothing was sold in the scored window",
    "mape": "no scored period had demand",
    "r2": "the actual values do not vary",
    "directional_accuracy": "demand never changed from one step to the next",
    "mase": "no series has an in-sample seasonal-naive error above 0",
    "rmsse": "no series has an in-sample naive error above 0",
    "coverage": "the forecast states no symmetric interval",
}
_WHY |= dict.fromkeys(("accuracy", "bias_rel", "wql", "total_error", "total_error_by_style"), _WHY["wape"])
_WHY["width"] = _WHY["coverage"]
_NOTHING = "no actual value is known"
_OVERFLOW = "the values are too large to be measured"


@dataclass(frozen=True, eq=False)
class _Pooled:
    """All rows (series x folds) of one model, end to end: M rows, H steps."""

    ids: Strings
    fold: Ints  # [M] position of the fold
    actual: Floats
    mean: Floats
    quantiles: Floats
    levels: tuple[float, ...]
    actual_moves: Floats
    forecast_moves: Floats
    scale: Floats
    scale_sq: Floats
    fell_back: Floats  # [M] 1 where another model made the row

    @classmethod
    def of(cls, results: Sequence[FoldResult]) -> _Pooled:
        if not results:
            raise DataError("there is nothing to measure: no fold was scored")
        same = {(r.model, r.fold.horizon, r.forecast.levels) for r in results}
        if len(same) > 1:
            raise DataError(
                "results of one model, horizon and set of levels belong together", found=[str(item) for item in same]
            )
        for r in results:
            r.require_complete()
        actual = np.concatenate([r.actuals for r in results])
        mean = np.concatenate([r.forecast.mean for r in results])
        last = np.concatenate([r.last for r in results])
        return cls(
            ids=np.concatenate([r.forecast.ids for r in results]),
            fold=np.repeat(np.arange(len(results)), [len(r.forecast.ids) for r in results]),
            actual=actual,
            mean=mean,
            quantiles=np.concatenate([r.forecast.quantiles for r in results]),
            levels=results[0].forecast.levels,
            actual_moves=f.moves(actual, last),
            forecast_moves=f.moves(mean, last),
            scale=np.concatenate([r.scale for r in results]),
            scale_sq=np.concatenate([r.scale_sq for r in results]),
            fell_back=np.concatenate([r.forecast.made_by != r.model for r in results]).astype(np.float64),
        )

    @property
    def median(self) -> Floats:
        return self.quantiles[:, :, self.levels.index(0.5)]

    def step(self, k: int) -> _Pooled:
        """The same rows, step k (0 = the first) alone."""
        cut = slice(k, k + 1)
        return _Pooled(
            self.ids, self.fold, self.actual[:, cut], self.mean[:, cut], self.quantiles[:, cut], self.levels,
            self.actual_moves[:, cut], self.forecast_moves[:, cut], self.scale, self.scale_sq, self.fell_back,
        )  # fmt: skip


def measure(results: Sequence[FoldResult], baseline: Sequence[FoldResult] | None = None) -> Measures:
    """The contract's `M`: every measure over all folds, series and steps pooled.

    `baseline` are the yardstick's results on the same folds; its name and WAPE are shown beside. `coverage` and `width`
    are those of the widest stated interval (`interval`), all of them are in `intervals`. `mase` and `rmsse` are means
    over series x folds, each capped at 10. Raises DataError when there is no fold.
    """
    measured = _measure(_Pooled.of(results))
    measured["baseline"] = None
    if baseline is not None:
        pooled = _Pooled.of(baseline)
        yardstick = f.wape(pooled.actual, pooled.median)
        measured["baseline"] = {"name": baseline[0].model, "wape": yardstick if math.isfinite(yardstick) else None}
    measured["evaluation_id"] = evaluation_id(results)
    return measured


def by_step(results: Sequence[FoldResult]) -> list[Measures]:
    """`M` of each step ahead (`step` 1 .. H), all folds and series pooled."""
    pooled = _Pooled.of(results)
    return [{"step": k + 1, **_measure(pooled.step(k))} for k in range(pooled.actual.shape[1])]


def by_fold(results: Sequence[FoldResult]) -> list[Measures]:
    """`M` of each fold, with its `cutoff` (a period number) and its own evaluation_id, in the order given."""
    return [
        {"cutoff": r.fold.cutoff, **_measure(_Pooled.of([r])), "evaluation_id": evaluation_id([r])} for r in results
    ]


def _measure(rows: _Pooled) -> Measures:
    y, mean, median = rows.actual, rows.mean, rows.median
    n = int((~np.isnan(y)).sum())
    wape = f.wape(y, median)
    mape, n_used, n_zero = f.mape(y, median)
    directional, n_moves = f.directional_accuracy(rows.actual_moves, rows.forecast_moves)
    mase, n_mase = f.mase(y, median, rows.scale)
    rmsse, n_rmsse = f.rmsse(y, mean, rows.scale_sq)
    bounds = [(stated, rows.quantiles[:, :, low], rows.quantiles[:, :, high]) for stated, low, high in
              f.intervals(rows.levels)]  # fmt: skip
    spans = [(stated, f.coverage(y, low, high), f.width(y, low, high)) for stated, low, high in bounds]
    widest = spans[-1] if spans else (f.NAN, f.NAN, f.NAN)
    values = {
        "wape": wape,
        "accuracy": f.accuracy(wape),
        "bias": f.bias(y, mean),
        "bias_rel": f.bias_rel(y, mean),
        "mape": mape,
        "mae": f.mae(y, median),
        "rmse": f.rmse(y, mean),
        "r2": f.r2(y, mean),
        "directional_accuracy": directional,
        "mase": mase,
        "rmsse": rmsse,
        "quantile_loss": f.quantile_loss(y, rows.quantiles, rows.levels),
        "wql": f.wql(y, rows.quantiles, rows.levels),
        "coverage": widest[1],
        "width": widest[2],
        "total_error": f.total_error(y, mean, rows.fold),
        "total_error_by_style": f.total_error(y, mean, np.arange(len(y))),
    }
    numbers, reasons = _numbers_or_reasons(values, n)
    return {
        **numbers,
        "n": n,
        "n_rows": len(y),
        "n_used": n_used,
        "n_zero": n_zero,
        "n_used_by": {"mape": n_used, "directional_accuracy": n_moves, "mase": n_mase, "rmsse": n_rmsse},
        "n_fell_back": int(rows.fell_back.sum()),
        "interval": widest[0] if spans else None,
        "intervals": [
            {"stated": stated, "coverage": share if n else None, "width": wide if math.isfinite(wide) else None}
            for stated, share, wide in spans
        ],
        "reasons": reasons,
        "unit": "fraction",
    }


def _numbers_or_reasons(values: dict[str, float], n: int) -> tuple[dict[str, float | None], dict[str, str]]:
    numbers: dict[str, float | None] = {name: value if math.isfinite(value) else None for name, value in values.items()}
    reasons = {}
    for name, value in values.items():
        if math.isinf(value) or (math.isnan(value) and n and name not in _WHY):
            reasons[name] = _OVERFLOW
        elif math.isnan(value):
            reasons[name] = _WHY[name] if n else _NOTHING
    return numbers, reasons


def by_style(results: Sequence[FoldResult]) -> pd.DataFrame:
    """One row a style, all folds and steps pooled, ascending by unique_id; NaN = undefined, as in `formulas`.

    unique_id, n (scored cells), n_zero, n_origins, wape, mae, bias, bias_rel, rmse, mase, rmsse (means over origins,
    capped at 10), coverage (widest interval), total_error (sum over origins of |sum f - sum y|, over demand),
    n_fell_back (origins at which another model made the row).
    """
    rows = _Pooled.of(results)
    ids, style = np.unique(rows.ids, return_inverse=True)

    def total(values: Floats) -> Floats:
        return f.group_sum(style, np.nansum(values, axis=1), len(ids))

    def mean_of_rows(values: Floats) -> Floats:
        used = ~np.isnan(values)
        count = np.bincount(style[used], minlength=len(ids))
        return _over(f.group_sum(style[used], values[used], len(ids)), count)

    y, known = rows.actual, ~np.isnan(rows.actual)
    n, sold = total(known.astype(np.float64)), total(np.abs(y))
    error, signed = np.abs(rows.median - y), rows.mean - y
    spans = f.intervals(rows.levels)
    inside = np.full(len(ids), np.nan)
    if spans:
        _, low, high = spans[-1]
        hit = (y >= rows.quantiles[:, :, low]) & (y <= rows.quantiles[:, :, high]) & known
        inside = _over(total(hit.astype(np.float64)), n)
    with np.errstate(over="ignore"):
        squared = signed**2
    off_total = f.group_sum(style, np.abs(np.nansum(signed, axis=1)), len(ids))
    return pd.DataFrame(
        {
            "unique_id": ids,
            "n": n.astype(np.int64),
            "n_zero": total((y == 0).astype(np.float64)).astype(np.int64),
            "n_origins": np.bincount(style[known.any(axis=1)], minlength=len(ids)),
            "wape": _over(total(error), sold),
            "mae": _over(total(error), n),
            "bias": _over(total(signed), n),
            "bias_rel": _over(total(signed), sold),
            "rmse": np.sqrt(_over(total(squared), n)),
            "mase": mean_of_rows(f.scaled_rows(error, rows.scale)),
            "rmsse": mean_of_rows(f.scaled_rows(squared, rows.scale_sq, root=True)),
            "coverage": inside,
            "total_error": _over(off_total, sold),
            "n_fell_back": np.bincount(style, weights=rows.fell_back, minlength=len(ids)).astype(np.int64),
        }
    )


def _over(part: Floats, whole: Floats | Ints) -> Floats:
    with np.errstate(over="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


LEVELS = ("style_period", "style_total", "fleet_period", "fleet_total")


def levels(results: Sequence[FoldResult]) -> dict[str, Measures]:
    """The same errors at four levels of adding up: LEVELS, style x period (the headline) to fleet x horizon total.

    Each holds wape, accuracy, bias_rel, mape, n_used, n_zero, mae, rmse, r2, n, reasons. Style x period judges the
    median; totals judge the mean forecast, because medians do not add up. Totals run over known cells; a total without
    any is not scored.
    """
    rows = _Pooled.of(results)
    known = ~np.isnan(rows.actual)
    y, mean = np.where(known, rows.actual, 0.0), np.where(known, rows.mean, 0.0)
    n_folds, horizon = len(results), y.shape[1]

    def over_fleet(values: Floats) -> Floats:
        summed = np.zeros((n_folds, horizon))
        np.add.at(summed, rows.fold, values)
        return summed

    any_known = over_fleet(known.astype(np.float64)) > 0
    fleet_y = np.where(any_known, over_fleet(y), np.nan)
    fleet_mean = over_fleet(mean)
    return {
        "style_period": _level(rows.actual, rows.median, rows.mean),
        "style_total": _level(*_totals(rows.actual, rows.mean)),
        "fleet_period": _level(fleet_y, fleet_mean, fleet_mean),
        "fleet_total": _level(*_totals(fleet_y, fleet_mean)),
    }


def _totals(actual: Floats, mean: Floats) -> tuple[Floats, Floats, Floats]:
    """[N, 1] sums over the known cells of each row, twice the forecast's: as median and as mean."""
    known = ~np.isnan(actual)
    total = np.where(known.any(axis=1), np.nansum(actual, axis=1), np.nan)[:, None]
    forecast = np.where(known, mean, 0.0).sum(axis=1)[:, None]
    return total, forecast, forecast


def _level(actual: Floats, point: Floats, mean: Floats) -> Measures:
    wape = f.wape(actual, point)
    mape, n_used, n_zero = f.mape(actual, point)
    n = n_used + n_zero
    values = {
        "wape": wape,
        "accuracy": f.accuracy(wape),
        "bias_rel": f.bias_rel(actual, mean),
        "mape": mape,
        "mae": f.mae(actual, point),
        "rmse": f.rmse(actual, mean),
        "r2": f.r2(actual, mean),
    }
    numbers, reasons = _numbers_or_reasons(values, n)
    return {**numbers, "n": n, "n_used": n_used, "n_zero": n_zero, "reasons": reasons}


def evaluation_id(results: Sequence[FoldResult]) -> str:
    """A stable name of exactly these numbers: model, folds, series, truth, forecasts (sha256, first 16 hex digits)."""
    digest = hashlib.sha256()
    for r in results:
        said = (r.model, r.fold.cutoff, r.fold.horizon, r.forecast.freq, *r.forecast.levels)
        digest.update(repr(said).encode())
        digest.update("\n".join(r.forecast.ids.tolist()).encode())
        digest.update("\n".join(r.forecast.made_by.tolist()).encode())
        for numbers in (r.actuals, r.forecast.mean, r.forecast.quantiles):
            same = np.where(np.isnan(numbers), np.nan, numbers) + 0.0  # one NaN, one zero: bytes follow the value
            digest.update(np.ascontiguousarray(same, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]
