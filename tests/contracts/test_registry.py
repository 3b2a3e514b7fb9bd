"""What every registry promises, to releases and readers alike; a new backend inherits `RegistryContract`."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from demand.errors import RegistryError, SettingsError, StorageError, VersionNotFound, VersionUnreadable
from models.files import write_json
from models.registry import Registry


def fill_with(text: str, model: str = "arima"):
    """Writes two small files; the manifest speaks of one model."""

    def fill(folder: Path):
        (folder / "models" / model).mkdir(parents=True)
        write_json(folder / "models" / model / "card.json", {"kind": model, "text": text})
        write_json(folder / "card.json", {"text": text})
        return {"run_id": text, "models": {model: {"path": f"models/{model}", "metrics": {"wape": 0.5}}}}

    return fill


class RegistryContract:
    """Subclass it and give the fixture `registry`: an empty registry on storage of your own."""

    @pytest.fixture
    def registry(self, tmp_path) -> Registry:
        raise NotImplementedError

    def test_when_empty_then_nothing_can_be_opened(self, registry):
        assert registry.numbers() == []
        assert registry.newest() == 0
        assert registry.alias("champion") is None
        with pytest.raises(VersionNotFound):
            registry.open("champion")
        with pytest.raises(VersionNotFound):
            registry.open(1)

    def test_when_published_then_numbers_ascend_and_the_files_are_there(self, registry):
        assert [registry.publish(fill_with(text)) for text in ("a", "b", "c")] == [1, 2, 3]
        assert registry.numbers() == [1, 2, 3]
        assert registry.open(2).json("card.json") == {"text": "b"}
        assert registry.open(2).manifest["run_id"] == "b"

    def test_when_published_then_no_alias_moves_until_promoted(self, registry):
        number = registry.publish(fill_with("a"))
        assert registry.alias("champion") is None
        registry.promote(number, expected=None, facts={"forced": False})
        assert registry.alias("champion") == number
        assert registry.alias("previous") is None
        assert registry.open("champion").number == number

    def test_when_promoted_again_then_previous_is_the_one_before(self, registry):
        one, two = (registry.publish(fill_with(text)) for text in "ab")
        registry.promote(one, expected=None, facts={})
        registry.promote(two, expected=one, facts={})
        assert (registry.alias("champion"), registry.alias("previous")) == (two, one)
        registry.promote(one, expected=two, facts={})  # a rollback
        assert [pointer["release"] for pointer in registry.promotions()] == [one, two, one]
        assert (registry.alias("champion"), registry.alias("previous")) == (one, two)
        assert registry.open("champion").json("card.json") == {"text": "a"}

    def test_when_another_champion_stands_there_then_promotion_changes_nothing(self, registry):
        one, two, three = (registry.publish(fill_with(text)) for text in "abc")
        registry.promote(one, expected=None, facts={})
        registry.promote(two, expected=one, facts={})
        with pytest.raises(RegistryError, match="changed meanwhile"):
            registry.promote(three, expected=one, facts={})
        with pytest.raises(RegistryError):
            registry.promote(three, expected=None, facts={})
        assert (registry.alias("champion"), registry.alias("previous")) == (two, one)

    def test_when_a_release_does_not_exist_or_is_damaged_then_it_cannot_be_promoted(self, registry):
        one = registry.publish(fill_with("a"))
        registry.promote(one, expected=None, facts={})
        with pytest.raises(VersionNotFound):
            registry.promote(7, expected=one, facts={})
        assert registry.alias("champion") == one

    def test_when_filling_fails_then_no_number_is_given(self, registry):
        def broken(folder: Path):
            write_json(folder / "card.json", {})
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            registry.publish(broken)
        assert registry.numbers() == []
        assert registry.publish(fill_with("a")) == 1

    def test_when_many_promote_at_once_then_exactly_one_wins(self, registry):
        numbers = [registry.publish(fill_with(str(k))) for k in range(6)]
        won, lost = [], []
        gate = threading.Barrier(len(numbers))

        def promote(number):
            gate.wait()
            try:
                registry.promote(number, expected=None, facts={})
                won.append(number)
            except RegistryError:
                lost.append(number)

        threads = [threading.Thread(target=promote, args=(number,)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert len(lost) == 5
        assert registry.alias("champion") == won[0]

    def test_when_history_is_appended_then_lines_are_in_order_and_strict(self, registry):
        registry.append_history([{"model_type": "arima", "release": 1}, {"model_type": "lstm", "release": 1}])
        registry.append_history([{"model_type": "arima", "release": 2, "text": "織"}])
        assert registry.releases_in_history() == {1, 2}
        with pytest.raises(ValueError, match="not JSON compliant"):
            registry.append_history([{"release": 3}, {"wape": float("nan")}])
        assert registry.releases_in_history() == {1, 2}

    def test_when_versions_are_not_kept_then_champion_and_newest_stay(self, registry):
        for text in "abcd":
            registry.publish(fill_with(text))
        registry.promote(2, expected=None, facts={})
        registry.keep_only_newest()
        assert registry.numbers() == [2, 4]
        assert registry.open("champion").json("card.json") == {"text": "b"}
        assert registry.publish(fill_with("e")) == 5  # a number is given once

    def test_when_an_alias_is_unknown_then_it_is_refused(self, registry):
        with pytest.raises(SettingsError, match="unknown alias"):
            registry.alias("../../etc/passwd")


class TestRegistryOnAFolder(RegistryContract):
    @pytest.fixture
    def registry(self, tmp_path) -> Registry:
        return Registry(tmp_path / "registry")

    def test_when_promoted_then_the_view_says_what_is_deployed(self, registry):
        one, two = (registry.publish(fill_with(text)) for text in "ab")
        registry.promote(one, expected=None, facts={"forced": False})
        registry.promote(two, expected=one, facts={"forced": True})
        view = json.loads((registry.root / "registry.json").read_text())
        assert view["arima"]["release"] == two
        assert view["arima"]["previous"] == one
        assert view["arima"]["forced"] is True

    def test_when_published_then_nothing_is_left_in_staging(self, registry):
        registry.publish(fill_with("a"))
        with pytest.raises(ZeroDivisionError):
            registry.publish(lambda folder: 1 / 0)
        assert list((registry.root / "staging").iterdir()) == []

    @pytest.mark.parametrize(
        "damage", ["changed", "same size", "missing", "added", "linked", "manifest", "folder link"]
    )
    def test_when_a_release_was_touched_then_it_is_refused_before_anything_is_parsed(self, registry, tmp_path, damage):
        number = registry.publish(fill_with("a"))
        assert registry.open(number).number == number
        folder = registry.root / "releases" / f"{number:06d}"
        card = folder / "card.json"
        if damage == "changed":
            card.write_text(card.read_text() + " ")
        elif damage == "same size":
            card.write_text(card.read_text().replace('"a"', '"b"'))
        elif damage == "missing":
            card.unlink()
        elif damage == "added":
            (folder / "models" / "more.pkl").write_bytes(b"cos\nsystem\n.")
        elif damage == "linked":
            outside = tmp_path / "outside.json"
            shutil.move(card, outside)
            card.symlink_to(outside)  # the same bytes, elsewhere
        elif damage == "folder link":
            shutil.move(folder / "models", tmp_path / "models")
            (folder / "models").symlink_to(tmp_path / "models")
        else:
            (folder / "manifest.json").write_text("{")
        with pytest.raises(VersionUnreadable):
            registry.open(number)
        with pytest.raises(VersionUnreadable):
            registry.promote(number, expected=None, facts={})
        assert registry.alias("champion") is None

    @pytest.mark.parametrize("planted", ["model.pkl", "model.joblib", "run.py"])
    def test_when_a_release_would_hold_a_file_that_can_run_code_then_it_is_not_made(self, registry, planted):
        def fill(folder: Path):
            (folder / planted).write_bytes(b"x")
            return {}

        with pytest.raises(VersionUnreadable, match="plain data files only"):
            registry.publish(fill)
        assert registry.numbers() == []

    def test_when_a_release_would_hold_a_link_then_it_is_not_made(self, registry):
        def fill(folder: Path):
            (folder / "card.json").symlink_to("/etc/hostname")
            return {}

        with pytest.raises(VersionUnreadable):
            registry.publish(fill)
        assert registry.numbers() == []

    def test_when_the_root_cannot_be_a_folder_then_publishing_says_so(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(StorageError, match="cannot be written"):
            Registry(tmp_path / "file" / "registry").publish(fill_with("a"))
        assert os.listdir(tmp_path) == ["file"]
