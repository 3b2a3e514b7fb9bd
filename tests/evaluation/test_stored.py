"""The models of a stored release: the same bits as in memory, one history at a time as all at once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from demand.errors import SchemaError, VersionUnreadable
from evaluation.folds import Fold
from evaluation.intervals import Calibration
from evaluation.on_demand import OnDemand
from evaluation.stored import ENSEMBLE, laid_on, member_forecasts, released_question, served_forecast
from models.ensemble import KIND, EnsembleSettings
from models.forecast_files import read_forecasts
from models.release import Release
from tests.evaluation.released import fleet_panel, release_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """(release, verdict) of small models, an ensemble that serves."""
    return release_of(tmp_path_factory.mktemp("released"), fleet_panel(), ("arima", "xgboost"))


@pytest.fixture(scope="module")
def asked(released):
    return OnDemand(released[0])


def same(a, b, i=0, j=0):
    """Whether two forecasts' rows are the same to the last bit, and signed alike."""
    return (
        a.mean[i].tobytes() == b.mean[j].tobytes()
        and a.quantiles[i].tobytes() == b.quantiles[j].tobytes()
        and (a.made_by[i], a.level[i]) == (b.made_by[j], b.level[j])
    )


def test_when_a_release_is_loaded_then_every_style_is_forecast_as_in_memory_bit_for_bit(released, asked):
    release, verdict = released
    ((kind, stored),) = read_forecasts(release.file("forecasts.parquet"))
    assert kind == verdict.served == KIND
    for row in range(asked.panel.n_series):
        answer = asked.answer(asked.panel.take([row]), own=True)
        assert same(answer.forecast, verdict.live, 0, row)
        assert same(answer.forecast, stored, 0, row)
        assert sum(answer.weights.values()) == pytest.approx(1)
        assert answer.basis == "style"


def test_when_the_day_has_not_moved_then_the_stored_members_say_what_they_said(released, asked):
    release, verdict = released
    question = released_question(release)
    history = question.history(asked.panel, Fold(asked.panel.end, question.spec.horizon))
    members, unusable = member_forecasts(release, history, question)
    assert unusable == {}
    for kind, forecast in members.items():
        for row in np.flatnonzero(forecast.made):
            assert forecast.mean[row].tobytes() == verdict.live_members[kind].mean[row].tobytes()


def test_when_tomorrow_is_forecast_then_every_style_has_a_row_and_weights_come_from_what_was_known(released, asked):
    release, _ = released
    rng = np.random.default_rng(1)
    panel = asked.panel
    grown = np.concatenate([np.append(panel.series(i), rng.poisson(5.0, 3)) for i in range(panel.n_series)])
    indptr = panel.indptr + 3 * np.arange(panel.n_series + 1)
    later = replace(panel, y=grown.astype(float), indptr=indptr, end=panel.end + 3)
    question = released_question(release)
    fold = Fold(later.end, question.spec.horizon)
    members, _ = member_forecasts(release, question.history(later, fold), question)
    live = served_forecast(release, later, members, fold, question, EnsembleSettings())
    assert live.made.all()
    assert live.origin == later.end
    del members["xgboost"], members["arima"]
    assert served_forecast(release, later, members, fold, question, EnsembleSettings()).made.all()


def test_when_the_served_model_cannot_be_used_then_that_is_said(released, tmp_path):
    release, _ = released
    question = released_question(release)
    alone = SingleServed(release, "xgboost")
    panel = OnDemand(release).panel
    with pytest.raises(VersionUnreadable, match="does not hold the model it serves"):
        served_forecast(alone, panel, {}, Fold(panel.end, 14), question, EnsembleSettings())


class SingleServed(Release):
    """The same release as if one model served it."""

    def __init__(self, release, kind):
        super().__init__(release.path, release.number, release.manifest, release.manifest_sha256)
        object.__setattr__(self, "kind", kind)

    def json(self, name):
        found = super().json(name)
        return {**found, "served": self.kind} if name == "card.json" else found


@pytest.mark.parametrize("kind", ["xgboost", "seasonal_naive", "arima"])
def test_when_one_model_serves_then_its_stored_forecast_comes_back_and_the_chain_signs_for_it(released, kind):
    release, verdict = released
    alone = OnDemand(SingleServed(release, kind))
    for row in range(alone.panel.n_series):
        answer = alone.answer(alone.panel.take([row]), own=True)
        assert same(answer.forecast, verdict.live_members[kind], 0, row)
        assert answer.weights == {}


def test_when_a_history_was_never_seen_then_pooled_models_answer_with_the_weights_of_its_class(asked):
    known = asked.panel.take([3])
    answer = asked.answer(replace(known, ids=np.array(["never seen"])))
    assert answer.forecast.made_by[0] == KIND
    assert set(answer.weights) <= {"xgboost", "seasonal_naive"}
    assert answer.basis == "class"
    assert answer.unusable["arima"] == "the series was not seen in the fit"
    assert sum(answer.weights.values()) == pytest.approx(1)


def test_when_no_member_can_answer_then_the_fallback_chain_makes_the_row_and_signs_it(released):
    alone = OnDemand(SingleServed(released[0], "arima"))
    answer = alone.answer(replace(alone.panel.take([3]), ids=np.array(["never seen"])))
    assert answer.forecast.level[0] == 2
    assert answer.forecast.made_by[0] == "exponential_smoothing"
    assert "not seen" in answer.forecast.reason[0]
    assert np.isfinite(answer.forecast.mean).all()


def test_when_the_history_is_newer_then_the_answer_starts_after_it_and_moves_with_it(asked):
    old = asked.panel.take([4])
    more = np.append(old.y, np.full(7, 90.0))
    newer = replace(old, y=more, indptr=np.array([0, len(more)]), end=old.end + 7)
    answer = asked.answer(newer)
    assert answer.forecast.origin == old.end + 7
    assert answer.forecast.mean.sum() > 1.5 * asked.answer(old, own=True).forecast.mean.sum()
    assert answer.basis == "style"


def test_when_the_same_history_is_asked_twice_and_in_another_order_then_the_bits_are_the_same(released, asked):
    again = OnDemand(released[0])
    rows = list(range(again.panel.n_series))
    for row in reversed(rows):
        history = again.panel.take([row])
        assert same(again.answer(history, own=True).forecast, asked.answer(history, own=True).forecast)


def test_when_several_series_or_another_calendar_are_given_then_it_is_refused(asked):
    with pytest.raises(SchemaError, match="one series"):
        asked.answer(asked.panel.take([0, 1]))
    with pytest.raises(SchemaError, match="calendar"):
        asked.answer(replace(asked.panel.take([0]), freq="W-SUN"))


@pytest.mark.slow
def test_when_a_column_is_planned_then_only_models_fitted_with_its_plan_read_it(tmp_path):
    planned = OnDemand(release_of(tmp_path / "planned", fleet_panel(price="future"), ("xgboost",))[0])
    assert planned.reads_ahead("S003") == {"price": ("xgboost",)}
    past = OnDemand(release_of(tmp_path / "past", fleet_panel(price="past"), ("xgboost",))[0])
    assert past.reads_ahead("S003") == {}


def test_when_calibration_is_stored_then_it_moves_quantiles_to_the_same_bits(released):
    facts = json.loads(released[0].file(ENSEMBLE).read_text())
    learned = Calibration.from_json(facts["calibration"])
    again = Calibration.from_json(json.loads(json.dumps(learned.as_json())))
    assert (again.levels, again.move is None) == (learned.levels, learned.move is None)
    assert again.move is None or again.move.tobytes() == learned.move.tobytes()
    with pytest.raises(VersionUnreadable, match="other demand classes"):
        Calibration.from_json({**learned.as_json(), "classes": ["smooth"]})


def test_when_a_stored_forecast_is_laid_on_a_fleet_that_changed_then_new_styles_say_why_they_have_none(released, asked):
    release, _ = released
    question = released_question(release)
    history = question.history(asked.panel, Fold(asked.panel.end, question.spec.horizon))
    ((_, stored),) = read_forecasts(release.file("forecasts.parquet"))
    renamed = replace(history, ids=np.array([*history.ids[:-1].tolist(), "S999"]))
    laid = laid_on(renamed, stored, question)
    assert laid.made.tolist() == [True] * 11 + [False]
    assert "new since the release" in laid.reason[-1]


@pytest.mark.slow
@pytest.mark.deep
def test_when_prophet_and_lstm_take_part_then_the_stored_forecast_comes_back_and_prophet_does_not_roll(tmp_path):
    panel = fleet_panel(6, 120)
    release, verdict = release_of(tmp_path, panel, ("prophet", "lstm", "xgboost"))
    asked = OnDemand(release)
    for row in range(panel.n_series):
        assert same(asked.answer(panel.take([row]), own=True).forecast, verdict.live, 0, row)
    old = panel.take([1])
    newer = replace(old, y=np.append(old.y, 3.0), indptr=np.array([0, len(old.y) + 1]), end=old.end + 1)
    answer = asked.answer(newer)
    assert "prophet" in answer.unusable
    assert "prophet" not in answer.weights
