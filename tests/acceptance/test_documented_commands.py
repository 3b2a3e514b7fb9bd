"""Every command that a page for people shows is one that the job understands: its settings load as written."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from jobs import compose

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "OPERATING.md", "CONTRIBUTING.md")
RESUMED = "resume="  # needs the run that it names


def commands() -> list[tuple[str, str]]:
    """(job, arguments as typed) of each line that starts a job."""
    found = []
    for page in PAGES:
        for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
            match = re.match(r"(?:\$P|python|.*-- python) -m jobs\.(\w+)(.*)", line)
            if match:
                found.append((match[1], match[2].partition(" #")[0].strip()))
    return sorted(set(found))


@pytest.mark.parametrize(("job", "typed"), commands())
def test_when_a_page_shows_a_command_then_the_job_understands_it(job, typed):
    assert import_module(f"jobs.{job}").body
    if RESUMED not in typed:
        compose.load(job, shlex.split(typed))


def test_when_the_pages_are_read_then_there_are_commands_in_them():
    assert len(commands()) > 25
    assert {job for job, _ in commands()} >= {
        "pipeline",
        "serve",
        "token",
        "promote",
        "rollback",
        "schedule",
        "monitor",
    }


def test_when_make_is_asked_for_help_then_each_target_of_the_pages_is_there():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in PAGES:
        told = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", (ROOT / page).read_text(encoding="utf-8"), re.M)
        assert {one or other for one, other in told} <= targets
