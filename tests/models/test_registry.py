"""The registry under many processes and under a crash at every step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demand.errors import VersionUnreadable
from models.registry import Registry
from tests.contracts.test_registry import fill_with

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


# Publishes and promotes a second release and dies at the n-th call that changes or syncs the disk; prints how many
# there are when it lives to the end.
DIES_AT = """
import os, sys
from pathlib import Path
import models.registry, models.release, models.files, demand.durable
from models.registry import Registry
from tests.contracts.test_registry import fill_with
at, calls = int(sys.argv[2]), 0
def dying(call):
    def then(*arguments, **named):
        global calls
        calls += 1
        if calls == at:
            os._exit(9)
        return call(*arguments, **named)
    return then
for name in ("rename", "replace", "fsync", "mkdir", "open", "unlink", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
Path.write_text = dying(Path.write_text)
registry = Registry(Path(sys.argv[1]))
number = registry.publish(fill_with("new"))
registry.promote(number, expected=1, facts={})
print(calls)
"""


@pytest.fixture
def served(tmp_path) -> Registry:
    """A registry with one release, promoted."""
    registry = Registry(tmp_path / "registry")
    registry.promote(registry.publish(fill_with("old")), expected=None, facts={})
    return registry


@pytest.mark.slow
def test_when_publishing_dies_at_any_step_then_no_half_release_is_seen_and_the_alias_is_valid(served, tmp_path):
    import shutil

    counting = tmp_path / "counting"
    shutil.copytree(served.root, counting)
    process = python(DIES_AT, str(counting), "0")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    steps = int(out)
    assert steps > 15
    seen = set()
    for first in range(1, steps + 1, 4):  # four at a time
        roots = {}
        for at in range(first, min(first + 4, steps + 1)):
            root = tmp_path / f"at-{at}"
            shutil.copytree(served.root, root)
            roots[root] = python(DIES_AT, str(root), str(at))
        for root, process in roots.items():
            process.communicate(timeout=120)
            assert process.returncode == 9
            registry = Registry(root)
            numbers = registry.numbers()
            champion = registry.alias("champion")
            assert numbers in ([1], [1, 2])
            assert champion in numbers
            for number in numbers:  # whatever is seen is whole
                assert registry.open(number).json("card.json")["text"] == ("old" if number == 1 else "new")
            seen.add((len(numbers), champion))
            # And the next one goes through.
            again = registry.publish(fill_with("again"))
            assert again == len(numbers) + 1
            registry.promote(again, expected=champion, facts={})
            assert registry.open("champion").json("card.json")["text"] == "again"
    assert seen == {(1, 1), (2, 1), (2, 2)}  # it died before, between and after


def test_when_two_writers_take_the_same_number_then_the_later_gets_the_next(served, monkeypatch):
    real = Registry.newest
    monkeypatch.setattr(Registry, "newest", lambda self: 0)  # as if release 1 came in between
    assert served.publish(fill_with("b")) == 2
    monkeypatch.setattr(Registry, "newest", real)
    assert served.open(1).json("card.json")["text"] == "old"
    assert served.open(2).json("card.json")["text"] == "b"


def test_when_an_alias_file_is_not_json_then_it_is_unreadable_and_not_empty(served):
    (served.root / "aliases" / "champion.json").write_text("")
    with pytest.raises(VersionUnreadable):
        served.alias("champion")


def test_when_the_disk_is_full_while_promoting_then_the_old_champion_stays(served, monkeypatch):
    number = served.publish(fill_with("new"))
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    from demand.errors import StorageError

    with pytest.raises(StorageError, match="cannot be written"):
        served.promote(number, expected=1, facts={})
    with pytest.raises(StorageError, match="cannot be written"):
        served.publish(fill_with("more"))
    monkeypatch.setattr(os, "fsync", real)
    assert served.open("champion").json("card.json")["text"] == "old"
    assert served.numbers() == [1, 2]
    assert not list(served.root.rglob("*.part"))
