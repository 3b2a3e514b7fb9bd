"""What is due trains; what is not is taken over from the champion, compared on the same origins."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from jobs import compose, entry, train
from jobs.carry import Intent, what_is_due
from models.catalog import BASELINES
from models.ensemble import KIND
from models.registry import Registry
from tests.jobs.stand_in import golden_here

MONDAY, TUESDAY = datetime(2025, 9, 8, 12, tzinfo=UTC), datetime(2025, 9, 9, 12, tzinfo=UTC)
LEARNED = ("arima", "prophet", "lstm", "xgboost", "tide")


@pytest.fixture(scope="module")
def settings():
    return compose.load("train", ["source.path=nowhere"])


def champion(trained_at, kinds=LEARNED):
    at = trained_at.isoformat()
    return SimpleNamespace(number=3, manifest={"models": {kind: {"trained_at": at} for kind in kinds}})


def learned(intent):
    return tuple(kind for kind in intent.train if kind not in BASELINES)


def test_when_there_is_no_release_yet_then_everything_trains(settings):
    assert learned(what_is_due(settings, None, TUESDAY)) == (*LEARNED, KIND)


def test_when_a_trigger_fires_today_then_its_models_train_and_the_others_say_when(settings):
    tuesday = what_is_due(settings, champion(TUESDAY - timedelta(days=1)), TUESDAY)
    assert learned(tuesday) == ("xgboost",)
    assert set(tuesday.train) > set(BASELINES)
    assert tuesday.idle["arima"] == "not due on 2025-09-09; next on 2025-09-15"
    assert set(tuesday.idle) == {"arima", "prophet", "lstm", "tide", KIND}
    assert tuesday.idle["tide"] == tuesday.idle[KIND] == "not due on 2025-09-09; next on 2025-09-15"
    monday = what_is_due(settings, champion(MONDAY - timedelta(days=1)), MONDAY)
    assert learned(monday) == ("arima", "prophet", "xgboost", "tide", KIND)


def test_when_a_member_beside_the_seven_has_a_cadence_then_it_trains_then_and_not_with_the_ensemble(settings):
    own = replace(settings, schedule=replace(settings.schedule, biweekly=("lstm", "tide")))
    monday = what_is_due(own, champion(MONDAY - timedelta(days=1)), MONDAY)
    assert learned(monday) == ("arima", "prophet", "xgboost", KIND)
    assert monday.idle["tide"] == "not due on 2025-09-08; next on 2025-09-15"


def test_when_a_version_is_stale_or_missing_then_it_trains_although_it_is_not_due(settings):
    old = what_is_due(settings, champion(TUESDAY - timedelta(days=11)), TUESDAY)
    assert learned(old) == ("arima", "prophet", "xgboost", "tide")  # 7 + 3 days of grace; lstm may be 14 + 3 days old
    assert "its version is 11 days old, 10 are allowed" in old.notes[0]
    lacking = what_is_due(settings, champion(TUESDAY, ("arima", "prophet", "xgboost")), TUESDAY)
    assert learned(lacking) == ("lstm", "xgboost", "tide")
    lenient = replace(settings, schedule=replace(settings.schedule, grace_days=4))
    assert learned(what_is_due(lenient, champion(TUESDAY - timedelta(days=11)), TUESDAY)) == ("xgboost",)


def test_when_base_models_are_not_retrained_then_only_what_is_due_trains(settings):
    ensemble = settings.models[KIND]
    kept = replace(ensemble, training_params={**ensemble.training_params, "retrain_base_models": False})
    lazy = replace(settings, models={**settings.models, KIND: kept})
    assert learned(what_is_due(lazy, champion(TUESDAY - timedelta(days=99)), TUESDAY)) == ("xgboost",)


def test_when_baselines_alone_are_asked_for_then_they_run_at_any_time(settings):
    asked = what_is_due(replace(settings, only=("mean",)), champion(TUESDAY), TUESDAY)
    assert asked.train == tuple(BASELINES)
    assert set(what_is_due(replace(settings, enable_ml=False), champion(TUESDAY), TUESDAY).train) == set(BASELINES)


def test_when_nothing_is_due_then_nothing_trains_unless_forced(settings):
    one = replace(settings, only=("arima",))
    assert what_is_due(one, champion(TUESDAY), TUESDAY).train == ()
    assert learned(what_is_due(replace(one, force=True), champion(TUESDAY), TUESDAY)) == ("arima",)


def test_when_an_intent_is_stored_then_a_resumed_run_reads_the_same():
    intent = Intent(("mean", "xgboost"), ("arima",), {"arima": "not due"}, ("a note",), 7, ((1, 2), (3,)))
    assert Intent.from_json(json.loads(json.dumps(intent.as_json()))) == intent
    assert Intent.from_json(json.loads(json.dumps(Intent(("mean",)).as_json()))) == Intent(("mean",))


# ---- the whole job ----------------------------------------------------------------------------------------------


def sales(path, days, seed=1):
    rng = np.random.default_rng(seed)
    demand = {f"S{i}": rng.poisson(5 + 20 * (i % 3) + 4 * (np.arange(200) % 7), 200) for i in range(6)}
    dates = np.datetime64("2025-01-01") + np.arange(days)
    lines = [f"{name},{date},{y[k]}" for name, y in demand.items() for k, date in enumerate(dates)]
    path.write_text("\n".join(["unique_id,ds,y", *lines]) + "\n")
    return path


class Desk:
    """One storage, trained again and again."""

    def __init__(self, folder):
        self.folder, self.registry = folder, Registry(folder / "storage" / "registry")

    def train(self, days, *more):
        source = sales(self.folder / f"{days}.csv", days)
        everyone = [] if any(text.startswith("only=") for text in more) else ["only=null"]
        told = [
            "experiment=smoke", *everyone, f"source.path={source}", f"storage.root={self.folder / 'storage'}",
            "parallel_training=false", "progress=false",
            "models.lstm.enabled=false", "models.tide.enabled=false", "batch_seconds=60",
            "models.xgboost.hyperparameters.n_estimators=5", "models.exponential_smoothing.enabled=false",
            "models.tsb.enabled=false", "models.prophet.training_params.uncertainty_samples=20",
            "schedule.triggers.weekly='0 3 29 2 *'",  # never today: whatever day the test runs on
        ]  # fmt: skip
        with golden_here():
            return entry.exit_code("train", train.body, [*told, *more])

    def history(self):
        return [json.loads(line) for line in (self.registry.root / "history.jsonl").read_text().splitlines()]

    def model(self, number, kind):
        folder = self.registry.open(number).file(f"models/{kind}")
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def forecast(self, number):
        return self.registry.open(number).file("forecasts.parquet").read_bytes()


@pytest.mark.slow
def test_when_only_one_model_is_due_then_the_release_takes_the_others_over(tmp_path, capsys):
    desk = Desk(tmp_path)
    assert desk.train(150) == entry.OK
    capsys.readouterr()
    assert desk.train(150) == entry.OK
    assert "Taken     arima, prophet from release 1" in capsys.readouterr().out
    assert desk.forecast(2) == desk.forecast(1)  # the same data and models, however they came together
    assert desk.model(2, "arima") == desk.model(1, "arima")
    by_model = {entry["model_type"]: entry for entry in desk.history() if entry["release"] == 2}
    assert (by_model["arima"]["status"], by_model["xgboost"]["status"]) == ("skipped", "success")

    assert desk.train(153) == entry.OK
    said = capsys.readouterr().out
    assert "prophet is trained as well: its fits answer for the day they were made" in said
    third = desk.registry.open(3)
    assert third.json("card.json")["folds"] == desk.registry.open(1).json("card.json")["folds"]
    assert desk.model(3, "arima") == desk.model(1, "arima")
    assert third.manifest["models"]["arima"]["version"] == desk.registry.open(1).manifest["run_id"]
    assert third.manifest["models"]["xgboost"]["version"] == third.manifest["run_id"]

    assert desk.train(153, "models.arima.hyperparameters.p=1") == entry.OK
    assert "arima is trained as well: its settings changed" in capsys.readouterr().out
    assert desk.model(4, "arima") != desk.model(1, "arima")

    assert desk.train(170) == entry.OK  # more than a horizon later: the old origins say little about today
    assert "nothing is taken over" in " ".join(capsys.readouterr().out.split())
    assert desk.registry.open(5).json("card.json")["folds"] != third.json("card.json")["folds"]


@pytest.mark.slow
def test_when_nothing_is_due_then_the_job_says_so_records_it_and_ends_well(tmp_path, capsys):
    desk = Desk(tmp_path)
    assert desk.train(150, "only=[arima]") == entry.OK
    capsys.readouterr()
    assert desk.train(150, "only=[arima]") == entry.OK
    assert capsys.readouterr().out.startswith("Skipped   nothing is due")
    assert desk.registry.numbers() == [1]
    assert (desk.history()[-1]["status"], desk.history()[-1]["model_type"]) == ("skipped", "arima")
    assert desk.train(150, "only=[arima]", "force=true") == entry.OK
    assert desk.registry.numbers() == [1, 2]
