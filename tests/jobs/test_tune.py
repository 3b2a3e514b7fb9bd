"""The tuning job as a user runs it: on a model that takes milliseconds, on files, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jobs.tune
from evaluation import tuning
from evaluation.tuning import Split
from jobs.entry import exit_code
from jobs.own_folder import CONF
from jobs.trial_log import TrialLog
from models.catalog import LEARNED
from tests.acceptance.made import XGBOOST, fleet, frame_of, refused, run_job, strict_json, written

AVERAGE = (
    "model=moving_average", "models.moving_average.hyperparameters.window=20",
    "tuning.space.moving_average.window={low: 2, high: 60}",
)  # fmt: skip
QUICK = (*AVERAGE, "trials=8")


def levels(seed=3, days=140, n=8):
    """Demand whose level moves, so that a short average is better than a long one."""
    rng = np.random.default_rng(seed)
    walk = np.exp(np.cumsum(rng.normal(0, 0.12, (n, days)), axis=1))
    return {f"s{i}": 50 * walk[i] * rng.gamma(50, 1 / 50, days) for i in range(n)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return written(frame_of(levels()), tmp_path_factory.mktemp("source") / "sales.parquet")


def go_on(root, *more):
    """The job again, told only which run it goes on with."""
    told = [f"storage.root={root}", "resume=r", "parallel_training=false", "progress=false", *more]
    return exit_code("tune", jobs.tune.body, told)


def tuned(ran):
    return ran.json("tuning")


def trials(ran):
    """The trials without how long they took."""
    return [{name: value for name, value in one.items() if name != "seconds"} for one in tuned(ran)["all_trials"]]


def test_when_a_model_is_tuned_then_the_report_holds_every_trial_and_what_was_decided(source, tmp_path, capsys):
    ran = run_job("tune", tmp_path, source, *QUICK)
    shown = capsys.readouterr().out
    assert ran.code == 0
    told = tuned(ran)
    assert [one["number"] for one in told["all_trials"]] == list(range(8))
    assert told["defaults"]["parameters"] == {"window": 20}
    assert told["counted"]["all"] == 8 == sum(told["counted"][name] for name in ("finished", "pruned", "failed"))
    finished = [one for one in told["all_trials"] if one["state"] == "finished"]
    assert told["best"]["score"] == min(one["score"] for one in finished)
    assert all(len(one["folds"]) == 2 for one in finished)
    assert told["outer"]["cutoff"] >= max(fold["cutoff"] for fold in told["inner"]) + told["horizon"]
    assert told["outer_fold"]["best"] < told["outer_fold"]["defaults"]
    assert told["accepted"] is True
    assert told["parameters"] == told["best"]["parameters"] == ran.json("tuned")["parameters"]
    manifest = ran.json("manifest")
    assert (manifest["job"], manifest["tuned"]) == ("tune", {})
    first = json.loads((ran.folder / "trials.jsonl").read_text().splitlines()[0])["search"]
    assert (first["method"], first["trials"], first["seed"], first["max_seconds"]) == ("bayesian", 8, 42, None)
    printed = [line for line in shown.splitlines() if str(tmp_path) not in line]
    assert max(map(len, printed)) <= 80
    assert "0 (defaults)" in shown
    assert "seen by no trial" in shown
    assert "Accepted" in shown


@pytest.mark.parametrize("n", [1, 5, 50])
def test_when_a_number_of_trials_is_told_then_exactly_so_many_are_counted(source, tmp_path, n):
    ran = run_job("tune", tmp_path, source, *AVERAGE, f"trials={n}")
    assert tuned(ran)["counted"]["all"] == n == len(TrialLog(ran.folder).read())
    if n == 1:
        assert tuned(ran)["accepted"] is False
        assert not (ran.folder / "tuned.json").exists()


def test_when_the_method_changes_then_other_parameters_are_tried(source, tmp_path):
    seen = {}
    for method in ("bayesian", "grid", "random"):
        ran = run_job("tune", tmp_path / method, source, *AVERAGE, "trials=14", f"method={method}")
        assert tuned(ran)["method"] == method
        seen[method] = [one["parameters"]["window"] for one in trials(ran)]
    assert sorted(seen["grid"]) == [2, 20, 31, 60]
    assert seen["bayesian"] != seen["random"]


def test_when_a_search_is_run_again_then_it_is_the_same(source, tmp_path):
    a, b = (run_job("tune", tmp_path / name, source, *QUICK) for name in "ab")
    assert trials(a) == trials(b)
    other = run_job("tune", tmp_path / "c", source, *QUICK, "seed=7")
    assert trials(a)[0] == trials(other)[0]
    assert trials(a) != trials(other)


# ---- truth: no trial sees the outer fold -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """The same demand, with the outer window (the last seven days) times a million."""
    rows = {name: np.concatenate([y[:-7], y[-7:] * 1e6]) for name, y in levels().items()}
    return written(frame_of(rows), tmp_path_factory.mktemp("poisoned") / "sales.parquet")


def test_when_the_outer_fold_is_poisoned_then_no_trial_and_no_choice_changes(source, poisoned, tmp_path):
    clean, poison = (
        run_job("tune", tmp_path / str(k), path, *QUICK, "sample=5") for k, path in enumerate((source, poisoned))
    )
    assert trials(clean) == trials(poison)
    for name in ("best", "defaults", "sample", "inner", "ranked_by"):
        mine, other = tuned(clean)[name], tuned(poison)[name]
        if name in ("best", "defaults"):
            mine, other = ({**one, "seconds": 0} for one in (mine, other))
        assert mine == other
    assert tuned(clean)["outer_fold"] != tuned(poison)["outer_fold"]  # the poison is there, and only the judge saw it


def test_when_trials_are_given_the_outer_window_on_purpose_then_the_check_above_would_see_it(
    source, poisoned, tmp_path, monkeypatch
):
    monkeypatch.setattr(tuning, "known_to_trials", lambda panel, end: panel)
    clean, poison = (run_job("tune", tmp_path / str(k), path, *QUICK) for k, path in enumerate((source, poisoned)))
    assert (clean.code, poison.code) == (0, 0)
    scores = [[one["score"] for one in trials(ran)] for ran in (clean, poison)]
    assert scores[0][0] != scores[1][0]
    assert trials(clean) != trials(poison)


def test_when_demand_is_noise_then_the_gain_is_reported_as_what_it_is(tmp_path):
    said = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = {f"s{i}": rng.gamma(4, 5, 140) for i in range(8)}
        path = written(frame_of(rows), tmp_path / str(seed) / "sales.parquet")
        ran = run_job("tune", tmp_path / str(seed), path, "model=moving_average", "trials=6",
                      "models.moving_average.hyperparameters.window=60",
                      "tuning.space.moving_average.window={low: 40, high: 80}")  # fmt: skip
        told = tuned(ran)
        outer = told["outer_fold"]
        if outer["best"] is not None:
            assert told["accepted"] is (outer["best"] <= outer["defaults"])
            assert abs(outer["gain"]) < 0.05
        said.append(told["why"])
    assert not any("beyond chance" in why for why in said)


# ---- interrupted -----------------------------------------------------------------------------------------------------


def test_when_a_run_is_resumed_then_finished_trials_stay_and_the_rest_is_made(source, tmp_path, monkeypatch):
    whole = run_job("tune", tmp_path / "whole", source, *QUICK)
    ran = run_job("tune", tmp_path / "cut", source, *QUICK)
    kept = (ran.folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (ran.folder / "trials.jsonl").write_bytes(b"".join(kept[:5]) + kept[5][:30])  # killed while the fifth was written
    for name in ("tuning.json", "tuned.json"):
        (ran.folder / name).unlink()
    made = []
    honest = jobs.tune.run_trial
    monkeypatch.setattr(jobs.tune, "run_trial", lambda bench, one: made.append(one.number) or honest(bench, one))
    assert go_on(tmp_path / "cut") == 0
    assert made == [4, 5, 6, 7]
    assert trials(ran) == trials(whole)
    assert (ran.folder / "trials.jsonl").read_bytes().startswith(b"".join(kept[:5]))
    assert strict_json(ran.folder / "tuned.json")["parameters"] == tuned(whole)["parameters"]


def test_when_a_run_that_ended_is_resumed_then_it_is_told_again_and_nothing_is_run(
    source, tmp_path, monkeypatch, capsys
):
    ran = run_job("tune", tmp_path, source, *QUICK)
    before = {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()}
    first = capsys.readouterr().out
    monkeypatch.setattr("jobs.tune.run_trial", None)
    assert go_on(tmp_path) == 0
    assert capsys.readouterr().out == first
    assert {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()} == before


def test_when_a_resumed_search_is_told_otherwise_then_it_is_refused(source, tmp_path, capsys):
    run_job("tune", tmp_path, source, *QUICK)
    assert go_on(tmp_path, "trials=9") == 2
    assert "tuning.tuning_iterations=9, the run has 8" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_when_the_process_is_killed_on_ray_then_resuming_counts_each_trial_once_and_ends_as_if_it_had_not(
    source, tmp_path
):
    told = [f"source.path={source}", "freq=D", "horizon=7", "folds.inner=2", *AVERAGE, "trials=30", "run_id=r"]

    def command(root, *more):
        return [sys.executable, "-m", "jobs.tune", f"storage.root={root}", "progress=false", *more]

    def start(root, *more):
        return subprocess.Popen(
            command(root, *more), cwd=CONF.parent, stdout=subprocess.DEVNULL, start_new_session=True
        )

    log = tmp_path / "cut" / "runs" / "r"
    process = start(tmp_path / "cut", *told, "cluster.num_cpus=2")
    deadline = time.monotonic() + 240
    while len(TrialLog(log).read()) < 6 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = TrialLog(log).read()
    assert 6 <= len(before) < 30
    kept = (log / "trials.jsonl").read_bytes()
    again = command(tmp_path / "cut", "resume=r", "cluster.num_cpus=2")
    assert subprocess.run(again, cwd=CONF.parent, capture_output=True, timeout=400).returncode == 0
    ended = TrialLog(log).read()
    assert len(ended) == 30 == strict_json(log / "tuning.json")["counted"]["all"]
    assert len((log / "trials.jsonl").read_text().splitlines()) == 31
    assert (log / "trials.jsonl").read_bytes().startswith(kept)
    alone = run_job("tune", tmp_path / "alone", source, *told)
    scores = {number: (one.parameters, one.state, one.score) for number, one in TrialLog(alone.folder).read().items()}
    assert {number: (one.parameters, one.state, one.score) for number, one in ended.items()} == scores


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("tuning.space.moving_average.windw={low: 2, high: 3}",), "did you mean 'window'"),
        (("tuning.space.moving_average.window={low: 9, high: 9}",), "an empty range"),
        (("tuning.space.moving_averag.window={low: 2, high: 9}",), "did you mean 'moving_average'"),
        (("trials=0",), "greater than or equal to 1"),
        (("trials=51",), "less than or equal to 50"),
        (("model=null",), "whose parameters?"),
        (("model=xgbost",), "did you mean 'xgboost'"),
        (("model=zero",), "unknown key in model"),
        (("horizon=40",), "too short for the inner folds"),
        (("folds.inner=0",), "folds.inner"),
        (("tuning.hyperparameter_tuning=false",), "nothing is tuned"),
        (("max_seconds=0.000001",), "too short for one fit"),
        (("method=annealing",), "tuning.tuning_method"),
        (("source.path=nowhere.parquet",), "nowhere.parquet"),
        (("sample=none",), "tuning.sample"),
    ],
)
def test_when_the_input_is_bad_then_one_message_says_why_the_code_is_2_and_nothing_is_written(
    source, tmp_path, capsys, told, said
):
    assert refused(tmp_path, capsys, said, "tune", tmp_path / "s", source, *QUICK, *told) == ""


@pytest.mark.parametrize("silent", [slice(None), slice(-7, None), slice(-14, -7)])
def test_when_nothing_was_sold_in_a_scored_window_then_the_metric_is_undefined_and_the_search_is_refused(
    tmp_path, capsys, silent
):
    rows = {name: y.copy() for name, y in levels().items()}
    for y in rows.values():
        y[silent] = 0.0
    path = written(frame_of(rows), tmp_path / "sales.parquet")
    assert run_job("tune", tmp_path / "s", path, *QUICK).code == 2
    assert "nothing was sold" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_when_only_validation_is_asked_for_then_nothing_is_searched_or_written(source, tmp_path, capsys):
    assert run_job("tune", tmp_path / "s", source, *QUICK, "validate=true").code == 0
    assert "nothing was searched" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()


# ---- the rest of what it is told -------------------------------------------------------------------------------------


def test_when_time_is_short_then_the_search_ends_early_and_what_was_found_is_judged(source, tmp_path):
    ran = run_job("tune", tmp_path, source, "model=xgboost", *XGBOOST, "trials=50", "max_seconds=12")
    told = tuned(ran)
    assert ran.code == 0
    assert 1 <= told["counted"]["all"] < 50
    assert told["ended"] == "max_seconds"
    assert told["outer_fold"]["defaults"] is not None


def test_when_trials_break_then_they_are_recorded_and_the_others_decide(source, tmp_path):
    ran = run_job(
        "tune", tmp_path, source, "model=arima", "trials=8", "method=random", "sample=2", "tuning.prune=false",
        "models.arima.hyperparameters.d=0", "tuning.space.arima.d={choices: [0, 1]}",
        "tuning.space.arima.trend={choices: [n, c]}",
    )  # fmt: skip
    assert ran.code == 0
    failed = [one for one in trials(ran) if one["state"] == "failed"]
    assert failed
    assert all((one["parameters"]["d"], one["parameters"]["trend"]) == (1, "c") for one in failed)
    assert all("cannot be fitted" in one["cause"] for one in failed)
    assert tuned(ran)["counted"]["all"] == 8
    assert tuned(ran)["best"]["state"] == "finished"


def test_when_a_class_is_rare_then_the_sample_still_has_it(tmp_path):
    path = written(frame_of(fleet(150)), tmp_path / "sales.parquet")
    ran = run_job("tune", tmp_path, path, *AVERAGE, "trials=2", "sample=6")
    sample = tuned(ran)["sample"]
    assert sample["styles"] == 6
    assert all(some >= 1 for some, _ in sample["classes"].values())


def test_when_styles_are_split_then_the_job_and_the_rule_agree(source, tmp_path):
    ran = run_job("tune", tmp_path, source, *QUICK, "folds.inner=3", "folds.step=5", "folds.gap=2")
    from demand.store import read_panel

    split = Split.of(read_panel(ran.folder / "panel"), 7, 3, 5, 2)
    told = tuned(ran)
    assert [one["cutoff"] for one in told["inner"]] == [fold.cutoff for fold in split.inner]
    assert told["outer"]["cutoff"] == split.outer.cutoff


def test_when_the_shipped_spaces_are_listed_then_each_forecaster_that_learns_has_one():
    assert {path.stem for path in Path(CONF / "space").glob("*.yaml")} == set(LEARNED)
