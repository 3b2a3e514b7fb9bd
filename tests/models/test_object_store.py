"""The registry on an object store: cut at every call, answers lost, copies damaged, leftovers collected."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from demand.errors import DemandError, RegistryError, SettingsError, StorageError, VersionUnreadable
from models.buckets import S3Bucket
from models.object_store import KEPT_COPIES, ObjectStore
from models.registry import Registry, registry_at
from tests.contracts.test_registry import fill_with
from tests.models.buckets import WRITES, Died, FaultyBucket, MemoryBucket
from tests.models.racing import PROMOTE_MANY, check_promotions
from tests.s3 import make_bucket, s3_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server():
    with s3_server() as environment:
        make_bucket(environment, "releases")
        yield environment


@pytest.fixture
def address(server, monkeypatch) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return f"s3://releases/{uuid.uuid4().hex}"


@pytest.fixture
def bucket(tmp_path) -> MemoryBucket:
    """Release 1 serves, 2 was held back."""
    bucket = MemoryBucket()
    begin(registry_on(bucket, tmp_path))
    return bucket


def registry_on(bucket, tmp_path, cache: str = "cache") -> Registry:
    return Registry(ObjectStore(bucket, tmp_path / cache))


def begin(registry: Registry) -> None:
    registry.promote(registry.publish(fill_with("old")), expected=None, facts={})
    registry.append_history([{"release": 1}])
    registry.publish(fill_with("held back"))


def work(registry: Registry) -> None:
    """Publish, note, promote, roll back, promote again, remove: everything that changes a registry."""
    number = registry.publish(fill_with("new"))
    registry.append_history([{"release": number}])
    registry.point("challenger", number)
    registry.promote(number, expected=1, facts={})
    registry.promote(1, expected=number, facts={"rolled_back_from": number})
    registry.promote(number, expected=1, facts={})
    registry.keep_only_newest()


def check_whole(registry: Registry, where: str) -> tuple[tuple[int, ...], int]:
    """What any reader sees is whole, and the next writer goes through."""
    texts = {1: "old", 2: "held back", 3: "new"}
    numbers, champion, previous = registry.numbers(), registry.alias("champion"), registry.alias("previous")
    for number in numbers:
        assert registry.open(number).json("card.json")["text"] == texts[number], where
    assert champion in (1, 3), where
    assert champion in numbers, where
    assert previous is None or previous in numbers, where
    assert registry.open("champion").number == champion, where
    assert [entry["release"] for entry in registry.history()] in ([1], [1, 3]), where
    served = [pointer["release"] for pointer in registry.promotions()]
    assert served == [1, 3, 1, 3][: len(served)], where
    assert served[-1] == champion, where
    seen = (tuple(numbers), champion)
    again = registry.publish(fill_with("again"))
    assert again == max(numbers) + 1, where
    registry.promote(again, expected=champion, facts={})
    assert registry.open("champion").json("card.json")["text"] == "again", where
    assert registry.alias("previous") == champion, where
    assert [pointer["release"] for pointer in registry.promotions()] == [*served, again], where
    view = registry.view()
    assert view is not None
    assert view["arima"]["release"] == again, where
    return seen


def check_collected(bucket, registry: Registry, where: str) -> None:
    """After two hours the next publisher leaves only files that a release names."""
    bucket.later(hours=2)
    registry.publish(fill_with("next day"))
    named = {registry.open(number).manifest["files_at"] for number in registry.numbers()}
    stored = {"/".join(one.key.split("/")[:2]) for one in bucket.listed("files/")}
    assert stored == named, where
    marks = [key for key in bucket.objects if key.startswith("releases/") and not key.endswith("manifest.json")]
    assert {f"files/{key.rpartition('/')[2]}" for key in marks} <= named, where


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dies before", "dies after", "cut short", "fails", "no answer"])
def test_when_the_work_is_cut_at_any_call_of_the_store_then_what_is_seen_is_whole_and_the_next_goes_through(
    bucket, tmp_path, mode, caplog
):
    caplog.set_level(logging.ERROR)
    seen, cut, at = set(), set(), 0
    while True:
        at += 1
        copy = bucket.copy()
        faulty = FaultyBucket(copy, at, mode)
        with suppress(DemandError if mode in ("fails", "no answer") else Died):
            work(registry_on(faulty, tmp_path, "worker"))
        if faulty.cut is None:  # there is no n-th call
            break
        cut.add(faulty.cut)
        where = f"{mode} at call {at}, {faulty.cut}"
        other = registry_on(copy, tmp_path, "other")
        seen.add(check_whole(other, where))
        check_collected(copy, other, where)
        shutil.rmtree(tmp_path / "worker" / "staging", ignore_errors=True)  # of a process that is no more
    assert at > 100
    assert cut >= {"get", "put", "put_files", "get_files", "listed", "remove"}
    assert seen >= {((1, 2), 1), ((1, 2, 3), 1), ((1, 2, 3), 3), ((3,), 3)} or mode == "no answer"


@pytest.mark.slow
def test_when_the_work_on_s3_is_cut_after_any_write_then_what_is_seen_is_whole(address, tmp_path):
    at, seen = 0, set()
    while True:
        at += 1
        real = S3Bucket(f"{address}/{at}")
        begin(registry_on(real, tmp_path))
        faulty = FaultyBucket(real, at, "dies after", WRITES)
        with suppress(Died):
            work(registry_on(faulty, tmp_path, "worker"))
        if faulty.cut is None:
            break
        seen.add(check_whole(registry_on(real, tmp_path, "other"), f"dies after write {at}, {faulty.cut}"))
    assert at > 30
    assert seen >= {((1, 2), 1), ((1, 2, 3), 1), ((1, 2, 3), 3), ((3,), 3)}


@pytest.mark.slow
def test_when_eight_processes_promote_at_once_on_s3_then_none_is_lost_and_the_history_is_in_order(address, tmp_path):
    each = 4  # not 50: one test server answers all eight, one request after another
    registry = registry_at(address, tmp_path / "cache")
    for k in range(3):
        registry.publish(fill_with(str(k)))
    command = [sys.executable, "-c", PROMOTE_MANY, address, str(tmp_path / "cache"), str(each)]
    processes = [
        subprocess.Popen([*command, str(k)], cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
        for k in range(8)
    ]
    for process in processes:
        _, error = process.communicate(timeout=500)
        assert process.returncode == 0, error
    check_promotions(registry, 8, each)


def test_when_the_answer_to_a_write_is_lost_then_the_writer_knows_its_own_write_and_no_other(tmp_path):
    inner = MemoryBucket()
    store = ObjectStore(FaultyBucket(inner, 1, "no answer"), tmp_path)
    assert store.create("log/1.json", b"same bytes")
    assert not store.create("log/1.json", b"same bytes")  # another writer's, though it says the same
    assert not ObjectStore(inner, tmp_path).create("log/1.json", b"same bytes")
    data, tag = store.read("log/1.json")
    assert store.replace("log/1.json", data, tag)
    assert not store.replace("log/1.json", b"late", tag)


def test_when_many_threads_append_and_create_then_each_line_is_there_once(tmp_path):
    store = ObjectStore(MemoryBucket(), tmp_path)
    won = []

    def append(me: int) -> None:
        for k in range(20):
            store.append("history.jsonl", f"{me}-{k}\n".encode())
            won.extend([k] if store.create(f"log/{k}.json", str(me).encode()) else [])

    threads = [threading.Thread(target=append, args=(me,)) for me in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = store.lines("history.jsonl").decode().split()
    assert sorted(lines) == sorted(f"{me}-{k}" for me in range(6) for k in range(20))
    assert all([line for line in lines if line[0] == str(me)] == [f"{me}-{k}" for k in range(20)] for me in range(6))
    assert sorted(won) == list(range(20))


@pytest.mark.parametrize("damage", ["flipped bit", "missing", "planted pickle", "link"])
def test_when_a_copy_in_the_cache_is_damaged_then_it_is_fetched_again(bucket, tmp_path, damage):
    registry = registry_on(bucket, tmp_path)
    copy = registry.open(1).path
    card = copy / "card.json"
    whole = card.read_bytes()
    if damage == "flipped bit":
        card.write_bytes(whole.replace(b"old", b"odd"))
    elif damage == "missing":
        card.unlink()
    elif damage == "planted pickle":
        (copy / "model.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    else:
        card.rename(tmp_path / "elsewhere.json")
        card.symlink_to(tmp_path / "elsewhere.json")
    assert registry.open("champion").json("card.json")["text"] == "old"
    assert sorted(path.name for path in copy.iterdir()) == ["card.json", "manifest.json", "models"]
    assert not card.is_symlink()
    assert list((tmp_path / "cache" / "staging").iterdir()) == []


def test_when_the_stored_files_are_damaged_then_a_good_copy_keeps_serving_and_is_not_promoted(bucket, tmp_path):
    registry = registry_on(bucket, tmp_path)
    place = registry.open(1).manifest["files_at"]
    bucket.store(f"{place}/card.json", bucket.get(f"{place}/card.json").data.replace(b"old", b"odd"))
    assert registry.open("champion").json("card.json")["text"] == "old"
    with pytest.raises(VersionUnreadable, match="changed after"):
        registry.promote(1, expected=1, facts={})
    with pytest.raises(VersionUnreadable):
        registry_on(bucket, tmp_path, "another machine").open("champion")
    assert [path.name for path in (tmp_path / "another machine").iterdir()] == ["staging"]


@pytest.mark.parametrize("place", ["files/../secrets", "other", "", 7, None, "files/20260101T000000Z-x"])
def test_when_a_manifest_names_another_place_then_nothing_is_read_there(bucket, tmp_path, place):
    key = "releases/000001/manifest.json"
    manifest = json.loads(bucket.get(key).data)
    bucket.store(key, json.dumps({**manifest, "files_at": place}).encode())
    with pytest.raises(VersionUnreadable, match="where the files are"):
        registry_on(bucket, tmp_path, "another machine").open(1)


def test_when_a_publisher_died_then_its_files_are_collected_after_an_hour_and_those_of_a_living_one_never(
    bucket, tmp_path
):
    faulty = FaultyBucket(bucket, 10**9, "dies before")
    publisher = registry_on(faulty, tmp_path, "publisher")

    def dies(folder):
        facts = fill_with("lost")(folder)
        faulty.at, faulty.mode = faulty.calls + 1, "cut short"
        return facts

    with pytest.raises(Died):
        publisher.publish(dies)
    (lost,) = {one.key for one in bucket.listed("files/") if b"lost" in bucket.get(one.key).data}
    registry = registry_on(bucket, tmp_path)
    registry.publish(fill_with("soon after"))
    assert bucket.get(lost) is not None
    bucket.later(hours=1.1)
    # One that began long ago and still sends files.
    living = lost.replace(lost.split("/")[1], "20250101T000000Z-" + "0" * 32)
    bucket.store(living, b"{}")
    registry.publish(fill_with("later"))
    assert bucket.get(lost) is None
    assert bucket.get(living) is not None
    assert all(registry.open(number) for number in registry.numbers())


def test_when_a_mark_is_missing_then_the_release_keeps_its_files(bucket, tmp_path):
    bucket.remove([one.key for one in bucket.listed("releases/") if not one.key.endswith("manifest.json")])
    bucket.later(hours=5)
    registry = registry_on(bucket, tmp_path)
    registry.publish(fill_with("later"))
    assert [registry_on(bucket, tmp_path, "another machine").open(k).number for k in (1, 2, 3)] == [1, 2, 3]


def test_when_releases_come_and_go_then_the_cache_keeps_the_last_used_copies(tmp_path):
    registry = registry_on(MemoryBucket(), tmp_path)
    for k in range(KEPT_COPIES + 3):
        registry.publish(fill_with(str(k)))
        registry.open(k + 1)
        os.utime(registry.open(1).path, (2e9 + k, 2e9 + k))  # in use all the time
    copies = {path.name for path in (tmp_path / "cache").iterdir() if len(path.name) == 64}
    assert len(copies) == KEPT_COPIES
    assert registry.open(1).path.name in copies


def test_when_the_store_cannot_be_reached_then_one_clear_error_says_so_and_shows_no_key(tmp_path, monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIAVISIBLE", "AWS_SECRET_ACCESS_KEY": "hush-hush",
                        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
                        "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    registry = registry_at("s3://releases/x", tmp_path / "cache")
    asks = (registry.numbers, registry.champion_pointer, lambda: registry.publish(fill_with("a")),
            lambda: registry.append_history([{"a": 1}]))  # fmt: skip
    for ask in asks:
        with pytest.raises(StorageError, match=r"object store cannot be used.*s3://releases/x") as error:
            ask()
        assert "hush" not in str(error.value)
        assert "AKIA" not in str(error.value)


@pytest.mark.slow
def test_when_the_bucket_is_not_there_then_it_is_said(server, tmp_path, monkeypatch):
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match="bucket does not exist"):
        registry_at("s3://nobody-made-it/x", tmp_path / "cache").publish(fill_with("a"))


@pytest.mark.parametrize(
    "address",
    ["http://host/x", "gs://bucket/x", "s3://", "s3:///x", "s3://key:secret@bucket/x", "s3://bucket/a/../b",
     "s3://bucket//x", "s3://bucket/x?versionId=1", "simplecache::s3://bucket/x", "s3://Bucket/x", "file:///etc"],
)  # fmt: skip
def test_when_an_address_is_none_of_a_bucket_then_it_is_refused_and_no_password_is_shown(tmp_path, address):
    with pytest.raises(SettingsError, match=r"storage\.registry_url") as error:
        registry_at(address, tmp_path)
    assert "secret" not in str(error.value)


def test_when_the_registry_is_no_folder_then_its_root_is_not_asked_for(bucket, tmp_path):
    registry = registry_on(bucket, tmp_path)
    with pytest.raises(SettingsError, match="not a folder"):
        registry.root  # noqa: B018 - the property raises
    assert registry.place("log") == "memory://bucket/log"
    assert registry.name == "memory://bucket"
    with pytest.raises(RegistryError):
        registry.promote(2, expected=7, facts={})
