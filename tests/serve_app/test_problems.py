"""Refusals: a machine word and a sentence, also after a journey to another process."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import serve_app
from demand.errors import DataError, StorageError, VersionUnreadable
from serve_app.problems import NoData, Refused, refused_of, word_of

WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@pytest.mark.parametrize(
    "refused",
    [
        Refused(400, "bad_parameter", "horizon cannot be 45", "horizon", (7, 30)),
        Refused(429, "too_many_requests", "Come again", retry_after=3, headers={"X-Told": "yes"}),
        Refused(503, "busy", "", status="no_data"),
        NoData("Make a release first"),
    ],
)
def test_when_a_refusal_is_sent_to_another_process_then_it_arrives_whole(refused):
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(refused))))
    assert type(again) is type(refused)
    assert again.body("r") == refused.body("r")
    assert (again.status_code, again.headers, str(again)) == (refused.status_code, refused.headers, str(refused))


def test_when_the_service_refuses_then_its_error_is_a_machine_word_and_its_detail_a_sentence():
    words = dict(_refusals())
    assert len(words) >= 40
    assert [(where, word) for where, word in words.items() if not WORD.fullmatch(word)] == []


@pytest.mark.parametrize(
    ("error", "word"), [(DataError("x"), "data_error"), (VersionUnreadable("x"), "version_unreadable")]
)
def test_when_an_error_of_ours_is_answered_then_its_name_is_a_machine_word_too(error, word):
    assert word_of(error) == word


def _refusals():
    """(file:line, word) of every `Refused(status, word, ..)` whose word stands in the source."""
    for path in sorted(Path(serve_app.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused" and len(node.args) > 1:
                word = node.args[1]
                parts = word.values if isinstance(word, ast.JoinedStr) else [word]
                said = [part.value if isinstance(part, ast.Constant) else "x" for part in parts]
                yield f"{path.name}:{node.lineno}", "".join(said)


def test_when_an_error_names_places_of_the_machine_then_a_client_hears_their_names_alone():
    error = StorageError(
        "the storage cannot be written",
        folder="/srv/loomcast/uploads",
        cause="[Errno 2] No file: '/tmp/x/c.yaml'",
        files=["/srv/a/one.csv", "two.csv"],
        path=Path("/srv/x.json"),
        n=3,
        hint="See /docs",
    )
    refused = refused_of(error)
    assert (refused.status_code, refused.error) == (503, "storage_error")
    assert refused.detail == (
        "The storage cannot be written (folder: 'uploads'; cause: \"[Errno 2] No file: 'c.yaml'\"; "
        "files: ['one.csv', 'two.csv']; path: 'x.json'; n: 3). See /docs"
    )
