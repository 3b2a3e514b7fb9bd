"""Accepted parameters in use: by name or the newest, only where they belong, on record in what is made with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demand.errors import SettingsError, StorageError
from jobs import compose
from jobs.tuned import TUNED, accepted, tuned_from, with_tuned
from models.files import write_json
from tests.acceptance.made import run_job, strict_json
from tests.jobs.test_tune import QUICK, source  # noqa: F401 - a fixture

BASE = ("models.moving_average.hyperparameters.window=20",)


@pytest.fixture(scope="module")
def plain():
    return compose.load("train", ["source.path=sales.csv"])


@pytest.fixture
def settings(plain, tmp_path):
    return replace(plain, storage=replace(plain.storage, root=str(tmp_path)))


def search(settings, run_id, at="2026-01-01T00:00:00Z", job="tune", taken=True, ended=True, **parameters):
    """The run of a search for xgboost, as far as other jobs look at it."""
    parameters = parameters or {"max_depth": 3}
    folder = Path(settings.storage.root) / "runs" / run_id
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"job": job})
    if taken:
        write_json(folder / TUNED, accepted(settings, "xgboost", parameters, run_id, at, "2025-12-31"))
    if ended:
        write_json(folder / "tuning.json", {"why": "worse on the outer fold"})


def depth(settings):
    return settings.models["xgboost"].hyperparameters["max_depth"]


def test_when_a_run_is_named_then_its_parameters_are_in_place_and_its_id_is_kept(settings):
    search(settings, "a", max_depth=3, early_stopping_rounds=5)
    found = with_tuned(replace(settings, tuned=("a",)))
    assert depth(found) == 3
    assert found.models["xgboost"].training_params["early_stopping_rounds"] == 5
    assert found.models["arima"] == settings.models["arima"]
    assert tuned_from(found) == {"xgboost": "a"}


def test_when_none_is_named_then_the_newest_accepted_one_is_used(settings, capsys):
    search(settings, "b", at="2026-01-02T00:00:00Z", max_depth=4)
    search(settings, "z", at="2026-01-01T00:00:00Z", max_depth=5)
    search(settings, "never", taken=False)
    found = with_tuned(settings)
    assert (depth(found), found.tuned) == (4, ("b",))
    said = capsys.readouterr().out
    assert "xgboost: parameters of run b" in said
    assert "chosen on demand to 2025-12-31: its scores there are a little flattered" in said


def test_when_tuning_is_off_then_models_run_as_configured(settings):
    search(settings, "a")
    off = replace(settings, tuning=replace(settings.tuning, hyperparameter_tuning=False))
    assert with_tuned(off) == off
    with pytest.raises(SettingsError, match="named and switched off"):
        with_tuned(replace(off, tuned=("a",)))


def test_when_the_task_or_the_configuration_is_another_then_the_newest_is_not_used_unasked(settings):
    search(settings, "a")
    for other in (
        replace(settings, source=replace(settings.source, path="other.csv")),
        replace(settings, horizon=9),
        replace(settings, features=replace(settings.features, lag_periods=(3,))),
        replace(settings, only=("arima",)),
        _with_depth(settings, 9),
    ):
        assert with_tuned(other) == other
    assert depth(with_tuned(replace(settings, seed=1, folds=replace(settings.folds, inner=4)))) == 3


def _with_depth(settings, value):
    config = settings.models["xgboost"]
    changed = replace(config, hyperparameters={**config.hyperparameters, "max_depth": value})
    return replace(settings, models={**settings.models, "xgboost": changed})


def test_when_a_run_is_resumed_then_nothing_newer_is_put_into_it(settings):
    search(settings, "a")
    resumed = replace(settings, resume="r")
    assert with_tuned(resumed) == resumed


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("nowhere",), "no such run"),
        (("../a",), "no such run"),
        (("trained",), "this run tuned nothing"),
        (("going",), "has not ended"),
        (("refused",), "were not accepted"),
        (("a", "b"), "two runs of the same model"),
    ],
)
def test_when_a_named_run_has_nothing_to_give_then_it_is_refused_in_plain_words(settings, named, said):
    search(settings, "a")
    search(settings, "b")
    search(settings, "trained", job="train", taken=False, ended=False)
    search(settings, "going", taken=False, ended=False)
    search(settings, "refused", taken=False)
    with pytest.raises(SettingsError) as caught:
        with_tuned(replace(settings, tuned=named))
    assert said in str(caught.value)
    if named == ("refused",):
        assert "worse on the outer fold" in str(caught.value)


def test_when_a_named_run_cannot_act_here_then_it_is_refused(settings):
    search(settings, "a")
    with pytest.raises(SettingsError, match="configured otherwise") as caught:
        with_tuned(replace(_with_depth(settings, 9), tuned=("a",)))
    assert "max_depth" in str(caught.value)
    with pytest.raises(SettingsError, match="does not run here"):
        with_tuned(replace(settings, only=("arima",), tuned=("a",)))


def test_when_the_file_is_damaged_then_it_is_an_error_of_storage(settings, tmp_path):
    search(settings, "a")
    path = tmp_path / "runs" / "a" / TUNED
    path.write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        with_tuned(settings)
    path.write_text('{"model": "xgboost"}')
    with pytest.raises(StorageError, match="not whole"):
        with_tuned(settings)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["backtest", "train", "pipeline"])
def test_when_parameters_were_accepted_then_a_job_uses_them_and_its_files_say_so(job, source, tmp_path):  # noqa: F811
    found = run_job("tune", tmp_path, source, *QUICK, "run_id=search")
    assert found.code == 0
    accepted_one = strict_json(tmp_path / "runs" / "search" / "tuned.json")
    window = accepted_one["parameters"]["window"]
    told = ("enable_ml=false", *BASE)
    seen = {}
    for name, more in {
        "named": ("tuned=search",),
        "newest": (),
        "off": ("tuning.hyperparameter_tuning=false",),
    }.items():
        ran = run_job(job, tmp_path, source, *told, *more, f"run_id={name}")
        folder = tmp_path / "runs" / name
        assert ran.code == 0
        manifest, config = strict_json(folder / "manifest.json"), strict_json(folder / "config.json")
        seen[name] = (
            manifest["tuned"], config["models"]["moving_average"]["hyperparameters"]["window"],
            replace(ran, folder=folder).board.loc["moving_average", "wape"],
        )  # fmt: skip
    assert seen["named"] == seen["newest"]
    assert seen["named"][:2] == ({"moving_average": "search"}, window)
    assert seen["off"][:2] == ({}, 20)
    assert seen["off"][2] != seen["named"][2]
    if job != "backtest":
        release = strict_json(tmp_path / "registry" / "releases" / "000001" / "manifest.json")
        assert release["tuned"] == {"moving_average": "search"}
