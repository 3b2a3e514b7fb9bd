"""The conditional search of ARIMA's parameters: one linear filter an evaluation instead of a Kalman filter.

Box and Jenkins' conditional sum of squares: with w the differenced series, zero before its start, the shocks are
e = AR(L) / MA(L) w, and log mean e^2 is minimised. statsmodels' SARIMAX provides the differenced series, the starting
values and the transformation that enforces stationarity and invertibility. Where those are not enforced the search
stays in the box that just holds every stationary and invertible set: outside it the sum of squares of a short series
has minima that explode in the forecast.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats

SOLVERS = {"lbfgs": "L-BFGS-B", "bfgs": "BFGS", "nm": "Nelder-Mead", "powell": "Powell", "cg": "CG"}
Terms = tuple[int, int, int, int]  # AR, MA, seasonal AR, seasonal MA
EDGE = 0.98  # at 1 the series would be differenced once more than asked
INSIDE = 0.9  # starting values keep this share of their box
_BOUNDED = ("L-BFGS-B", "Nelder-Mead", "Powell")
_HOPELESS = 1e3  # log of a mean square that no forecast has: where the filter leaves the range of a float


def conditional_search(
    model: Any, terms: Terms, method: str, maxiter: int, disp: bool, watch: Callable[..., None]
) -> tuple[Floats, bool]:
    """Parameters in the model's order, and whether the search converged.

    model: a SARIMAX with simple differencing, no trend and no regression.
    terms: how many parameters of each kind there are. watch: called with the unconstrained parameters after every
    iteration.
    """
    from scipy.optimize import minimize

    box = _box(terms)
    given = np.asarray(model.start_params, dtype=np.float64)
    given[:-1] = np.clip(given[:-1], INSIDE * box[:, 0], INSIDE * box[:, 1])
    start = np.asarray(model.untransform_params(given), dtype=np.float64)
    moving, variance = start[:-1], start[-1:]  # the last one, the variance, follows from the others

    def constrained(free: Floats) -> Floats:
        return np.asarray(model.transform_params(np.concatenate([free, variance])), dtype=np.float64)

    def loss(free: Floats) -> float:
        params = constrained(free)
        if (params[:-1] < box[:, 0]).any() or (params[:-1] > box[:, 1]).any():
            return _HOPELESS
        mean_square = _mean_square(model, terms, params)
        return float(np.log(mean_square)) if 0 < mean_square < np.inf else _HOPELESS

    def seen(free: Floats, *_: Any) -> None:
        watch(np.concatenate([free, variance]))

    solver = SOLVERS[method]
    if not len(moving):
        found, converged = moving, True
    else:
        enforced = _enforced(model, terms)
        bounds = np.where(enforced[:, None], [-np.inf, np.inf], box) if solver in _BOUNDED else None
        result = minimize(loss, moving, method=solver, bounds=bounds, callback=seen, options={"maxiter": maxiter})
        found, converged = np.asarray(result.x, dtype=np.float64), bool(result.success)
        if disp:
            print(f"{solver}: {result.nit} iterations, loss {result.fun:.6g}. {result.message}")
    params = constrained(found)
    params[-1] = max(_mean_square(model, terms, params), np.finfo(np.float64).tiny)
    return params, converged


def _box(terms: Terms) -> Floats:
    """Lowest and highest value of every parameter but the variance [P, 2]: |c_k| <= EDGE (n over k) for n lags."""
    limits = [[EDGE * comb(n, k) for k in range(1, n + 1)] for n in terms]
    highest = np.concatenate([np.array(limit, dtype=np.float64) for limit in limits])
    return np.stack([-highest, highest], axis=1)


def _enforced(model: Any, terms: Terms) -> NDArray[np.bool_]:
    """Which parameters but the variance the library itself keeps in bounds [P]."""
    kept = np.array([model.enforce_stationarity, model.enforce_invertibility] * 2, dtype=bool)
    return np.repeat(kept, terms)


def _mean_square(model: Any, terms: Terms, params: Floats) -> float:
    """Mean of the squared shocks that these parameters leave."""
    from scipy.signal import lfilter

    ar, ma, seasonal_ar, seasonal_ma, _ = np.split(params, np.cumsum(terms))
    w = np.asarray(model.endog, dtype=np.float64).ravel()
    season = int(model.seasonal_periods)
    ar_polynomial = np.convolve(np.concatenate([[1.0], -ar]), _spaced(-seasonal_ar, season))
    ma_polynomial = np.convolve(np.concatenate([[1.0], ma]), _spaced(seasonal_ma, season))
    # a differenced series is about zero before its start; of an undifferenced one the first shocks are not used
    skipped = len(ar) + (len(seasonal_ar) * season if not model.orig_k_diff and not model.orig_k_seasonal_diff else 0)
    with np.errstate(over="ignore", invalid="ignore"):
        shocks = lfilter(ar_polynomial, ma_polynomial, w)[min(skipped, len(w) // 2) :]
        return float(np.mean(shocks * shocks))


def _spaced(coefficients: Floats, season: int) -> Floats:
    """1 + c1 L^season + c2 L^(2 season) + .."""
    polynomial = np.zeros(len(coefficients) * season + 1)
    polynomial[0] = 1.0
    if len(coefficients):
        polynomial[season::season] = coefficients
    return polynomial
