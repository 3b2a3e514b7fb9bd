"""Promotion at the release desk: what may serve does, what may not changes nothing, and everything is told and kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jobs import activation
from jobs.activation import health
from jobs.entry import FAILED, OK, REFUSED
from models import golden
from models.forecast_files import read_forecasts, write_forecasts
from tests.acceptance.made import written
from tests.jobs.desk import LIGHT, Desk, sales

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Desk.made(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def desk(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def rows(desk, number, name="forecasts"):
    ((_, forecast),) = read_forecasts(desk.registry.open(number).file(f"{name}.parquet"))
    return forecast


def times(name, factor, only=None):
    """Edits a file of forecasts: numbers of `only` (a kind) times a factor [by style or one]."""

    def edit(folder):
        said = read_forecasts(folder / f"{name}.parquet")
        changed = [(k, f if only not in (None, k) else replace(f, mean=f.mean * factor(f)[:, None],
                                                               quantiles=f.quantiles * factor(f)[:, None, None]))
                   for k, f in said]  # fmt: skip
        write_forecasts(folder / f"{name}.parquet", changed)

    return edit


def all_by(number):
    return lambda forecast: np.full(len(forecast.ids), float(number))


def test_when_the_newest_release_passes_the_gate_then_it_serves_and_the_reasons_are_kept(desk, capsys):
    assert desk.run("promote") == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "Release 2 serves in the place of 1" in said
    assert "not worse than release 1: WAPE 0.2" in said
    assert (desk.registry.alias("champion"), desk.registry.alias("previous")) == (2, 1)
    facts = desk.noted()
    assert facts["forced"] is False
    assert facts["gate"]["passed"] is True
    assert {test["check"] for test in facts["gate"]["tests"]} >= {"beats seasonal_naive", "beats mean", "champion"}
    assert all(test["p_better"] < 0.05 for test in facts["gate"]["tests"] if test["check"].startswith("beats"))
    assert desk.run("promote", "release=previous") == OK
    assert desk.registry.alias("champion") == 1


def test_when_a_release_is_rolled_back_to_then_its_bytes_and_its_predictions_are_those_it_had(desk):
    before = desk.registry.open("champion").manifest_sha256
    assert desk.run("promote") == OK
    assert desk.run("rollback") == OK
    release = desk.registry.open("champion")
    assert release.manifest_sha256 == before
    assert golden.ailment(release.path) == ""
    away = json.loads((release.path / "golden" / "golden.json").read_text())["against_trained"]
    assert set(away.values()) == {0.0}  # loaded from the files = in memory when it was trained
    assert {"arima", "xgboost", "mean"} <= set(away)


def test_when_it_is_worse_than_the_champion_then_it_is_held_back_and_the_registry_is_as_it_was(desk, capsys):
    worse = desk.forged(2, times("scored", all_by(3.0), only="ensemble"))
    before = desk.tree()
    assert desk.run("promote", f"release={worse}") == FAILED
    said = " ".join(capsys.readouterr().out.split())
    assert f"Held back release {worse} was not promoted:" in said
    assert "does not beat seasonal_naive beyond chance" in said
    assert "worse than release 1: WAPE" in said
    assert desk.tree() == before
    assert desk.run("promote", f"release={worse}", "force=true", "reason=the planner insists") == OK
    facts = desk.noted()
    assert facts["forced"] is True
    assert facts["reason"] == "the planner insists"
    assert facts["gate"]["passed"] is False
    assert json.loads(desk.registry.view_path.read_text())["xgboost"]["forced"] is True
    assert desk.run("releases") == OK
    assert f"release {worse} promoted (forced): the planner insists" in capsys.readouterr().out


def test_when_one_styles_forecast_is_a_thousand_times_too_high_then_it_is_held_back(desk, capsys):
    def one(forecast):
        return np.where(forecast.ids == "s03", 1000.0, 1.0)

    poisoned = desk.forged(2, times("forecasts", one))
    before = desk.tree()
    assert desk.run("promote", f"release={poisoned}") == FAILED
    assert "forecast beyond ten times any demand release 1 knew: s03" in " ".join(capsys.readouterr().out.split())
    assert desk.tree() == before


def test_when_a_style_of_the_data_was_rescaled_then_the_run_ends_well_and_its_release_is_held_back(desk, capsys):
    frame = sales()
    frame.loc[frame["unique_id"] == "s03", "y"] *= 1000
    assert desk.run("train", "run_id=poisoned", "force=true", *LIGHT,
                    source=written(frame, desk.folder / "poisoned.parquet")) == OK  # fmt: skip
    assert "other demand than release 1 knew, for 1 of 12 styles: s03 (1e+03" in " ".join(
        capsys.readouterr().out.split()
    )
    assert (desk.registry.alias("champion"), desk.registry.newest()) == (1, 3)
    entry = desk.history()[-1]
    assert entry["release"] == 3
    promotion = json.loads((desk.root / "runs" / "poisoned" / "summary.json").read_text())["promotion"]
    assert promotion["promoted"] is False
    assert "other demand" in promotion["reasons"][0]
    assert entry["promotion"].startswith("held back: the same days hold other demand")


def test_when_below_threshold_blocks_then_it_is_held_back_and_with_warn_it_is_said(desk, capsys):
    assert desk.run("promote", "gate.below_threshold=block") == FAILED
    assert "gate.below_threshold=block" in " ".join(capsys.readouterr().out.split())
    assert desk.registry.alias("champion") == 1
    assert desk.run("promote", "gate.below_threshold=warn") == OK
    assert "below its min_accuracy_threshold (gate.below_threshold=warn)" in " ".join(capsys.readouterr().out.split())


def test_when_an_unstable_model_blocks_then_it_is_held_back_and_with_warn_it_is_said(desk, capsys):
    def shaken(folder):
        path = folder / "metrics.parquet"
        board = pd.read_parquet(path)
        board["unstable"] = True
        board.to_parquet(path)

    number = desk.forged(2, shaken)
    assert desk.run("promote", f"release={number}", "gate.unstable=block") == FAILED
    said = " ".join(capsys.readouterr().out.split())
    assert "varies a lot between origins (standard deviation" in said
    assert "gate.unstable=block" in said
    assert desk.registry.alias("champion") == 1
    assert desk.run("promote", f"release={number}") == OK
    assert "(gate.unstable=warn)" in " ".join(capsys.readouterr().out.split())
    assert desk.run("promote", "release=1", "gate.unstable=block", "force=true") == OK


def damaged_model(folder):
    """Another number in a native model file, sealed as if it belonged there."""
    place = next(folder.glob("models/exponential_smoothing/*/model"))
    for path in sorted(place.glob("*.npz")):
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        name = next(name for name in arrays if arrays[name].dtype.kind == "f")
        arrays[name] = arrays[name] * 1.01
        np.savez(path, **arrays)
        return
    raise AssertionError(f"no arrays in {list(place.iterdir())}")


def unreadable_model(folder):
    next(folder.glob("models/xgboost/*/model/mean.ubj")).write_bytes(b"{L\x00nothing of the kind")


@pytest.mark.parametrize("damage", [damaged_model, unreadable_model])
def test_when_a_model_file_is_not_what_was_trained_then_it_may_never_serve_not_even_forced(desk, capsys, damage):
    bad = desk.forged(2, damage)
    assert desk.registry.open(bad).number == bad  # its sums are right: only asking the models finds it
    before = desk.tree()
    assert desk.run("promote", f"release={bad}", child=True) == FAILED
    assert "it does not predict" in capsys.readouterr().out
    assert desk.run("promote", f"release={bad}", "force=true", child=True) == FAILED
    assert "RegistryError: the release may not serve" in capsys.readouterr().err
    assert desk.tree() == before


def test_when_the_models_of_the_release_before_have_changed_then_a_rollback_is_refused(desk, capsys, monkeypatch):
    before = desk.tree()
    monkeypatch.setattr(golden, "ailment", lambda folder: "xgboost does not repeat its golden prediction")
    assert desk.run("rollback") == FAILED
    assert "may not serve" in capsys.readouterr().err
    assert desk.tree() == before


def test_when_a_style_has_no_finite_row_then_it_does_not_predict(desk, capsys):
    def one(forecast):
        return np.where(forecast.ids == "s07", np.nan, 1.0)

    silent = desk.forged(2, times("forecasts", one))
    assert desk.run("promote", f"release={silent}") == FAILED
    assert "1 styles have no finite forecast, s07 among them" in " ".join(capsys.readouterr().out.split())
    desk.registry.promote(silent, expected=1, facts={})
    assert "s07 among them" in health(desk.registry)


def test_when_a_promoted_release_is_ill_then_the_one_before_serves_again(desk, capsys, monkeypatch):
    """`releases.rollback_on_failure`: true gives the champion back, false says it and leaves it."""
    monkeypatch.setattr(activation, "health", lambda registry, proved=False: "s01 has no finite total over 30 days")
    assert desk.run("promote") == FAILED
    said = " ".join(capsys.readouterr().out.split())
    assert "Release 2 was promoted in the place of 1 and taken back" in said
    assert "failed its health check: s01 has no finite total over 30 days" in said
    assert desk.registry.alias("champion") == 1
    assert [pointer["release"] for pointer in desk.registry.promotions()][-3:] == [1, 2, 1]
    facts = desk.noted()
    assert (facts["automatic"], facts["rolled_back_from"]) == (True, 2)
    assert "s01 has no finite total" in facts["reason"]

    assert desk.run("promote", "releases.rollback_on_failure=false") == FAILED
    assert "it serves all the same" in capsys.readouterr().out
    assert desk.registry.alias("champion") == 2


def test_when_a_run_releases_an_ill_champion_then_it_ends_with_1_and_the_one_before_serves(desk, capsys, monkeypatch):
    monkeypatch.setattr(activation, "health", lambda registry, proved=False: "ill")
    assert desk.run("train", "run_id=third", "force=true", *LIGHT) == FAILED
    assert "release 1 serves again" in capsys.readouterr().out
    assert (desk.registry.alias("champion"), desk.registry.newest()) == (1, 3)


def test_when_the_champion_itself_is_damaged_then_a_promotion_says_so_and_goes_on(desk, capsys):
    (desk.registry.root / "releases" / "000001" / "card.json").write_text("{}")
    assert "VersionUnreadable" in health(desk.registry)
    assert desk.run("promote") == OK
    assert "release 1 serves and cannot be compared with, it is damaged" in " ".join(capsys.readouterr().out.split())


# ---- one model -------------------------------------------------------------------------------------------------------


def test_when_one_model_is_promoted_then_the_release_is_what_a_run_with_it_would_have_made(desk, capsys):
    before = len(desk.history())
    assert desk.run("promote", "model=xgboost", "reason=it is better") == OK
    assert "Release 3 serves in the place of 1" in " ".join(capsys.readouterr().out.split())
    release, second = desk.registry.open(3), desk.registry.open(2)
    for name in ("forecasts.parquet", "origins.parquet", "scored.parquet", "weights.parquet"):
        assert release.file(name).read_bytes() == second.file(name).read_bytes(), name
    versions = {kind: entry["version"] for kind, entry in release.manifest["models"].items()}
    assert (versions["xgboost"], versions["arima"]) == ("second", "first")
    assert release.json("card.json")["metrics"] == second.json("card.json")["metrics"]
    assert golden.ailment(release.path) == ""
    facts = desk.noted()
    assert (facts["model"], facts["model_from"], facts["made_from"], facts["forced"]) == ("xgboost", 2, 1, False)
    added = {entry["model_type"]: entry for entry in desk.history()[before:]}
    assert added["xgboost"]["release"] == 3
    assert "release 2's is used" in added["xgboost"]["error"]
    assert "release 1's is used" in added["arima"]["error"]
    assert desk.run("releases") == OK
    assert "release 3 promoted (xgboost from release 2): it is better" in capsys.readouterr().out
    assert desk.run("promote", "model=xgboost") == REFUSED  # there is none newer now
    assert "no release has a newer version" in capsys.readouterr().err


def test_when_a_promoted_model_makes_the_release_worse_then_the_registry_is_as_it_was(desk, capsys, monkeypatch):
    from evaluation.promotion import Check
    from jobs import gate

    monkeypatch.setattr(gate, "not_worse", lambda *asked: Check("champion", False, "worse than release 1"))
    before = desk.tree()
    assert desk.run("promote", "model=xgboost", "run_id=tried") == FAILED
    assert "worse than release 1" in capsys.readouterr().out
    assert desk.tree() == before
    assert (desk.root / "runs" / "tried" / "leaderboard.parquet").is_file()  # what was made can be looked at


def test_when_a_release_is_tried_then_the_champion_stays_until_the_trial_ends(desk, capsys):
    registry = desk.registry
    assert desk.run("promote", "alias=challenger", "reason=flatter") == OK
    assert (registry.alias("champion"), registry.alias("challenger")) == (1, 2)
    assert desk.run("rollback", "alias=challenger", "reason=no better") == OK
    assert (registry.alias("champion"), registry.alias("challenger")) == (1, None)
    capsys.readouterr()
    assert desk.run("releases") == OK
    said = capsys.readouterr().out
    assert "release 2 tried as challenger: flatter" in said
    assert "release 2 withdrawn as challenger: no better" in said
    for told in (("promote", "alias=challenger", "release=1"), ("promote", "alias=challenger", "styles=[A]"),
                 ("promote", "alias=challenger", "force=true"), ("rollback", "alias=challenger")):  # fmt: skip
        assert desk.run(*told) == REFUSED
    assert registry.alias("challenger") is None


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["model=arima"], "no release has a newer version"),
        (["model=mean"], "no model that is trained by itself"),
        (["model=ensemble"], "no model that is trained by itself"),
        (["model=xgbost"], "xgboost"),
        (["model=xgboost", "release=2"], "makes a release of its own"),
        (["release=1"], "this release serves now"),
        (["release=9"], "no such release"),
        (["release=challenger"], "no release has this alias"),
        (["styles=[s03]"], "name the styles and the release"),
        (["styles=[s03]", "release=1"], "name the styles and the release"),
        (["styles=[s03,nobody]", "release=2"], "does not forecast these styles"),
    ],
)
def test_when_it_cannot_be_promoted_then_the_code_is_2_and_nothing_changes(desk, capsys, told, says):
    before = desk.tree()
    assert desk.run("promote", *told) == REFUSED
    shown = capsys.readouterr()
    assert says in " ".join(shown.err.split())
    assert shown.out == ""
    assert desk.tree() == before


def test_when_the_origins_are_not_shared_then_a_single_model_is_refused_with_what_to_do(desk, capsys):
    assert desk.run("train", "run_id=later", "force=true", "cross_validation_folds=1", *LIGHT, source=desk.whole) == OK
    assert desk.run("rollback", "release=1") == OK
    capsys.readouterr()
    before = desk.tree()
    assert desk.run("promote", "model=xgboost") == REFUSED
    said = " ".join(capsys.readouterr().err.split())
    assert "do not share what they were asked" in said
    assert "origins: " in said
    assert "What to do: Train the model on the champion's origins" in said
    assert desk.tree() == before


# ---- some styles -----------------------------------------------------------------------------------------------------


def test_when_styles_are_rolled_back_then_theirs_alone_change_and_say_where_they_come_from(desk, capsys):
    assert desk.run("promote") == OK
    assert desk.run("promote", "styles=[s03,s05]", "release=1", "reason=too high") == OK
    assert desk.registry.alias("champion") == 3
    mine, champion, source = (rows(desk, number) for number in (3, 2, 1))
    taken = np.isin(mine.ids, ["s03", "s05"])
    for name in ("mean", "quantiles", "made_by", "level"):
        np.testing.assert_array_equal(getattr(mine, name)[taken], getattr(source, name)[taken])
        np.testing.assert_array_equal(getattr(mine, name)[~taken], getattr(champion, name)[~taken])
    assert (mine.mean[taken] != champion.mean[taken]).any()
    outcomes = pd.read_parquet(desk.registry.open(3).file("outcomes.parquet")).set_index("unique_id")
    assert outcomes.loc[["s03", "s05"], "note"].tolist() == ["taken from release 1: too high"] * 2
    assert not outcomes.loc[~taken, "note"].str.contains("release").any()
    facts = desk.noted()
    assert (facts["styles"], facts["styles_from"], facts["made_from"]) == (["s03", "s05"], 1, 2)
    assert facts["reason"] == "too high"
    scored = [f for k, f in read_forecasts(desk.registry.open(3).file("scored.parquet")) if k == "ensemble"]
    then = [f for k, f in read_forecasts(desk.registry.open(1).file("scored.parquet")) if k == "ensemble"]
    np.testing.assert_array_equal(scored[0].mean[taken], then[0].mean[taken])
    metrics = [desk.registry.open(n).json("card.json")["metrics"]["ensemble"]["evaluation_id"] for n in (1, 2, 3)]
    assert len(set(metrics)) == 3  # measured again, as it is served now


def test_when_the_data_has_moved_on_then_the_earlier_models_forecast_the_style_from_todays_demand(desk):
    assert desk.run("train", "run_id=later", "force=true", *LIGHT, source=desk.whole) == OK
    champion = desk.registry.alias("champion")
    assert champion == 3
    assert desk.run("promote", "styles=[s03]", "release=1") == OK
    mine, before = rows(desk, 4), rows(desk, 3)
    taken = mine.ids == "s03"
    assert mine.origin == before.origin > rows(desk, 1).origin
    np.testing.assert_array_equal(mine.mean[~taken], before.mean[~taken])
    assert (mine.mean[taken] != before.mean[taken]).any()
    assert "no common origin" in mine.note[taken][0]


# ---- the history of a run that broke off -----------------------------------------------------------------------------


def test_when_a_run_breaks_off_then_the_history_says_of_each_model_that_it_failed_when_and_why(desk, monkeypatch):
    def broken(panel, *asked):
        raise ZeroDivisionError("a bug")

    before = len(desk.history())
    monkeypatch.setattr("jobs.fleet.judge", broken)
    assert desk.run("train", "run_id=broken", "force=true", *LIGHT) == FAILED
    added = desk.history()[before:]
    assert {entry["model_type"] for entry in added} >= {"arima", "xgboost", "mean"}
    for entry in added:
        assert (entry["status"], entry["error"], entry["run_id"]) == ("failed", "ZeroDivisionError: a bug", "broken")
        assert entry["trained_at"]
    assert desk.registry.numbers() == [1, 2]
