"""From a judged run to a release: whole, promoted when not worse, made once however often the run is resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.fleet import registry_of
from jobs.publish import publish
from models import golden
from models.ensemble import KIND
from models.forecast_files import read_forecasts
from tests.jobs.conftest import MANIFEST


def test_when_published_then_the_release_holds_what_serving_and_tomorrow_need(judged):
    fleet, _race, verdict, _ = judged
    assert publish(*judged)[:2] == (1, True)
    registry = registry_of(fleet.settings)
    release = registry.open("champion")
    assert release.number == 1
    ((kind, served),) = read_forecasts(release.file("forecasts.parquet"))
    assert kind == verdict.served
    assert served.mean.tobytes() == verdict.live.mean.tobytes()
    assert served.quantiles.tobytes() == verdict.live.quantiles.tobytes()
    members = dict(read_forecasts(release.file("members.parquet")))
    assert set(members) == set(verdict.live_members)
    origins = {forecast.origin for _, forecast in read_forecasts(release.file("origins.parquet"))}
    assert origins == {fold.cutoff for fold in (*fleet.origins.inner, *fleet.origins.scored)}
    card = release.json("card.json")
    assert card["horizon"] == 7
    assert card["served"] == verdict.served
    for name in ("data_hash", "config_hash", "code_version", "seed", "libraries"):
        assert release.manifest[name] == MANIFEST[name]
    entries = [json.loads(line) for line in (registry.root / "history.jsonl").read_text().splitlines()]
    assert {entry["model_type"] for entry in entries} == {*verdict.live_members, "ensemble"}
    assert all(entry["release"] == 1 and entry["status"] == "success" for entry in entries)


def test_when_a_run_is_killed_after_its_release_then_resuming_it_makes_no_second_one(judged):
    fleet, race, verdict, styles = judged
    assert publish(fleet, race, verdict, styles)[0] == 1
    registry = registry_of(fleet.settings)
    history = (registry.root / "history.jsonl").read_text()
    resumed = replace(fleet, settings=replace(fleet.settings, resume="r"))
    assert publish(resumed, race, verdict, styles)[:2] == (1, True)
    assert registry.numbers() == [1]
    assert (registry.root / "history.jsonl").read_text() == history
    # Killed between the promotion and the view of it:
    view = json.loads(registry.view_path.read_text())
    registry.view_path.unlink()
    publish(resumed, race, verdict, styles)
    assert json.loads(registry.view_path.read_text()) == view
    # Killed between the release and its promotion:
    (registry.root / "aliases" / "champion.json").unlink()
    assert publish(resumed, race, verdict, styles)[:2] == (1, True)
    assert registry.alias("champion") == 1
    assert (registry.root / "history.jsonl").read_text() == history


@pytest.mark.parametrize(("of_run", "serves"), [(1, 2), (2, 1)], ids=["a newer one was promoted", "it was rolled back"])
def test_when_another_release_serves_by_now_then_resuming_the_run_changes_nothing(judged, monkeypatch, of_run, serves):
    fleet, race, verdict, styles = judged
    registry = registry_of(fleet.settings)
    for number in (1, 2):
        assert publish(fleet, race, verdict, styles).number == number
    for number in (2, serves):
        if registry.alias("champion") != number:
            registry.promote(number, expected=registry.alias("champion"), facts={"reason": "by hand"})
    before = registry.promotions()
    monkeypatch.setattr("jobs.publish._release_of", lambda registry, fleet: of_run)
    again = publish(replace(fleet, settings=replace(fleet.settings, resume="r")), race, verdict, styles)
    assert (again.number, again.promoted) == (of_run, False)
    assert "takes nobody's place" in again.decision.words
    assert (registry.alias("champion"), registry.promotions(), registry.numbers()) == (serves, before, [1, 2])


def test_when_an_older_run_had_the_same_name_then_its_release_is_not_taken_for_this_one(judged):
    fleet, race, verdict, styles = judged
    publish(fleet, race, verdict, styles)
    fleet.run.write_json("manifest.json", {**MANIFEST, "created": "2999-01-01T00:00:00Z"})
    resumed = replace(fleet, settings=replace(fleet.settings, resume="r"))
    assert publish(resumed, race, verdict, styles)[0] == 2


def with_error(verdict, factor):
    """The same verdict whose served model is `factor` times as far off."""
    off = [
        replace(r, forecast=replace(r.forecast, quantiles=r.forecast.quantiles * factor))
        for r in verdict.results[verdict.served]
    ]
    results = {**verdict.results, verdict.served: off}
    return replace(verdict, results=results)


def test_when_a_later_release_is_clearly_worse_then_it_is_made_but_not_promoted(judged):
    fleet, race, verdict, styles = judged
    assert publish(fleet, race, verdict, styles)[:2] == (1, True)
    assert publish(fleet, race, with_error(verdict, 6.0), styles)[:2] == (2, False)
    registry = registry_of(fleet.settings)
    assert registry.alias("champion") == 1
    assert registry.numbers() == [1, 2]
    last = json.loads((registry.root / "history.jsonl").read_text().splitlines()[-1])
    assert last["promotion"].startswith("held back: ")
    assert "worse than release 1: WAPE" in last["promotion"]
    assert publish(fleet, race, verdict, styles)[:2] == (3, True)
    assert (registry.alias("champion"), registry.alias("previous")) == (3, 1)


def test_when_what_is_served_does_not_beat_the_baselines_then_not_even_the_first_release_is_promoted(judged):
    fleet, race, verdict, styles = judged
    assert not verdict.gate.passed
    stubborn = replace(verdict, served=KIND, live=verdict.ensembles[fleet.panel.end].forecast)
    made = publish(fleet, race, stubborn, styles)
    assert made[:2] == (1, False)
    assert "ensemble does not beat mean beyond chance: WAPE" in made.decision.words
    registry = registry_of(fleet.settings)
    assert registry.alias("champion") is None
    baseline = publish(fleet, race, verdict, styles)
    assert baseline[:2] == (2, True)
    facts = registry.promotions()[-1]["facts"]
    assert facts["forced"] is False
    assert f"it serves the best baseline, {verdict.served}, because the ensemble" in facts["gate"]["reasons"][1]


def test_when_the_models_cannot_be_loaded_then_the_release_is_made_and_never_promoted(judged, monkeypatch):
    monkeypatch.setattr(golden, "_asked", lambda folder: "the models cannot be loaded: a bug")
    made = publish(*judged)
    assert made[:2] == (1, False)
    assert "it does not predict: the models cannot be loaded: a bug" in made.decision.words
    assert registry_of(judged[0].settings).alias("champion") is None


def test_when_another_calendar_or_horizon_is_released_then_there_is_no_yardstick_and_it_is_promoted(judged):
    fleet, race, verdict, styles = judged
    publish(fleet, race, verdict, styles)
    weekly = replace(fleet, panel=replace(fleet.panel, freq="W-SUN"))
    made = publish(weekly, race, verdict, styles)
    assert made[:2] == (2, True)
    assert "no common yardstick: release 1 has freq D, this one W-SUN" in made.decision.reasons


def test_when_versions_are_not_kept_then_only_champion_and_newest_stay(judged):
    fleet, race, verdict, styles = judged
    lean = replace(fleet, settings=replace(fleet.settings, releases=replace(fleet.settings.releases,
                                                                           model_versioning=False)))  # fmt: skip
    for _ in range(3):
        publish(lean, race, verdict, styles)
    assert registry_of(fleet.settings).numbers() == [3]
    publish(lean, race, with_error(verdict, 6.0), styles)
    assert registry_of(fleet.settings).numbers() == [3, 4]


def test_when_there_is_no_live_forecast_then_nothing_is_released(judged):
    fleet, race, verdict, styles = judged
    with pytest.raises(ValueError, match="live origin"):
        publish(fleet, race, replace(verdict, live=None), styles)
    assert registry_of(fleet.settings).numbers() == []
