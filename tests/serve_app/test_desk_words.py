"""What the release desk repeats of a job's words: one sentence, whatever the job printed."""

from __future__ import annotations

import pytest

from demand.errors import SettingsError, VersionNotFound
from jobs.entry import message_lines
from serve_app.desk import in_words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsError("this release serves now", key="release", found=1, served=[1]),
         "This release serves now (key: 'release'; found: 1; served: [1])."),
        (VersionNotFound("there is no release before the champion", champion=1, hint="Train another release first"),
         "There is no release before the champion (champion: 1). Train another release first"),
        (SettingsError("no " * 40 + "words", names=["a b", "c"]), "No " + "no " * 39 + "words (names: - a b - c)."),
        (SettingsError("odd"), "Odd."),
    ],
)  # fmt: skip
def test_when_a_job_refuses_then_its_error_is_one_sentence_without_the_name_of_its_type(error, said):
    assert in_words("\n".join(message_lines(error))) == said
    if not error.facts.get("names"):
        assert error.sentence() == said


def test_when_a_job_printed_something_else_then_it_is_joined_as_it_stands():
    assert in_words("Gate      held back\n  worse than release 1") == "Gate held back worse than release 1"
    assert in_words("") == ""
