"""The registry under many processes and under a crash at every step."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demand.errors import RegistryError, StorageError, VersionUnreadable
from models.registry import Registry
from tests.contracts.test_registry import fill_with
from tests.models.racing import PROMOTE_MANY, check_promotions

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


PUBLISH_TEN = """
import sys
from pathlib import Path
from models.registry import Registry
from tests.contracts.test_registry import fill_with
from tests.models.racing import PROMOTE_MANY, check_promotions
registry, me = Registry(Path(sys.argv[1])), sys.argv[2]
for k in range(10):
    number = registry.publish(fill_with(f"{me}-{k}"))
    registry.append_history([{"release": number, "by": f"{me}-{k}", "long": "x" * 5000}] * 2)
    print(number)
"""


@pytest.mark.slow
def test_when_eight_processes_publish_at_once_then_every_release_has_its_own_number_and_none_is_lost(tmp_path):
    root = tmp_path / "registry"
    processes = [python(PUBLISH_TEN, str(root), str(k)) for k in range(8)]
    numbers: list[int] = []
    for process in processes:
        out, error = process.communicate(timeout=170)
        assert process.returncode == 0, error
        numbers += [int(line) for line in out.split()]
    registry = Registry(root)
    assert sorted(numbers) == registry.numbers() == list(range(1, 81))
    texts = {registry.open(number).json("card.json")["text"] for number in numbers}
    assert texts == {f"{me}-{k}" for me in range(8) for k in range(10)}
    entries = [json.loads(line) for line in (root / "history.jsonl").read_text().splitlines()]
    assert sorted(entry["release"] for entry in entries) == sorted([*range(1, 81), *range(1, 81)])
    by = {entry["release"]: entry["by"] for entry in entries}
    assert all(registry.open(number).manifest["run_id"] == by[number] for number in numbers)
    assert list((root / "staging").iterdir()) == []


@pytest.mark.slow
def test_when_eight_processes_promote_fifty_times_each_then_none_is_lost_and_the_history_is_in_order(tmp_path):
    registry = Registry(tmp_path / "registry")
    for k in range(3):
        registry.publish(fill_with(str(k)))
    processes = [python(PROMOTE_MANY, str(registry.root), str(tmp_path / "cache"), "50", str(k)) for k in range(8)]
    for process in processes:
        _, error = process.communicate(timeout=500)
        assert process.returncode == 0, error
    check_promotions(registry, 8, 50)
    assert not list(registry.root.rglob("*.part"))


@pytest.fixture
def served(tmp_path) -> Registry:
    """A registry with one release, promoted."""
    registry = Registry(tmp_path / "registry")
    registry.promote(registry.publish(fill_with("old")), expected=None, facts={})
    return registry


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dies", "power", "fails"])
def test_when_the_work_is_cut_at_any_file_system_call_then_what_is_seen_is_whole_and_the_next_goes_through(
    served, mode
):
    served.append_history([{"release": 1}])
    served.publish(fill_with("held back"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.crash_points", str(served.root), mode], cwd=ROOT, text=True,
        capture_output=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    names = {name for _, name, _ in points}
    assert {"open", "fsync", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "fcntl.flock"} <= names
    assert len(points) > 60
    seen = set()
    for at, name, code in points:
        where = f"{mode} at call {at}, {name}"
        registry = Registry(served.root.with_name(f"{served.root.name}-at-{at}"))
        numbers, champion, previous = registry.numbers(), registry.alias("champion"), registry.alias("previous")
        texts = {1: "old", 2: "held back", 3: "new"}
        for number in numbers:  # whatever is seen is whole
            assert registry.open(number).json("card.json")["text"] == texts[number], where
        assert champion in (1, 3), where
        assert champion in numbers, where
        assert previous in (None, 1, 3), where
        served_so_far = [pointer["release"] for pointer in registry.promotions()]
        assert served_so_far == [1, 3, 1, 3][: len(served_so_far)], where
        assert served_so_far[-1] == champion, where
        assert previous is None or previous in numbers, where
        assert registry.open("champion").number == champion, where
        assert [entry["release"] for entry in registry.history()] in ([1], [1, 3]), where
        assert code in (8, 0) if mode == "fails" else code == 9, where
        if mode == "fails":
            assert not list(registry.root.rglob("*.part")), where
        seen.add((tuple(numbers), champion))
        # And the next one goes through, and finds nothing left of this one.
        again = registry.publish(fill_with("again"))
        assert again == max(numbers) + 1, where
        registry.append_history([{"release": again}])
        registry.promote(again, expected=champion, facts={})
        assert registry.open("champion").json("card.json")["text"] == "again", where
        assert registry.open("previous").number == champion, where
        assert {entry["release"] for entry in registry.history()} >= {1, again}, where
        # No promotion is lost, also when the work died between the pointer and the line that notes it.
        noted = [pointer["release"] for pointer in registry.promotions()]
        assert noted == [*served_so_far, again], where
        view = json.loads(registry.view_path.read_text())
        assert (view["arima"]["release"], view["arima"]["previous"]) == (again, champion), where
        left = list((registry.root / "staging").iterdir())  # a lock cut before it named its owner waits for an hour
        assert not list(registry.root.rglob("*.part")), where
        assert [one for one in left if one.suffix != ".lock" or one.stat().st_size] == [], where
    # It was cut before, between and after: no release yet, made, promoted, the older ones removed (all at once).
    assert seen == {((1, 2), 1), ((1, 2, 3), 1), ((1, 2, 3), 3), ((3,), 3)}


@pytest.mark.parametrize("lacks", ["link", "replace", "fsync", "flock", "a link that refuses"])
def test_when_the_file_system_lacks_what_nothing_is_lost_by_then_the_first_write_says_so(tmp_path, monkeypatch, lacks):
    def unable(*given, **more):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    real = os.link
    if lacks == "a link that refuses":  # it replaces instead
        monkeypatch.setattr(os, "link", lambda a, b: (Path(b).unlink(missing_ok=True), real(a, b)))
    else:
        monkeypatch.setattr(fcntl if lacks == "flock" else os, lacks, unable)
    registry = Registry(tmp_path / "registry")
    for write in (lambda: registry.publish(fill_with("a")), lambda: registry.append_history([{"release": 1}])):
        with pytest.raises(
            StorageError, match=r"cannot hold a registry.*storage\.root=.*storage\.registry_url"
        ) as error:
            write()
    assert str(registry.root) in str(error.value)
    assert registry.numbers() == []
    assert registry.history() == []
    assert not list(registry.root.rglob("*.part"))


def test_when_a_network_file_system_loses_the_answer_to_a_link_then_the_writer_still_knows_it_was_first(
    served, monkeypatch
):
    real = os.link

    def answered_twice(a, b):
        real(a, b)
        raise FileExistsError(errno.EEXIST, "File exists")

    number = served.publish(fill_with("new"))
    monkeypatch.setattr(os, "link", answered_twice)
    served.promote(number, expected=1, facts={})
    assert [pointer["release"] for pointer in served.promotions()] == [1, number]


def test_when_the_view_cannot_be_written_after_a_promotion_then_it_counts_all_the_same_and_is_reported(
    served, monkeypatch, caplog
):
    number = served.publish(fill_with("new"))

    def full(*given):
        raise StorageError("the storage cannot be written")

    monkeypatch.setattr(served.store, "replace", full)
    served.promote(number, expected=1, facts={})
    assert "a view of it is not" in caplog.text
    assert served.alias("champion") == number
    assert Registry(served.root).open("champion").number == number


@pytest.mark.parametrize("torn", ['{"release": 2, "text": "ha', "\x00\x00", "17", '{"release": 2, "text": "\udce9'])
def test_when_the_last_line_of_the_history_is_torn_then_it_is_reported_and_the_next_begins_a_line(served, caplog, torn):
    served.append_history([{"release": 1, "text": "a\u2028b"}])  # a line separator of Unicode, none of a file
    with served.history_path.open("ab") as file:
        file.write(torn.encode(errors="surrogateescape"))
    assert served.releases_in_history() == {1}
    assert "line 2 is not whole" in caplog.text
    served.append_history([{"release": 3}, {"release": 4}])
    assert [entry["release"] for entry in served.history()] == [1, 3, 4]
    assert served.history()[0]["text"] == "a\u2028b"
    assert served.history_path.read_bytes().endswith(b'{"release": 3}\n{"release": 4}\n')


def test_when_only_the_end_of_the_line_is_missing_then_the_entry_counts(served):
    served.history_path.write_text('{"release": 1}')
    served.append_history([{"release": 2}])
    assert [entry["release"] for entry in served.history()] == [1, 2]


def test_when_the_disk_is_full_while_the_history_is_appended_then_no_part_of_it_stays(served, monkeypatch):
    served.append_history([{"release": 1}])

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="cannot be written"):
            served.append_history([{"release": 2}])
    assert served.history_path.read_text() == '{"release": 1}\n'
    assert served.releases_in_history() == {1}


def test_when_a_publisher_was_killed_then_the_next_removes_what_it_left_and_nothing_of_a_living_one(served):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom models.registry import Registry\n"
        "def dies(folder):\n    (folder / 'card.json').write_text('{}')\n    os._exit(9)\n"
        "Registry(Path(sys.argv[1])).publish(dies)\n"
    )
    with python(code, str(served.root)) as publisher:
        publisher.communicate(timeout=120)
    assert publisher.returncode == 9
    (left,) = [path for path in (served.root / "staging").iterdir() if path.is_dir()]
    inside = []

    def fill(folder):
        inside.append(Registry(served.root).publish(fill_with("quicker")))  # it collects while this one is at work
        return fill_with("slower")(folder)

    assert served.publish(fill) == 3
    assert inside == [2]
    assert not left.exists()
    assert list((served.root / "staging").iterdir()) == []


def test_when_a_promoted_release_was_exchanged_for_another_whole_one_then_the_alias_does_not_open_it(served):
    assert served.publish(fill_with("other")) == 2
    folder = served.root / "releases"
    (folder / "000001").rename(folder / "kept")
    (folder / "000002").rename(folder / "000001")
    assert served.open(1).json("card.json")["text"] == "other"
    with pytest.raises(VersionUnreadable, match="not the one that was promoted"):
        served.open("champion")


def test_when_the_champion_is_damaged_then_another_can_still_take_its_place(served):
    (served.root / "releases" / "000001" / "card.json").write_text("{}")
    served.promote(served.publish(fill_with("new")), expected=1, facts={})
    assert served.open("champion").json("card.json")["text"] == "new"


def test_when_versions_are_not_kept_then_no_alias_points_at_a_removed_one(served):
    served.promote(served.publish(fill_with("new")), expected=1, facts={})
    served.keep_only_newest()
    assert (served.numbers(), served.alias("champion"), served.alias("previous")) == ([2], 2, None)


@pytest.fixture
def earlier(served):
    """As it was written before there was a log: release 2 serves, 1 before it, and the last line was never noted."""
    served.promote(served.publish(fill_with("newer")), expected=1, facts={"forced": False})
    lines = [json.dumps(pointer) + "\n" for pointer in served.promotions()]
    (served.root / "promotions.jsonl").write_text(lines[0])
    shutil.rmtree(served.root / "log")
    (served.root / "head.json").unlink()
    return served


def test_when_the_registry_was_made_before_there_was_a_log_then_it_is_read_and_nothing_of_it_is_lost(earlier):
    assert (earlier.alias("champion"), earlier.alias("previous"), earlier.alias("challenger")) == (2, 1, None)
    before = earlier.promotions()
    assert [pointer["release"] for pointer in before] == [1, 2]
    assert not (earlier.root / "log").exists()  # reading changes nothing
    with pytest.raises(RegistryError, match="changed meanwhile"):
        earlier.promote(1, expected=1, facts={})
    earlier.promote(1, expected=2, facts={})
    assert (earlier.alias("champion"), earlier.alias("previous")) == (1, 2)
    assert earlier.promotions()[:2] == before
    assert [pointer["release"] for pointer in earlier.promotions()] == [1, 2, 1]
    assert json.loads((earlier.root / "aliases" / "champion.json").read_text())["release"] == 1


def test_when_a_release_served_before_there_was_a_log_then_only_the_same_bytes_serve_again(earlier):
    (earlier.root / "aliases" / "previous.json").unlink()
    shutil.rmtree(earlier.root / "releases" / "000001")
    assert earlier.publish(fill_with("other")) == 3
    (earlier.root / "releases" / "000003").rename(earlier.root / "releases" / "000001")
    with pytest.raises(VersionUnreadable, match="not the one that was promoted"):
        earlier.promote(1, expected=2, facts={})


@pytest.mark.parametrize("written", ["[]", "{}", '{"release": "1"}'])
def test_when_an_alias_of_an_earlier_registry_names_no_release_then_it_is_unreadable(earlier, written):
    (earlier.root / "aliases" / "champion.json").write_text(written)
    with pytest.raises(VersionUnreadable, match="names no release"):
        earlier.open("champion")


def test_when_two_writers_take_the_same_number_then_the_later_gets_the_next(served, monkeypatch):
    real = Registry.newest
    monkeypatch.setattr(Registry, "newest", lambda self: 0)  # as if release 1 came in between
    assert served.publish(fill_with("b")) == 2
    monkeypatch.setattr(Registry, "newest", real)
    assert served.open(1).json("card.json")["text"] == "old"
    assert served.open(2).json("card.json")["text"] == "b"


def test_when_an_alias_of_an_earlier_registry_is_not_json_then_it_is_unreadable_and_not_empty(earlier):
    (earlier.root / "aliases" / "champion.json").write_text("")
    with pytest.raises(VersionUnreadable):
        earlier.alias("champion")


VIEWS = ("head.json", "aliases/champion.json", "aliases/previous.json", "registry.json")


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "of before"])
@pytest.mark.parametrize("view", VIEWS)
def test_when_a_view_of_the_log_is_damaged_or_behind_then_readers_go_by_the_log_and_it_is_made_again(
    served, view, damage
):
    before = {name: (served.root / name).read_bytes() for name in VIEWS if (served.root / name).exists()}
    served.promote(served.publish(fill_with("new")), expected=1, facts={})
    right = {name: (served.root / name).read_bytes() for name in VIEWS}
    path = served.root / view
    path.unlink()
    if damage != "gone":
        whole = right[view]
        path.write_bytes({"empty": b"", "torn": whole[: len(whole) // 2], "of before": before.get(view, b"{}")}[damage])
    assert (served.alias("champion"), served.alias("previous")) == (2, 1)
    assert served.champion_pointer() == served.promotions()[-1]
    served.refresh_view()
    assert {name: (served.root / name).read_bytes() for name in VIEWS} == right


def test_when_the_newest_entry_of_the_log_is_damaged_then_it_is_said_and_nothing_is_guessed(served):
    served.promote(served.publish(fill_with("new")), expected=1, facts={})
    (served.root / "head.json").unlink()
    (newest,) = (served.root / "log").glob("*2.json")
    newest.write_bytes(newest.read_bytes()[:-40])
    with pytest.raises(VersionUnreadable):
        served.alias("champion")
    with pytest.raises(VersionUnreadable):
        served.promote(1, expected=2, facts={})


def test_when_an_older_entry_of_the_log_is_damaged_then_it_is_reported_and_the_rest_is_told(served, caplog):
    served.promote(served.publish(fill_with("new")), expected=1, facts={})
    served.promote(1, expected=2, facts={})
    (middle,) = (served.root / "log").glob("*2.json")
    middle.write_bytes(b"\x00" * 10)
    assert [pointer["release"] for pointer in served.promotions()] == [1, 1]
    assert "0002.json" in caplog.text
    served.promote(2, expected=1, facts={})
    assert served.alias("champion") == 2


def test_when_the_disk_is_full_while_promoting_then_the_old_champion_stays(served, monkeypatch):
    number = served.publish(fill_with("new"))
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written"):
        served.promote(number, expected=1, facts={})
    with pytest.raises(StorageError, match="cannot be written"):
        served.publish(fill_with("more"))
    monkeypatch.setattr(os, "fsync", real)
    assert served.open("champion").json("card.json")["text"] == "old"
    assert served.numbers() == [1, 2]
    assert not list(served.root.rglob("*.part"))
