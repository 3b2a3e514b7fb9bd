"""`python -m jobs` lists every job with what it does, and --help begins with that."""

from __future__ import annotations

import pytest

from jobs import __main__ as listing
from jobs import compose
from jobs.own_folder import CONF
from jobs.summaries import summaries


def test_when_jobs_are_listed_then_each_is_there_with_a_sentence():
    found = summaries()
    composed = {path.stem for path in CONF.glob("*.yaml")} - {"base"}
    assert found.keys() >= composed
    assert found.keys() - composed <= {"demo"}
    for job, words in found.items():
        assert words.endswith((".", "?")), job
        assert words[0].isupper()
        assert "`python" not in words
    text = listing.lines()
    assert max(map(len, text)) <= 80
    assert [job for job in found if not any(line.startswith(f"  {job} ") for line in text)] == []


@pytest.mark.parametrize(("argv", "code"), [([], 0), (["--help"], 0), (["train"], 2)])
def test_when_a_job_is_named_as_an_argument_then_its_command_is_shown(argv, code, capsys):
    assert listing.main(argv) == code
    shown = capsys.readouterr()
    assert "  train " in shown.out
    assert ("python -m jobs.train" in shown.err) == bool(code)


def test_when_help_is_asked_for_then_it_begins_with_what_the_job_does():
    assert " ".join(compose.help_text("rollback").split("\n\n")[0].split()) == summaries()["rollback"]
