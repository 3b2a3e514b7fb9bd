"""What every registry promises, to releases and readers alike; a new backend inherits `RegistryContract`."""

from __future__ import annotations

import json
import os
import shutil
import threading
import uuid
from pathlib import Path

import pytest

from demand.errors import RegistryError, SettingsError, StorageError, VersionNotFound, VersionUnreadable
from models.files import write_json
from models.object_store import ObjectStore
from models.registry import Registry, registry_at
from tests.models.buckets import MemoryBucket
from tests.s3 import make_bucket, s3_server


def fill_with(text: str, model: str = "arima"):
    """Writes two small files; the manifest speaks of one model."""

    def fill(folder: Path):
        (folder / "models" / model).mkdir(parents=True)
        write_json(folder / "models" / model / "card.json", {"kind": model, "text": text})
        write_json(folder / "card.json", {"text": text})
        return {"run_id": text, "models": {model: {"path": f"models/{model}", "metrics": {"wape": 0.5}}}}

    return fill


class RegistryContract:
    """Subclass it and give the fixture `registry`: an empty registry on storage of your own, and a hand to reach in."""

    @pytest.fixture
    def registry(self, tmp_path) -> Registry:
        raise NotImplementedError

    def elsewhere(self, registry, tmp_path) -> Registry:
        """The same registry as another machine sees it, that has never opened a release."""
        raise NotImplementedError

    def stored(self, registry, number: int, name: str) -> bytes:
        """The bytes of one file of a release, as they lie in the storage."""
        raise NotImplementedError

    def put(self, registry, number: int, name: str, data: bytes | None) -> None:
        """Writes a file into a stored release, past the registry; None removes it."""
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
        for ask in (registry.alias, registry.open, lambda name: registry.point(name, None)):
            with pytest.raises(SettingsError, match="unknown alias"):
                ask("../../etc/passwd")

    def test_when_promoted_then_the_pointer_says_what_serves_and_the_view_shows_its_models(self, registry, tmp_path):
        assert registry.champion_pointer() is None
        assert registry.view() is None
        one, two = (registry.publish(fill_with(text)) for text in "ab")
        registry.promote(one, expected=None, facts={"forced": False})
        registry.promote(two, expected=one, facts={"forced": True, "reason": "織"})
        pointer = self.elsewhere(registry, tmp_path).champion_pointer()
        assert pointer["release"] == two
        assert pointer["manifest_sha256"] == registry.open(two).manifest_sha256
        assert (pointer["previous"], pointer["facts"]) == (one, {"forced": True, "reason": "織"})
        assert registry.promotions()[-1] == pointer
        (view,) = registry.view().values()
        assert (view["release"], view["previous"], view["forced"]) == (two, one, True)
        assert view["deployed_at"] == pointer["at"]

    def test_when_a_challenger_is_set_then_it_stands_beside_the_champion_until_it_is_removed_or_promoted(
        self, registry
    ):
        one, two, three = (registry.publish(fill_with(text)) for text in "abc")
        registry.promote(one, expected=None, facts={})
        registry.point("challenger", two, {"share": 0.1})
        assert (registry.alias("champion"), registry.alias("challenger")) == (one, two)
        assert registry.pointers()["challenger"]["facts"] == {"share": 0.1}
        assert registry.open("challenger").json("card.json") == {"text": "b"}
        registry.point("challenger", three)
        registry.keep_only_newest()
        assert registry.numbers() == [one, three]
        registry.point("challenger", None)
        assert registry.alias("challenger") is None
        registry.point("challenger", three)
        assert not registry.withdraw(two, {"why": "another one is tried by now"})
        assert registry.alias("challenger") == three
        assert [registry.withdraw(three, {"why": "it failed"}) for _ in range(2)] == [True, False]
        assert registry.alias("challenger") is None
        assert [(one["release"], one["facts"]) for one in registry.trials()] == [
            (two, {"share": 0.1}), (three, {}), (None, {}), (three, {}),
            (None, {"withdrawn": three, "why": "it failed"}),
        ]  # fmt: skip
        registry.point("challenger", three)
        registry.promote(three, expected=one, facts={})
        assert (registry.alias("champion"), registry.alias("challenger")) == (three, None)
        assert [pointer["release"] for pointer in registry.promotions()] == [one, three]
        with pytest.raises(VersionNotFound):
            registry.point("challenger", 9)
        for name in ("champion", "previous"):
            with pytest.raises(SettingsError, match="only the challenger"):
                registry.point(name, one)

    def test_when_a_release_was_removed_then_it_is_gone_for_everybody_and_its_number_is_not_given_again(
        self, registry, tmp_path
    ):
        for text in "abcd":
            registry.publish(fill_with(text))
        registry.promote(2, expected=None, facts={})
        registry.keep_only_newest()
        other = self.elsewhere(registry, tmp_path)
        for number in (1, 3):
            with pytest.raises(VersionNotFound):
                other.open(number)
            with pytest.raises(VersionNotFound):
                other.promote(number, expected=2, facts={})
        registry.keep_only_newest()  # nothing to do
        assert other.numbers() == [2, 4]

    def test_when_a_release_is_removed_while_it_is_promoted_then_the_promotion_is_refused(self, registry, monkeypatch):
        for text in "abc":
            registry.publish(fill_with(text))
        registry.promote(1, expected=None, facts={})
        real = registry.store.create

        def overtaken(key, data):
            monkeypatch.setattr(registry.store, "create", real)
            registry.keep_only_newest()  # 2 goes, after it was found whole and before the log says that it serves
            return real(key, data)

        monkeypatch.setattr(registry.store, "create", overtaken)
        with pytest.raises(VersionNotFound, match="removed meanwhile"):
            registry.promote(2, expected=1, facts={})
        assert (registry.alias("champion"), registry.numbers()) == (1, [1, 3])

    def test_when_a_number_is_given_and_removed_while_another_publishes_then_that_one_gets_a_later_number(
        self, registry, monkeypatch
    ):
        registry.promote(registry.publish(fill_with("a")), expected=None, facts={})
        real = registry.store.give

        def overtaken(folder, number):
            monkeypatch.setattr(registry.store, "give", real)
            for text in "bc":
                registry.publish(fill_with(text))
            registry.keep_only_newest()  # 2 is free again, and must not be given again
            return real(folder, number)

        monkeypatch.setattr(registry.store, "give", overtaken)
        number = registry.publish(fill_with("d"))
        assert number == 4
        assert registry.numbers() == [1, 3, 4]
        assert registry.open(4).json("card.json") == {"text": "d"}

    def test_when_two_writers_append_then_both_are_kept_also_where_they_say_the_same(self, registry, tmp_path):
        other = self.elsewhere(registry, tmp_path)
        for one in (registry, other, registry):
            one.append_history([{"status": "skipped"}])
        assert other.history() == [{"status": "skipped"}] * 3

    @pytest.mark.parametrize(
        "damage", ["longer", "flipped bit", "cut", "missing", "planted pickle", "swapped", "manifest torn",
                   "manifest lists a pickle", "manifest climbs out"],
    )  # fmt: skip
    def test_when_a_stored_release_was_touched_then_it_is_refused_and_the_champion_keeps_serving(
        self, registry, tmp_path, damage
    ):
        one, two = (registry.publish(fill_with(text)) for text in "ab")
        for number, before in ((one, None), (two, one)):
            registry.promote(number, expected=before, facts={})
        name, whole = "card.json", self.stored(registry, one, "card.json")
        manifest = json.loads(self.stored(registry, one, "manifest.json"))
        if damage == "longer":
            self.put(registry, one, name, whole + b" ")
        elif damage == "flipped bit":
            self.put(registry, one, name, whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        elif damage == "cut":
            self.put(registry, one, name, whole[:5])
        elif damage == "missing":
            self.put(registry, one, name, None)
        elif damage == "planted pickle":
            self.put(registry, one, "models/arima/model.pkl", b"cos\nsystem\n(S'false'\ntR.")
        elif damage == "swapped":
            self.put(registry, one, name, self.stored(registry, one, "models/arima/card.json"))
            self.put(registry, one, "models/arima/card.json", whole)
        elif damage == "manifest torn":
            self.put(registry, one, "manifest.json", json.dumps(manifest).encode()[:-20])
        else:
            planted = "model.pkl" if damage == "manifest lists a pickle" else "../../card.json"
            manifest["files"][planted] = manifest["files"].pop("card.json")
            self.put(registry, one, "manifest.json", json.dumps(manifest).encode())
        other = self.elsewhere(registry, tmp_path)
        with pytest.raises(VersionUnreadable):
            other.open(one)
        for promoting in (registry, other):  # also where a good copy was made before
            with pytest.raises(VersionUnreadable):
                promoting.promote(one, expected=two, facts={})
            with pytest.raises(VersionUnreadable):
                promoting.point("challenger", one)
        assert (other.alias("champion"), other.alias("previous"), other.alias("challenger")) == (two, one, None)
        assert other.open("champion").json("card.json") == {"text": "b"}

    def test_when_the_manifest_of_the_champion_was_rewritten_then_it_is_not_the_one_that_was_promoted(
        self, registry, tmp_path
    ):
        one, two = (registry.publish(fill_with(text)) for text in "ab")
        registry.promote(one, expected=None, facts={})
        manifest = json.loads(self.stored(registry, one, "manifest.json"))
        self.put(registry, one, "manifest.json", json.dumps({**manifest, "run_id": "forged"}).encode())
        other = self.elsewhere(registry, tmp_path)
        with pytest.raises(VersionUnreadable, match="not the one that was promoted"):
            other.open("champion")
        with pytest.raises(VersionUnreadable, match="not the one that was promoted"):
            other.promote(one, expected=one, facts={})
        other.promote(two, expected=one, facts={})  # and a good one can take its place
        assert other.open("champion").json("card.json") == {"text": "b"}


class TestRegistryOnAFolder(RegistryContract):
    @pytest.fixture
    def registry(self, tmp_path) -> Registry:
        return Registry(tmp_path / "registry")

    def elsewhere(self, registry, tmp_path) -> Registry:
        return Registry(registry.root)

    def stored(self, registry, number, name) -> bytes:
        return bytes((registry.root / "releases" / f"{number:06d}" / name).read_bytes())

    def put(self, registry, number, name, data) -> None:
        path = registry.root / "releases" / f"{number:06d}" / name
        path.unlink() if data is None else path.write_bytes(data)

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


class OnAnObjectStore(RegistryContract):
    """What is the same for every object store."""

    def elsewhere(self, registry, tmp_path) -> Registry:
        return Registry(ObjectStore(registry.store.bucket, tmp_path / "another machine"))

    def stored(self, registry, number, name) -> bytes:
        return bytes(registry.store.bucket.get(self.key(registry, number, name)).data)

    def put(self, registry, number, name, data) -> None:
        bucket, key = registry.store.bucket, self.key(registry, number, name)
        found = bucket.get(key)
        if data is None:
            bucket.remove([key])
        else:
            assert bucket.put(key, data, "a stranger", None if found is None else found.tag)

    @staticmethod
    def key(registry, number, name) -> str:
        place = json.loads(registry.store.bucket.get(f"releases/{number:06d}/manifest.json").data)["files_at"]
        return f"releases/{number:06d}/manifest.json" if name == "manifest.json" else f"{place}/{name}"


class TestRegistryOnAnObjectStoreInMemory(OnAnObjectStore):
    @pytest.fixture
    def registry(self, tmp_path) -> Registry:
        return Registry(ObjectStore(MemoryBucket(), tmp_path / "cache"))


@pytest.fixture(scope="module")
def server():
    with s3_server() as environment:
        make_bucket(environment, "releases")
        yield environment


@pytest.mark.slow
class TestRegistryOnS3(OnAnObjectStore):
    """Against moto_server: every request and answer is a real one."""

    @pytest.fixture
    def registry(self, server, tmp_path, monkeypatch) -> Registry:
        for name, value in server.items():
            monkeypatch.setenv(name, value)
        return registry_at(f"s3://releases/of/{uuid.uuid4().hex}", tmp_path / "cache")
