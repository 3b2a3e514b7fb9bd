"""Resuming: what the run began with is kept, and a damaged file of it is one clear error."""

from __future__ import annotations

import pytest

from demand.errors import SettingsError, StorageError
from jobs import compose
from jobs.fleet import write_config
from jobs.run_folder import RunFolder
from jobs.stored_run import stored_facts, stored_settings

pytestmark = pytest.mark.slow

TOLD = ("experiment=smoke", "source.path=nowhere", "seed=7")


@pytest.fixture
def run(tmp_path):
    settings = compose.load("train", [*TOLD, f"storage.root={tmp_path}"])

    def begin(new: RunFolder) -> None:
        write_config(new, settings)
        new.write_json("cleaning.json", {"rejected": {}})
        new.write_json("manifest.json", {"job": "train"})

    return RunFolder.create(tmp_path / "runs", "r", begin)


def again(run, *told):
    return compose.load("train", [f"storage.root={run.path.parents[1]}", "resume=r", *told])


@pytest.mark.parametrize("told", [(), TOLD, ("cluster.num_cpus=1", "progress=false")])
def test_when_a_run_is_resumed_with_what_it_began_with_or_what_may_be_new_then_it_is_accepted(run, told):
    assert again(run, *told).resume == "r"


@pytest.mark.parametrize("told", ["horizon=3", "seed=42", "plot=true", "folds=holdout"])
def test_when_a_run_is_resumed_with_another_setting_then_it_is_refused_by_name(run, told):
    with pytest.raises(SettingsError, match="keeps the settings") as error:
        again(run, told)
    assert any(text.startswith(told.split("=")[0]) for text in error.value.facts["changed"])


@pytest.mark.parametrize("text", [None, "", "a: [", "!!python/object:os.x {}", "seed: 3", b"\xff"])
def test_when_the_settings_of_a_run_are_damaged_then_it_says_to_start_a_new_one(run, text):
    path = run.file("config.yaml")
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StorageError, match=r"config\.yaml.*start a new one"):
        stored_settings(run)


@pytest.mark.parametrize("name", ["manifest.json", "cleaning.json"])
@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_when_the_facts_of_a_run_are_damaged_then_it_says_to_start_a_new_one(run, name, text):
    assert stored_facts(run) == ({"job": "train"}, {"rejected": {}})
    run.file(name).write_text(text)
    with pytest.raises(StorageError, match=rf"{name}.*start a new one"):
        stored_facts(run)
