"""The automatic search as a user runs it: a small booster and the array models, on files, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import jobs.automl
import jobs.automl_fits
import jobs.automl_search
from evaluation import tuning
from jobs import compose
from jobs.budget import Budget
from jobs.entry import exit_code
from jobs.own_folder import CONF
from jobs.trial_log import TrialLog
from jobs.tuned import tuned_from, with_tuned
from tests.acceptance.made import SMALL, frame_of, refused, run_job, strict_json, written
from tests.jobs.test_tune import levels

ALONE = tuple(f"models.{kind}.enabled=false" for kind in ("arima", "prophet", "lstm", "tide"))
QUICK = (*ALONE, "only=[ensemble]", "folds.inner=3", "trials=3", "budget=10m")
AVERAGES = (*QUICK, "models.xgboost.enabled=false")  # nothing that takes longer than milliseconds


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return written(frame_of(levels()), tmp_path_factory.mktemp("source") / "sales.parquet")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """The same demand, with the outer window (the last seven days) times a million."""
    rows = {name: np.concatenate([y[:-7], y[-7:] * 1e6]) for name, y in levels().items()}
    return written(frame_of(rows), tmp_path_factory.mktemp("poisoned") / "sales.parquet")


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """What was told -> that search in full, made once."""
    made = {}

    def search(what):
        if what not in made:
            made[what] = run_job("automl", tmp_path_factory.mktemp("whole"), source, *what)
            assert made[what].code == 0
        return made[what]

    return search


EACH = [pytest.param(AVERAGES, id="averages"), pytest.param(QUICK, id="booster", marks=pytest.mark.slow)]


def timeless(value):
    """The report without how long things took."""
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name != "seconds"}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def told(ran):
    return ran.json("automl")


def inner_part(ran):
    """All that must not depend on the outer fold."""
    names = ("models", "searches", "ensembles", "default", "best", "sample", "inner", "ranked_by", "space")
    return timeless({name: told(ran)[name] for name in names})


def go_on(root, *more):
    """The job again, told only which run it goes on with."""
    argv = [f"storage.root={root}", "resume=r", "parallel_training=false", "progress=false", *more]
    return exit_code("automl", jobs.automl.body, argv)


@pytest.mark.slow
def test_when_a_search_ends_then_every_stage_is_in_the_report_and_both_configurations_are_compared(whole):
    ran = whole(QUICK)
    found = told(ran)
    assert {one["model"] for one in found["models"]} == {
        "zero", "mean", "naive", "seasonal_naive", "moving_average", "exponential_smoothing", "tsb", "xgboost",
    }  # fmt: skip
    assert all(len(one["folds"]) == 3 and one["state"] == "finished" for one in found["models"])
    (search,) = found["searches"]
    assert (search["model"], len(search["all_trials"])) == ("xgboost", 3)
    booster = next(one for one in found["models"] if one["model"] == "xgboost")
    assert search["all_trials"][0]["score"] == booster["score"]
    assert "all" in search["features_tried"]
    assert found["default"]["members"] == ["xgboost", "exponential_smoothing", "seasonal_naive"]
    assert found["ensembles"][0]["step"] == "as configured"
    assert found["best"]["score"] <= found["default"]["score"]
    last = max(fold["cutoff"] for fold in found["inner"])
    assert found["outer"]["cutoff"] >= last + found["horizon"]
    assert set(found["judge_ensembles"]) < {fold["cutoff"] for fold in found["inner"]}
    outer = found["outer_fold"]
    assert found["accepted"] is (outer["best"] is not None and outer["best"] <= outer["defaults"])
    assert (ran.folder / "tuned.json").exists() is found["accepted"]
    first = json.loads((ran.folder / "trials.jsonl").read_text().splitlines()[0])["search"]
    assert (first["budget_s"], first["seed"]) == (600, 42)
    assert ran.json("manifest")["job"] == "automl"


@pytest.mark.parametrize("what", EACH)
def test_when_it_is_told_then_no_line_is_wider_than_80_columns(whole, what, capsys):
    ran = whole(what)
    capsys.readouterr()
    assert go_on(ran.folder.parent.parent) == 0
    shown = capsys.readouterr().out
    printed = [line for line in shown.splitlines() if str(ran.folder) not in line]
    assert max(map(len, printed)) <= 80
    assert "seen by no trial" in shown
    assert "Time " in shown


@pytest.mark.parametrize("what", EACH)
def test_when_a_search_is_run_again_then_it_is_the_same(source, whole, what, tmp_path):
    again = run_job("automl", tmp_path, source, *what)
    assert timeless(told(again)) == timeless(told(whole(what)))


def test_when_the_best_was_better_inside_and_outside_then_it_is_accepted_and_used(source, tmp_path):
    # A fleet whose level moves: the configured average of 60 days has no chance against the newest value.
    slow = ("models.ensemble.hyperparameters.models=[mean]", "models.ensemble.hyperparameters.weights=[1.0]",
            "models.ensemble.hyperparameters.extra_members=[]")  # fmt: skip
    ran = run_job("automl", tmp_path, source, *AVERAGES, *slow, "run_id=search")
    found = strict_json(tmp_path / "runs" / "search" / "automl.json")
    assert (ran.code, found["accepted"]) == (0, True)
    assert found["outer_fold"]["best"] < 0.9 * found["outer_fold"]["defaults"]
    use = found["use"]["ensemble"]
    assert use["models"] + use["extra_members"] == found["best"]["members"]
    argv = [*SMALL, *AVERAGES[:-1], *slow, f"source.path={source}", f"storage.root={tmp_path}"]
    argv = [one for one in argv if not one.startswith(("trials", "budget"))]
    plain = compose.load("backtest", list({one.partition("=")[0]: one for one in argv}.values()))
    for settings in (plain, replace(plain, tuned=("search",))):  # the newest, and by name
        used = with_tuned(replace(settings, models={**settings.models}))
        assert list(used.ensemble.members) == found["best"]["members"]
        assert used.ensemble.aggregation == use["aggregation"]
        assert tuned_from(used) == {"ensemble": "search"}


@pytest.mark.slow
def test_when_a_configuration_was_accepted_then_a_backtest_uses_all_of_it(source, tmp_path):
    slow = ("models.ensemble.hyperparameters.models=[mean]", "models.ensemble.hyperparameters.weights=[1.0]",
            "models.ensemble.hyperparameters.extra_members=[]")  # fmt: skip
    assert run_job("automl", tmp_path, source, *AVERAGES, *slow, "run_id=search").code == 0
    found = strict_json(tmp_path / "runs" / "search" / "automl.json")
    rest = [one for one in (*AVERAGES, *slow) if not one.startswith(("trials", "budget", "folds"))]
    before = run_job("backtest", tmp_path, source, *rest, "run_id=before", "tuning.hyperparameter_tuning=false")
    after = run_job("backtest", tmp_path, source, *rest, "run_id=after")
    assert (before.code, after.code) == (0, 0)
    manifest = strict_json(tmp_path / "runs" / "after" / "manifest.json")
    assert manifest["tuned"] == {"ensemble": "search"}
    boards = [strict_json(tmp_path / "runs" / name / "backtest.json") for name in ("before", "after")]
    assert boards[0] != boards[1]
    assert found["accepted"]


# ---- truth: nothing sees the outer fold ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", EACH)
def test_when_the_outer_fold_is_poisoned_then_no_trial_and_no_choice_changes(whole, what, poisoned, tmp_path):
    clean, poison = whole(what), run_job("automl", tmp_path, poisoned, *what)
    assert poison.code == 0
    assert inner_part(poison) == inner_part(clean)
    assert told(poison)["outer_fold"] != told(clean)["outer_fold"]  # it is there, and only the judge saw it


def test_when_trials_are_given_the_outer_window_on_purpose_then_the_check_above_would_see_it(
    source, poisoned, tmp_path, monkeypatch
):
    monkeypatch.setattr(tuning, "known_to_trials", lambda panel, end: panel)
    clean, poison = (run_job("automl", tmp_path / str(k), path, *AVERAGES) for k, path in enumerate((source, poisoned)))
    assert (clean.code, poison.code) == (0, 0)
    assert inner_part(clean) != inner_part(poison)


def test_when_demand_is_noise_then_the_gain_is_reported_as_what_it_is(tmp_path):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = {f"s{i}": rng.gamma(4, 5, 140) for i in range(10)}
        path = written(frame_of(rows), tmp_path / str(seed) / "sales.parquet")
        found = told(run_job("automl", tmp_path / str(seed), path, *AVERAGES))
        outer = found["outer_fold"]
        assert "beyond chance" not in found["why"]
        if found["accepted"]:
            assert outer["best"] <= outer["defaults"]
            assert outer["gain"] < 0.05
        best = min(found["models"], key=lambda one: one["score"])
        assert best["model"] in ("mean", "exponential_smoothing", "tsb", "moving_average")


# ---- the budget ------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only where the test lets it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def slow_fits(monkeypatch):
    """Fits that take a told time on a clock of their own: model -> seconds. Trials are counted by it as well."""
    clock, cost = Clock(), {}
    honest = jobs.automl_fits.made_at

    def made(bench, config, fold, max_seconds):
        seconds = cost.get(bench.kind, 0.0)
        clock.now += min(seconds, max_seconds)
        if seconds > max_seconds:
            return jobs.automl_fits.Made(fold, None, max_seconds, "time_budget: cut")
        return replace(honest(bench, config, fold, float("inf")), seconds=seconds)

    monkeypatch.setattr(jobs.automl_fits, "made_at", made)
    monkeypatch.setattr(jobs.automl, "Budget", lambda total, spent=0.0: Budget(total, spent, clock))
    monkeypatch.setattr(jobs.automl, "made_at", made)
    monkeypatch.setattr(jobs.automl_search, "_trials", lambda *a: "the time for it was used up")
    return clock, cost


@pytest.mark.parametrize(("budget", "fit_s", "runs"), [(100, 20, True), (100, 26, False), (100, 60, False)])
def test_when_a_model_needs_more_than_its_share_then_it_is_left_out_and_the_budget_holds(
    source, tmp_path, slow_fits, capsys, budget, fit_s, runs
):
    clock, cost = slow_fits
    cost["xgboost"] = fit_s
    ran = run_job("automl", tmp_path, source, *QUICK, f"budget={budget}")
    assert ran.code == 0
    booster = next(one for one in told(ran)["models"] if one["model"] == "xgboost")
    assert (booster["score"] is not None) is runs
    assert clock.now <= 1.1 * budget
    if not runs:
        assert booster["cause"].startswith("left out: ")
        assert "xgboost" not in told(ran)["default"]["members"]
        shown = capsys.readouterr().out
        assert "xgboost: left out" in " ".join(shown.split())
        assert "xgboost could not be measured and would stay" in " ".join(shown.split())
        use = told(ran)["use"].get("ensemble")
        assert use is None or "xgboost" in use["models"]  # nothing was found out about it, so it stays a member


@pytest.mark.slow
@pytest.mark.parametrize("budget", [8, 14])
def test_when_the_budget_binds_then_it_is_honoured_and_what_was_found_is_judged(source, tmp_path, budget):
    began = time.monotonic()
    larger = ("models.xgboost.hyperparameters.n_estimators=100", "trials=50", "features.auto_feature_engineering=true")
    ran = run_job("automl", tmp_path, source, *QUICK, *larger, f"budget={budget}s")
    assert ran.code == 0
    assert time.monotonic() - began <= 1.1 * budget + 1  # what is written at the end
    assert told(ran)["seconds"] <= 1.1 * budget
    assert told(ran)["outer_fold"]["defaults"] is not None
    assert all(one["ended"] == "the time for it was used up" for one in told(ran)["searches"])


# ---- interrupted -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "lines"),
    [(AVERAGES, 1), (AVERAGES, 4), *(pytest.param(QUICK, lines, marks=pytest.mark.slow) for lines in (10, 16, 18))],
    ids=lambda one: str(one) if isinstance(one, int) else "",
)
def test_when_a_run_is_resumed_then_what_was_done_stays_and_the_end_is_the_same(source, whole, tmp_path, what, lines):
    ran = run_job("automl", tmp_path, source, *what)
    log = ran.folder / "trials.jsonl"
    kept = log.read_bytes().splitlines(keepends=True)[:lines]
    log.write_bytes(b"".join(kept) + b'{"trial": {"numb')  # killed while a line was written
    for name in ("automl.json", "tuned.json"):
        (ran.folder / name).unlink(missing_ok=True)
    if lines < 18:  # killed before its parameters were searched
        for path in (ran.folder / "search-xgboost").glob("*"):
            path.unlink()
        (ran.folder / "features.json").unlink(missing_ok=True)
    assert go_on(tmp_path) == 0
    assert timeless(told(ran)) == timeless(told(whole(what)))
    assert log.read_bytes().startswith(b"".join(kept))
    assert len(TrialLog(ran.folder).read()) == len(TrialLog(whole(what).folder).read())


def test_when_a_run_that_ended_is_resumed_then_nothing_is_run_or_written(source, tmp_path, monkeypatch, capsys):
    ran = run_job("automl", tmp_path, source, *AVERAGES)
    before = {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()}
    first = capsys.readouterr().out
    monkeypatch.setattr("jobs.automl_fits.made_at", None)
    assert go_on(tmp_path) == 0
    assert capsys.readouterr().out == first
    assert {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()} == before


def test_when_a_resumed_search_is_told_otherwise_then_it_is_refused(source, tmp_path, capsys):
    run_job("automl", tmp_path, source, *AVERAGES)
    assert go_on(tmp_path, "budget=5m") == 2
    assert "budget=300.0, the run has 600.0" in " ".join(capsys.readouterr().err.split())


def test_when_stored_forecasts_are_damaged_then_it_is_an_error_of_storage_and_code_2(source, tmp_path, capsys):
    ran = run_job("automl", tmp_path, source, *AVERAGES)
    (ran.folder / "automl.json").unlink()
    (ran.folder / "forecasts" / "000.parquet").write_bytes(b"PAR1")
    assert go_on(tmp_path) == 2
    assert "stored forecasts of a search cannot be read" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_when_the_process_is_killed_on_ray_then_resuming_ends_as_if_it_had_not(source, tmp_path):
    small = [one for one in SMALL if not one.startswith(("parallel", "folds", "progress"))]
    argv = {one.partition("=")[0]: one for one in [*small, *QUICK, f"source.path={source}", "run_id=r", "trials=6"]}

    def command(root, *more):
        return [sys.executable, "-m", "jobs.automl", f"storage.root={root}", "progress=false", *more]

    folder = tmp_path / "cut" / "runs" / "r"
    process = subprocess.Popen(
        command(tmp_path / "cut", *argv.values(), "cluster.num_cpus=2"), cwd=CONF.parent, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while len(TrialLog(folder / "search-xgboost").read()) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = (folder / "trials.jsonl").read_bytes()
    again = command(tmp_path / "cut", "resume=r", "cluster.num_cpus=2")
    assert subprocess.run(again, cwd=CONF.parent, capture_output=True, timeout=400).returncode == 0
    assert (folder / "trials.jsonl").read_bytes().startswith(kept)
    alone = run_job("automl", tmp_path / "alone", source, *QUICK, "trials=6")
    assert timeless(strict_json(folder / "automl.json")) == timeless(told(alone))


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("budget=0",), "must be above 0"),
        (("budget=abc",), "must be a time such as 90s, 10m or 1h"),
        (("budget=null",), "how long may the search take?"),
        (("budget=0.000001",), "too short for one fit"),
        (("tuning.space.xgboost.max_dept={low: 2, high: 3}",), "did you mean 'max_depth'"),
        (("tuning.space.xgbost.max_depth={low: 2, high: 3}",), "did you mean 'xgboost'"),
        (("tuning.space.xgboost.max_depth={low: 5, high: 5}",), "an empty range"),
        (("tuning.space.xgboost.max_depth={low: 0, high: 5}",), "a value that the model refuses"),
        (("trials=0",), "greater than or equal to 1"),
        (("trials=51",), "less than or equal to 50"),
        (("folds.inner=1",), "two are needed"),
        (("only=[xgboost]",), "does not run here"),
        (("models.ensemble.enabled=false", "only=null"), "does not run here"),
        (("tuning.hyperparameter_tuning=false",), "nothing is tuned"),
        (("horizon=40",), "too short for the inner folds"),
        (("source.path=nowhere.parquet",), "nowhere.parquet"),
        (("sample=none",), "tuning.sample"),
    ],
)
def test_when_the_input_is_bad_then_one_message_says_why_the_code_is_2_and_nothing_is_written(
    source, tmp_path, capsys, more, said
):
    assert refused(tmp_path, capsys, said, "automl", tmp_path / "s", source, *QUICK, *more) == ""


@pytest.mark.parametrize("silent", [slice(None), slice(-7, None), slice(-14, -7)])
def test_when_nothing_was_sold_in_a_scored_window_then_the_metric_is_undefined_and_the_search_is_refused(
    tmp_path, capsys, silent
):
    rows = {name: y.copy() for name, y in levels().items()}
    for y in rows.values():
        y[silent] = 0.0
    path = written(frame_of(rows), tmp_path / "sales.parquet")
    assert run_job("automl", tmp_path / "s", path, *AVERAGES).code == 2
    assert "nothing was sold" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_when_only_validation_is_asked_for_then_nothing_is_searched_or_written(source, tmp_path, capsys):
    assert run_job("automl", tmp_path / "s", source, *QUICK, "validate=true").code == 0
    assert "nothing was searched" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()


def test_when_a_run_is_there_already_then_it_is_not_overwritten(source, tmp_path, capsys):
    ran = run_job("automl", tmp_path, source, *AVERAGES)
    before = {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()}
    assert run_job("automl", tmp_path, source, *AVERAGES).code == 2
    assert {path: path.read_bytes() for path in ran.folder.rglob("*") if path.is_file()} == before
