"""Releases of models that do not forecast: kept, judged, served, and never half there."""

from __future__ import annotations

import pytest

from demand.errors import SettingsError, VersionNotFound, VersionUnreadable
from models.decision_release import KINDS, MODEL, decision_registry, keep_model
from models.files import read_json, write_json

ENTRY = {"metrics": {"accuracy": 0.93}, "run_id": "r1", "data_hash": "d", "config_hash": "c", "seconds": 1.5}


def filled(value):
    return lambda folder: write_json(folder / "card.json", {"kind": "yarn_substitution", "value": value})


@pytest.fixture
def registry(tmp_path):
    return decision_registry(str(tmp_path / "registry"), tmp_path / "cache", "yarn_substitution")


def test_when_nothing_speaks_against_a_model_then_it_serves_and_the_history_says_how_it_was_judged(registry):
    kept = keep_model(registry, "yarn_substitution", filled(1), ENTRY, [])
    assert (kept.release, kept.promoted) == (1, True)
    served = registry.open("champion")
    assert served.json(f"{MODEL}/card.json")["value"] == 1
    (said,) = registry.history()
    assert said["release"] == 1
    assert said["promotion"] == "nothing speaks against it"
    assert said["metrics"] == ENTRY["metrics"]
    assert read_json(registry.view_path)["yarn_substitution"]["metrics"] == ENTRY["metrics"]


def test_when_something_speaks_against_a_model_then_it_is_kept_and_the_one_before_goes_on_serving(registry):
    keep_model(registry, "yarn_substitution", filled(1), ENTRY, [])
    kept = keep_model(registry, "yarn_substitution", filled(2), ENTRY, ["not better than the rule"])
    assert (kept.release, kept.promoted) == (2, False)
    assert registry.open("champion").number == 1
    assert registry.history()[-1]["promotion"] == "held back: not better than the rule"


def test_when_a_model_cannot_be_written_then_there_is_no_release(registry):
    def broken(folder):
        write_json(folder / "card.json", {"kind": "yarn_substitution"})
        raise RuntimeError("the disk")

    with pytest.raises(RuntimeError):
        keep_model(registry, "yarn_substitution", broken, ENTRY, [])
    assert registry.numbers() == []
    with pytest.raises(VersionNotFound):
        registry.open("champion")


def test_when_a_stored_model_is_changed_then_it_is_not_opened(registry):
    keep_model(registry, "yarn_substitution", filled(1), ENTRY, [])
    write_json(registry.root / "releases" / "000001" / MODEL / "card.json", {"kind": "yarn_substitution", "value": 9})
    with pytest.raises(VersionUnreadable):
        registry.open("champion")


def test_when_kinds_are_kept_beside_each_other_then_each_has_its_own_champion(tmp_path):
    for i, kind in enumerate(KINDS):
        registry = decision_registry(str(tmp_path), tmp_path / "cache", kind)
        keep_model(registry, kind, filled(i), ENTRY, [])
        assert registry.open("champion").json(f"{MODEL}/card.json")["value"] == i
    with pytest.raises(SettingsError):
        decision_registry(str(tmp_path), tmp_path / "cache", "xgboost")
