"""What a race comes to: every style in exactly one outcome, a gate before the ensemble, the baseline when it fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.fleet import compete
from jobs.verdict import _gate, _served, forecasts_frame, judge, outcomes
from models.ensemble import KIND
from tests.jobs.conftest import race_of
from tests.jobs.stand_in import Level

KINDS = ("zero", "mean", "seasonal_naive", "exponential_smoothing")


@pytest.fixture(scope="module")
def judged(fleet_panel, smoke, tmp_path_factory):
    """(races, race, verdict) of a race in which S007 breaks the stand-in."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "batches").mkdir()
    races = race_of(fleet_panel, smoke, Level(raises_on=("S007",)), kinds=KINDS)
    race, verdict = compete(races.fleet(folder))
    return races, race, verdict


def test_when_judged_then_every_model_is_scored_on_the_same_origins_series_and_truth(judged):
    races, _, verdict = judged
    assert set(verdict.results) == {*KINDS, "arima", KIND}
    reference = verdict.results["mean"]
    assert [result.fold for result in reference] == list(races.plan.origins.scored)
    for results in verdict.results.values():
        for one, other in zip(results, reference, strict=True):
            one.require_complete()
            assert one.fold == other.fold
            assert one.forecast.ids.tolist() == other.forecast.ids.tolist()
            assert one.actuals.tobytes() == other.actuals.tobytes()
            assert one.scale.tobytes() == other.scale.tobytes()
    assert set(verdict.board["model"]) == set(verdict.results)


def test_when_weights_are_made_then_only_origins_before_count(judged):
    races, _, verdict = judged
    n_inner = len(races.plan.origins.inner)
    scored = [fold.cutoff for fold in races.plan.origins.scored]
    assert [verdict.ensembles[cutoff].weights.n_origins for cutoff in scored] == [n_inner, n_inner + 1]
    live = races.plan.origins.live[0].cutoff
    assert verdict.ensembles[live].weights.n_origins == n_inner + len(scored)


def test_when_a_style_breaks_a_model_then_the_ensemble_goes_on_without_it_there(judged):
    races, _, verdict = judged
    weights = verdict.ensembles[races.panel.end].weights
    row = weights.ids.tolist().index("S007")
    member = weights.members.index("arima")
    assert weights.values[row, member] == 0.0
    np.testing.assert_allclose(weights.values[row].sum(), 1.0)
    assert weights.vetoed["arima"] >= 1


def test_when_outcomes_are_counted_then_they_add_up_to_the_styles_that_came_in(judged):
    races, race, verdict = judged
    rejected = {"Z1": "no sale at all", "Z2": "unreadable"}
    frame = outcomes(races.panel, verdict, race, races.question, rejected, races.settings)
    assert frame["unique_id"].tolist() == sorted([*races.panel.ids.tolist(), *rejected])
    counted = frame["status"].value_counts().to_dict()
    assert sum(counted.values()) == races.panel.n_series + len(rejected)
    assert counted["rejected"] == 2
    assert set(counted) <= {"ok", "fell_back", "rejected"}
    by_id = frame.set_index("unique_id")
    assert by_id.loc["Z1", "cause"] == "no sale at all"
    fell_back = frame[frame["status"] == "fell_back"]
    assert (fell_back["made_by"] != verdict.served).all()
    assert (frame.loc[frame["status"] == "ok", "made_by"] == verdict.served).all()
    assert (frame.loc[frame["status"] == "ok", "cause"] == "").all()


def test_when_the_served_model_broke_on_a_style_then_the_outcome_names_the_cause_and_who_made_the_row(judged):
    races, race, verdict = judged
    as_arima = replace(verdict, served="arima", live=verdict.live_members["arima"])
    frame = outcomes(races.panel, as_arima, race, races.question, {}, races.settings).set_index("unique_id")
    assert frame.loc["S007", "status"] == "fell_back"
    assert frame.loc["S007", "made_by"] == "exponential_smoothing"
    assert "ZeroDivisionError: no level for S007" in frame.loc["S007", "cause"]
    assert (frame.drop("S007")["status"] == "ok").all()


def test_when_all_forecasts_are_tabled_then_each_model_origin_and_style_is_there_once(judged):
    races, _, verdict = judged
    table = forecasts_frame(verdict, 1, races.panel)
    assert not table.duplicated(["unique_id", "cutoff", "ds", "model"]).any()
    n = 0
    for fold in (*races.plan.origins.scored, *races.plan.origins.live):
        n += (races.panel.start <= fold.cutoff).sum() * fold.horizon
    per_model = table.groupby("model").size()
    assert set(per_model.index) == {*KINDS, "arima", KIND}
    assert set(per_model) == {n}


def worse(results, factor):
    return [replace(r, forecast=replace(r.forecast, mean=r.forecast.mean * factor,
                                        quantiles=r.forecast.quantiles * factor)) for r in results]  # fmt: skip


def perfect(results):
    out = []
    for r in results:
        truth = np.nan_to_num(r.actuals)
        quantiles = np.repeat(truth[:, :, None], r.forecast.quantiles.shape[2], axis=2)
        out.append(replace(r, forecast=replace(r.forecast, mean=truth, quantiles=quantiles)))
    return out


def test_when_the_ensemble_beats_both_baselines_beyond_chance_then_the_gate_opens(judged):
    races, _, verdict = judged
    results = {**verdict.results, KIND: perfect(verdict.results[KIND])}
    gate = _gate(results, races.settings, verdict.board)
    assert gate.passed
    assert gate.reasons == ()
    assert [test["p_better"] < 0.05 for test in gate.tests] == [True, True]
    assert _served(verdict.board, gate, races.settings, verdict.ensembles) == KIND


def test_when_the_ensemble_is_no_better_than_a_baseline_then_a_baseline_is_served_and_the_reason_is_said(judged):
    races, _, verdict = judged
    results = {**verdict.results, KIND: worse(verdict.results["mean"], 3.0)}
    gate = _gate(results, races.settings, verdict.board)
    assert not gate.passed
    assert any("does not beat mean" in reason for reason in gate.reasons)
    served = _served(verdict.board, gate, races.settings, verdict.ensembles)
    assert served in KINDS
    free = replace(races.settings, selection=replace(races.settings.selection, auto_model_selection=False))
    assert _served(verdict.board, gate, free, verdict.ensembles) == KIND


def test_when_a_model_varies_more_than_the_limit_then_it_is_flagged_and_the_gate_closes_where_that_blocks(judged):
    races, race, verdict = judged
    results = {**verdict.results, KIND: perfect(verdict.results[KIND])}
    for unstable_over, flagged in ((1e-9, True), (1e9, False)):
        for unstable in ("warn", "block"):
            gate = replace(races.settings.gate, unstable_over=unstable_over, unstable=unstable)
            settings = replace(races.settings, gate=gate)
            board = judge(races.panel, race, races.plan.origins, races.question, settings).board
            assert bool(board.set_index("model").loc[KIND, "unstable"]) is flagged
            found = _gate(results, settings, board)
            assert found.passed is not (flagged and unstable == "block")
            assert any("gate.unstable=block" in reason for reason in found.reasons) is not found.passed


def test_when_no_ensemble_ran_then_the_gate_says_so_and_the_best_baseline_serves(judged, fleet_panel, smoke):
    races, race, _ = judged
    alone = replace(races.settings, enable_ml=False, only=None)
    verdict = judge(races.panel, race, races.plan.origins, races.question, alone)
    assert (verdict.gate.passed, verdict.gate.reasons) == (False, ("no ensemble ran",))
    assert verdict.ensembles == {}
    assert verdict.served in KINDS
    assert set(verdict.live.made_by) == {verdict.served}
    eligible = verdict.board[verdict.board["model"].isin(KINDS)]
    assert verdict.served == eligible.iloc[0]["model"]


def test_when_everything_after_the_last_origin_changes_then_nothing_before_does(judged, tmp_path, fleet_panel, smoke):
    """The whole verdict at the first scored origin, with the truth after it multiplied by a million."""
    races, _, verdict = judged
    first = races.plan.origins.scored[0]
    late = fleet_panel.periods > first.cutoff
    poisoned = replace(fleet_panel, y=np.where(late, fleet_panel.y * 1e6 + 1e6, fleet_panel.y))
    again = race_of(poisoned, smoke, Level(raises_on=("S007",)), kinds=KINDS)
    (tmp_path / "batches").mkdir()
    _, other = compete(again.fleet(tmp_path))
    one, two = verdict.ensembles[first.cutoff], other.ensembles[first.cutoff]
    assert one.forecast.mean.tobytes() == two.forecast.mean.tobytes()
    assert one.forecast.quantiles.tobytes() == two.forecast.quantiles.tobytes()
    assert one.weights.values.tobytes() == two.weights.values.tobytes()
    for model in ("arima", "exponential_smoothing"):
        a, b = (v.results[model][0].forecast for v in (verdict, other))
        assert a.mean.tobytes() == b.mean.tobytes()
