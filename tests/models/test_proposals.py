"""Proposals kept for those who serve them: the newest, those before it, and what is removed."""

from __future__ import annotations

import pytest

from demand.errors import StorageError, VersionUnreadable
from models import proposals
from models.proposals import Proposals


def told(run_id, day, **more):
    items = {"in": 2, "ordered": 1, "nothing_needed": 1, "no_data": 0}
    return {"run_id": run_id, "at": f"2026-01-{day:02d}T02:00:00Z", "release": 1, "origin": "2025-12-31",
            "kind": "styles", "unit": "yds", "method": "exact", "items": items, "orders": [], **more}  # fmt: skip


def add(kept, run_id, day, text="item\n"):
    kept.add(told(run_id, day), lambda path: path.write_text(text))


def test_when_proposals_are_kept_then_the_newest_and_those_before_it_are_found(tmp_path):
    kept = Proposals(tmp_path / "orders")
    assert (kept.latest(), kept.heads(), kept.of("b"), kept.csv("b")) == (None, [], None, None)
    for day, run_id in enumerate(("b", "latest.json", "a"), start=1):
        add(kept, run_id, day, f"{run_id}\n")
    assert kept.latest() == told("a", 3)
    assert [head["run_id"] for head in kept.heads()] == ["a", "latest.json", "b"]
    assert kept.heads()[0] == {name: value for name, value in told("a", 3).items() if name != "orders"}
    assert kept.of("b") == told("b", 1)
    assert kept.csv("latest.json").read_text() == "latest.json\n"
    add(kept, "b", 4, "again\n")
    assert [head["run_id"] for head in kept.heads()] == ["b", "a", "latest.json"]
    assert kept.csv("b").read_text() == "again\n"


def test_when_a_proposal_decides_nothing_then_it_is_kept_but_takes_the_place_of_none_that_did(tmp_path):
    kept = Proposals(tmp_path)
    nothing = {"items": {"in": 2, "ordered": 0, "nothing_needed": 0, "no_data": 2}}
    first = told("empty", 1, **nothing)
    assert kept.add(first, lambda path: path.write_text(""))
    assert kept.latest() == first
    add(kept, "orders", 2)
    assert not kept.add(told("again", 3, **nothing), lambda path: path.write_text(""))
    assert kept.latest() == told("orders", 2)
    assert [head["run_id"] for head in kept.heads()] == ["again", "orders", "empty"]
    (tmp_path / "latest.json").write_text("{", encoding="utf-8")
    assert kept.add(told("after", 4, **nothing), lambda path: path.write_text(""))


def test_when_there_are_more_than_are_kept_then_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(proposals, "KEPT", 2)
    kept = Proposals(tmp_path)
    for day in range(1, 5):
        add(kept, f"run{day}", day)
    assert [head["run_id"] for head in kept.heads()] == ["run4", "run3"]
    assert (kept.of("run1"), kept.csv("run2")) == (None, None)
    assert sorted(path.name for path in (tmp_path / "proposals").iterdir()) == ["run3", "run4"]


def test_when_the_file_cannot_be_written_then_the_newest_is_what_it_was(tmp_path):
    kept = Proposals(tmp_path)
    add(kept, "first", 1)

    def full(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError):
        kept.add(told("second", 2), full)
    assert kept.latest() == told("first", 1)
    assert [head["run_id"] for head in kept.heads()] == ["first"]


@pytest.mark.parametrize("name", ["", ".", "..", "../proposals/first", "first/../first", "first/", "FIRST", "first\0"])
def test_when_a_name_is_not_one_of_those_kept_then_there_is_none(tmp_path, name):
    kept = Proposals(tmp_path)
    add(kept, "first", 1)
    assert (kept.of(name), kept.csv(name)) == (None, None)


def test_when_a_file_is_damaged_then_that_is_said(tmp_path):
    kept = Proposals(tmp_path)
    add(kept, "first", 1)
    (tmp_path / "proposals" / "first" / "proposal.json").write_text("{")
    with pytest.raises(VersionUnreadable, match="cannot be read"):
        kept.of("first")
