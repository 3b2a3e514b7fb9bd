"""`jobs.token`: a token is shown once, listed without itself, ended by name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from jobs.entry import exit_code
from jobs.token import body
from serve_app.tokens import TokenFile


@pytest.fixture
def job(tmp_path, capsys):
    """Runs the job; returns its exit code, what it printed and what it said on stderr."""

    def run(*told: str) -> tuple[int, str, str]:
        code = exit_code("token", body, [f"storage.root={tmp_path / 's'}", *told])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_when_a_token_is_made_then_it_is_shown_once_listed_without_itself_and_ended_by_its_name(job):
    code, printed, _ = job("name=erp", "role=read", "days=30")
    (token,) = re.findall(r"lc_[\w-]{40,}", printed)
    assert code == 0
    code, printed, _ = job()
    assert code == 0
    assert re.search(r"erp +read +until 20\d\d-", printed)
    assert token not in printed
    assert job("revoke=erp")[0] == 0
    assert "No tokens yet" in job()[1]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (("name=erp",), "a name and a role"),
        (("role=read",), "a name and a role"),
        (("name=erp", "role=root"), "role"),
        (("name=erp", "role=read", "days=0"), "days"),
        (("name=a b", "role=read"), "letters, digits"),
        (("revoke=nobody",), "no token has this name"),
        (("revoke=a", "name=b", "role=read"), "one thing at a time"),
    ],
)
def test_when_it_cannot_be_done_then_2_and_why(job, tmp_path, told, said):
    code, printed, why = job(*told)
    assert (code, printed) == (2, "")
    assert said in why
    assert not (tmp_path / "s" / "tokens.json").exists()


def test_when_a_valid_token_has_the_name_then_it_is_not_replaced_unasked_and_an_ended_one_makes_way(job, tmp_path):
    assert job("name=erp", "role=admin")[0] == 0
    before = (tmp_path / "s" / "tokens.json").read_bytes()
    code, printed, why = job("name=erp", "role=read")
    assert (code, printed) == (2, "")
    assert "valid already" in why
    assert "revoke=erp" in why
    assert (tmp_path / "s" / "tokens.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "s").iterdir() if "tmp" in path.name] == []
    past = datetime.now(UTC) - timedelta(days=2)
    TokenFile(tmp_path / "s").make("old", "read", 1, now=past)
    code, printed, _ = job("name=old", "role=operate", "days=1")
    assert code == 0
    assert "role operate, for 1 day;" in printed
