"""ARIMA: what is asked of the library, what is refused before and after, and that every parameter acts."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from demand.errors import SettingsError
from demand.panel import Panel
from models.arima import FORMS, Arima
from models.arima_search import _mean_square
from models.base import FitContext, ForecastSpec
from models.catalog import load_fitted
from models.config import ModelConfig
from models.gates import EXPLODED, UNBOUNDED, disbelief

CONFIG = Path(__file__).parents[2] / "conf" / "model" / "arima.yaml"
SPEC = ForecastSpec(6)
FAST = Arima(p=1, q=1, seasonal=False, maxiter=30)


def panel_of(*series, freq="MS"):
    indptr = np.concatenate([[0], np.cumsum([len(y) for y in series])]).astype(np.int64)
    ids = np.array([f"s{i:02d}" for i in range(len(series))])
    return Panel(ids, indptr, np.concatenate(series).astype(float), 600, freq)


def monthly(n=72, seed=0):
    t = np.arange(n)
    return (100 + t) * (1 + 0.3 * np.sin(2 * np.pi * t / 12)) * np.random.default_rng(seed).gamma(100, 1 / 100, n)


def run(recipe, panel, spec=SPEC, season=12, **context):
    return recipe.fit(panel, spec, FitContext(season, **context)).forecast(panel)


def configured(**changes):
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for name, value in changes.items():
        values["training_params" if name in Arima.training_params else "hyperparameters"][name] = value
    return Arima.from_config(ModelConfig(**values))


def plain_sarimax(y, order, seasonal_order, differenced=False):
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    return SARIMAX(
        y, order=order, seasonal_order=seasonal_order, enforce_stationarity=False, enforce_invertibility=False,
        simple_differencing=differenced,
    )  # fmt: skip


# ---- the library's own forecasts -------------------------------------------------------------------------------------


def test_when_shipped_values_are_read_then_they_are_the_contracts():
    recipe = configured()
    assert (recipe.p, recipe.d, recipe.q, recipe.seasonal_order, recipe.trend) == (2, 1, 2, (1, 1, 1, None), "n")
    assert (recipe.method, recipe.maxiter, recipe.disp) == ("lbfgs", 100, False)
    assert (recipe.enforce_stationarity, recipe.enforce_invertibility) == (False, False)


def test_when_parameters_are_found_then_the_forecast_is_the_librarys_with_the_same_parameters():
    y = monthly()
    fitted = Arima(p=1, q=1, maxiter=40).fit(panel_of(y), SPEC, FitContext(12))
    forecast = fitted.forecast(panel_of(y))
    scale = np.abs(y).mean()
    result = plain_sarimax(y / scale, (1, 1, 1), (1, 1, 1, 12)).filter(fitted.arrays["params"][0])
    ahead = result.get_forecast(6)
    assert np.allclose(forecast.mean[0], ahead.predicted_mean * scale)
    bounds = ahead.conf_int(alpha=0.2) * scale
    assert np.allclose(forecast.quantile(0.1)[0], bounds[:, 0])
    assert np.allclose(forecast.quantile(0.9)[0], bounds[:, 1])


@pytest.mark.parametrize(("terms", "season"), [((2, 2, 1, 1), 4), ((1, 0, 0, 0), 0), ((0, 1, 2, 0), 3)])
def test_when_parameters_are_judged_then_the_mean_square_is_that_of_the_loop(terms, season):
    p, q, seasonal_p, seasonal_q = terms
    y = monthly(60)
    model = plain_sarimax(y, (p, 1, q), (seasonal_p, 0, seasonal_q, season), differenced=True)
    rng = np.random.default_rng(1)
    params = np.append(rng.uniform(-0.4, 0.4, sum(terms)), 1.0)
    ar, ma, seasonal_ar, seasonal_ma, _ = np.split(params, np.cumsum(terms))
    w = np.diff(y)

    def lagged(values, t, lag):
        return values[t - lag] if t >= lag else 0.0

    shocks = []
    for t in range(len(w)):
        # (1 - ar L ..)(1 - Ar L^s ..) w = (1 + ma L ..)(1 + Ma L^s ..) e
        left = w[t] - sum(c * lagged(w, t, k) for k, c in enumerate(ar, 1))
        for j, outer in enumerate(seasonal_ar, 1):
            inner = lagged(w, t, j * season) - sum(c * lagged(w, t, j * season + k) for k, c in enumerate(ar, 1))
            left -= outer * inner
        right = sum(c * lagged(shocks, t, k) for k, c in enumerate(ma, 1))
        for j, outer in enumerate(seasonal_ma, 1):
            inner = lagged(shocks, t, j * season) + sum(
                c * lagged(shocks, t, j * season + k) for k, c in enumerate(ma, 1)
            )
            right += outer * inner
        shocks.append(left - right)
    assert _mean_square(model, terms, params) == pytest.approx(np.mean(np.square(shocks[p:])))


def test_when_the_conditional_search_ends_then_it_is_near_the_process_that_made_the_series():
    rng = np.random.default_rng(0)
    shocks = rng.normal(0, 1, 801)
    w = np.zeros(801)
    for t in range(1, 801):
        w[t] = 0.7 * w[t - 1] + shocks[t] + 0.3 * shocks[t - 1]
    y = 100 + np.cumsum(w[1:])
    fitted = Arima(p=1, d=1, q=1, seasonal=False, max_history=800).fit(panel_of(y), SPEC, FitContext(12))
    assert np.allclose(fitted.arrays["params"][0, :2], [0.7, 0.3], atol=0.1)
    assert fitted.arrays["params"][0, 2] * np.abs(y).mean() ** 2 == pytest.approx(1.0, rel=0.15)


@pytest.mark.slow
def test_when_the_conditional_likelihood_is_searched_then_forecasts_are_as_good_as_with_the_exact_one():
    whole = [monthly(96, seed) for seed in range(6)]
    history = panel_of(*[y[:90] for y in whole])
    actual = np.array([y[90:] for y in whole])
    error = {likelihood: np.abs(run(Arima(likelihood=likelihood), history).mean - actual).sum()
             for likelihood in ("conditional", "exact")}  # fmt: skip
    assert error["conditional"] < 1.1 * error["exact"]


def test_when_demand_has_a_season_then_the_forecast_has_it():
    whole = monthly(84)
    forecast = run(Arima(p=0, q=1, seasonal_order=(0, 1, 1, None), maxiter=40), panel_of(whole[:78]))
    assert np.abs(forecast.mean[0] - whole[78:]).sum() < 0.1 * whole[78:].sum()


def test_when_the_history_moves_on_then_stored_parameters_are_filtered_over_it(monkeypatch):
    y = monthly(80)
    early = panel_of(y[:70])
    early = replace(early, end=early.end - 10)
    fitted = FAST.fit(early, SPEC, FitContext(12))
    monkeypatch.setattr(Arima, "_search", None)  # a second search would fail
    rolled = fitted.forecast(panel_of(y))
    scale = np.abs(y[:70]).mean()
    expected = plain_sarimax(y / scale, (1, 1, 1), (0, 0, 0, 0)).filter(fitted.arrays["params"][0]).forecast(6) * scale
    assert np.allclose(rolled.mean[0], expected)


# ---- the season ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "season", "form"), [
    (28, 12, "plain"), (29, 12, "seasonal"), (108, 52, "plain"), (109, 52, "fourier"),
    (18, 7, "plain"), (19, 7, "seasonal"),
])  # fmt: skip
def test_when_the_history_is_of_some_length_then_the_season_is_put_in_or_left_out_with_a_reason(length, season, form):
    found, note = Arima()._form(length, season)
    assert found == form
    assert (note == "") is (form == "seasonal")


def test_when_the_season_is_left_out_then_the_row_says_so():
    forecast = run(Arima(p=1, q=1, maxiter=20), panel_of(monthly(25)))
    assert forecast.made.all()
    assert forecast.note[0].startswith("no seasonal part: 25 periods, needs 29 for a season of 12")


def test_when_the_season_is_long_then_fourier_terms_carry_it_and_the_row_says_so():
    t = np.arange(170)
    y = 200 + 80 * np.sin(2 * np.pi * t / 52) + np.random.default_rng(0).normal(0, 4, 170)
    spec = ForecastSpec(20)
    history = panel_of(y[:150], freq="W-SUN")
    with_terms = run(Arima(p=1, q=1), history, spec, 52)
    without = run(Arima(p=1, q=1, fourier_pairs=0), history, spec, 52)
    assert "2 Fourier pairs instead of (1, 1, 1)" in with_terms.note[0]
    assert "no seasonal part" in without.note[0]
    error = [np.abs(forecast.mean[0] - y[150:]).mean() for forecast in (with_terms, without)]
    assert error[0] < 12
    assert error[0] < 0.5 * error[1]


def test_when_a_long_season_is_allowed_then_it_stays_in_the_state_space():
    assert Arima(max_seasonal_period=52)._form(150, 52) == ("seasonal", "")
    assert Arima(max_seasonal_period=4)._form(150, 7)[0] == "fourier"


def test_when_seasonal_is_off_or_its_orders_are_zero_then_there_is_no_season_and_nothing_to_note():
    assert Arima(seasonal=False)._form(200, 12) == ("plain", "")
    assert Arima(seasonal_order=(0, 0, 0, None))._form(200, 12) == ("plain", "")


def test_when_a_season_is_given_then_it_is_used_instead_of_the_panels():
    fitted = Arima(p=0, q=0, seasonal_order=(0, 1, 0, 4)).fit(panel_of(monthly(40)), SPEC, FitContext(12))
    assert fitted.season == 4
    assert FORMS[fitted.arrays["form"][0]] == "seasonal"


# ---- every parameter acts --------------------------------------------------------------------------------------------


BASE = {"p": 1, "d": 0, "q": 1, "seasonal": False, "maxiter": 40}


@pytest.mark.parametrize("change", [
    {"p": 2}, {"d": 1}, {"q": 0}, {"seasonal": True, "seasonal_order": (0, 1, 0, 4)}, {"trend": "c"}, {"trend": "ct"},
    {"method": "nm"}, {"maxiter": 1}, {"likelihood": "exact"}, {"max_history": 30},
], ids=str)  # fmt: skip
def test_when_a_parameter_changes_then_the_forecast_does(change):
    panel = panel_of(monthly(48, 3))
    assert not np.array_equal(run(Arima(**BASE), panel).mean, run(Arima(**BASE | change), panel).mean)


def test_when_another_seasonal_order_is_set_then_the_forecast_changes():
    panel = panel_of(monthly(48, 3))
    base = {"p": 0, "q": 0, "maxiter": 20}
    one, other = (run(Arima(**base, seasonal_order=order), panel) for order in ((0, 1, 0, 12), (0, 1, 1, 12)))
    assert not np.array_equal(one.mean, other.mean)


@pytest.mark.parametrize("likelihood", ["conditional", "exact"])
def test_when_stationarity_is_enforced_then_an_explosive_series_is_not_carried_on(likelihood):
    y = [1.0, 1.2]
    for _ in range(30):
        y.append(0.4 * y[-1] + 0.8 * y[-2])
    free, bound = (
        Arima(p=2, d=0, q=0, seasonal=False, enforce_stationarity=on, likelihood=likelihood)
        .fit(panel_of(np.array(y)), SPEC, FitContext(12))
        .arrays["params"][0, :2]
        for on in (False, True)
    )
    assert free.sum() > 1.1
    assert bound.sum() <= 1.0


def test_when_invertibility_is_enforced_then_the_moving_average_stays_within_bounds():
    rng = np.random.default_rng(0)
    shocks = rng.normal(0, 1, 121)
    y = 50 + shocks[1:] - 3.0 * shocks[:-1]
    bound = Arima(p=0, d=1, q=1, seasonal=False, enforce_invertibility=True).fit(panel_of(y), SPEC, FitContext(12))
    assert abs(bound.arrays["params"][0, 0]) <= 1.0
    asked = {}
    recipe = Arima(p=0, d=1, q=1, seasonal=False, enforce_invertibility=True)
    model = recipe._model(y, 600, "plain", 12, False)
    asked["kept"] = model.enforce_invertibility
    assert asked["kept"] is True


def test_when_disp_is_set_then_the_search_tells_how_it_ended(capsys):
    for disp in (False, True):
        run(replace(FAST, disp=disp), panel_of(monthly(30)))
        assert ("iterations" in capsys.readouterr().out) is disp


def test_when_disp_is_set_then_the_librarys_own_search_is_told(monkeypatch):
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    seen = []
    original = SARIMAX.fit

    def watched(self, **options):
        seen.append(options["disp"])
        return original(self, **options | {"disp": False})

    monkeypatch.setattr(SARIMAX, "fit", watched)
    for disp in (False, True):
        run(replace(FAST, disp=disp, likelihood="exact"), panel_of(monthly(30)))
    assert seen == [False, True]


@pytest.mark.parametrize(("values", "told"), [
    ({"trend": "c"}, "trend"), ({"trend": "t"}, "trend"), ({"d": 1, "seasonal": False, "trend": "c"}, "trend"),
    ({"p": 2.5}, "p"), ({"maxiter": 0}, "maxiter"), ({"method": "magic"}, "method"),
])  # fmt: skip
def test_when_a_value_cannot_be_fitted_then_it_is_refused_with_its_name(values, told):
    with pytest.raises(SettingsError, match=told):
        configured(**values)


def test_when_a_constant_trend_is_refused_then_the_message_says_what_to_change():
    with pytest.raises(SettingsError, match="Set trend to n, or d"):
        Arima(trend="c")
    assert Arima(trend="t", seasonal=False).trend == "t"  # a line survives one difference
    assert Arima(trend="c", d=0, seasonal=False).trend == "c"


# ---- refused before, disbelieved after -------------------------------------------------------------------------------


@pytest.mark.parametrize(("y", "reason"), [
    (np.zeros(60), "no demand in any period"), (np.full(60, 4.0), "demand is constant"),
    (np.arange(1.0), "1 periods are too few"), (np.arange(12.0), "needs 13"),
    (np.array([np.nan] * 60), "y is not finite"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_when_the_library_would_answer_nonsense_then_it_is_not_asked(y, reason, monkeypatch):
    monkeypatch.setattr(Arima, "_search", None)
    forecast = run(FAST, panel_of(y))
    assert not forecast.made.any()
    assert reason in forecast.reason[0]


def test_when_a_forecast_explodes_then_it_is_a_reason_and_not_a_number():
    y = np.concatenate([np.full(30, 10.0) + np.arange(30) % 3, 10 * 1.3 ** np.arange(15)])
    forecast = run(Arima(p=1, d=1, q=0, seasonal=False), panel_of(y), ForecastSpec(12))
    assert forecast.reason[0].startswith("exploding forecast")
    assert np.isnan(forecast.mean).all()


def test_when_a_mean_is_within_the_limit_then_it_is_believed():
    used, near = np.array([1.0, 10.0]), np.array([[1.0, 20.0]])
    assert disbelief(np.array([EXPLODED * 10.0]), near, used) == ""
    assert "exploding forecast" in disbelief(np.array([EXPLODED * 10.01]), near, used)
    assert disbelief(np.array([np.nan]), near, used) == "non-finite forecast"


def test_when_a_bound_is_beyond_the_limit_then_it_is_no_interval():
    used, mean = np.array([1.0, 10.0]), np.array([5.0])
    assert disbelief(mean, np.array([[-UNBOUNDED * 10.0, UNBOUNDED * 10.0]]), used) == ""
    for bounds in ((5.0, UNBOUNDED * 10.01), (-UNBOUNDED * 10.01, 5.0)):
        assert "exploding interval" in disbelief(mean, np.array([bounds]), used)
    assert disbelief(mean, np.array([[1.0, np.nan]]), used) == "non-finite forecast"


def test_when_a_random_walk_has_steps_as_large_as_its_values_then_its_interval_is_believed():
    y = np.abs(np.random.default_rng(0).normal(size=60).cumsum())
    forecast = run(Arima(p=0, d=1, q=0, seasonal=False), panel_of(y), ForecastSpec(100, (0.025, 0.5, 0.975)))
    assert forecast.made.all()


def test_when_the_search_does_not_converge_then_the_row_notes_it():
    forecast = run(Arima(p=2, q=2, seasonal=False, maxiter=1), panel_of(monthly(60)))
    assert forecast.made.all()
    assert "did not converge (maxiter=1)" in forecast.note[0]


def test_when_the_library_fails_in_one_series_then_the_others_are_forecast(monkeypatch):
    original = Arima._search

    def sometimes(self, scaled, *rest):
        if len(scaled) == 50:
            raise np.linalg.LinAlgError("singular matrix")
        return original(self, scaled, *rest)

    monkeypatch.setattr(Arima, "_search", sometimes)
    forecast = run(FAST, panel_of(monthly(40), monthly(50), monthly(60)))
    assert forecast.made.tolist() == [True, False, True]
    assert forecast.reason[1] == "LinAlgError: singular matrix"


def test_when_time_is_up_then_the_best_parameters_so_far_are_kept_and_noted(monkeypatch):
    ticks = iter(np.arange(0.0, 1000.0, 1.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    forecast = run(Arima(p=2, q=2, seasonal=False), panel_of(monthly(60)), max_seconds=2.5)
    assert forecast.made.all()
    assert forecast.note[0].startswith("time_budget")


def test_when_there_is_no_time_at_all_then_the_reason_is_the_time_budget():
    forecast = run(FAST, panel_of(monthly(60)), max_seconds=0.0)
    assert "time_budget" in forecast.reason[0]


def test_when_a_fit_is_stored_then_it_holds_numbers_and_words_only(tmp_path):
    panel = panel_of(monthly(40), np.zeros(40))
    fitted = FAST.fit(panel, SPEC, FitContext(12))
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "card.json"]
    assert load_fitted(tmp_path).forecast(panel).reason.tolist() == fitted.forecast(panel).reason.tolist()
