"""The golden prediction: said by the files when a release is made, and said again before it serves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from demand.panel import Panel
from models import golden
from models.base import FitContext, Forecast, ForecastSpec
from models.catalog import recipe_class
from models.files import read_arrays, write_arrays, write_json

KINDS = ("mean", "exponential_smoothing")
SPEC = ForecastSpec(5, (0.1, 0.5, 0.9))


@pytest.fixture(scope="module")
def history() -> Panel:
    y = np.random.default_rng(2).gamma(4, 5, (6, 40))
    return Panel(np.array([f"s{i}" for i in range(6)]), np.arange(7) * 40, y.ravel(), 39, "D")


def saved(folder: Path, history: Panel) -> dict[str, Forecast]:
    """Fits two models in two parts each, saves them as a run does, returns what they say while in memory."""
    said = {}
    for kind in KINDS:
        parts = []
        for name, at in (("a", np.arange(3)), ("b", np.arange(3, 6))):
            part = history.take(at)
            fitted = recipe_class(kind)().fit(part, SPEC, FitContext(season=7))
            place = folder / "models" / kind / name
            (place / "model").mkdir(parents=True)
            fitted.save(place / "model")
            write_arrays(place / "series.npz", {"ids": part.ids})
            parts.append(fitted.forecast(part))
        said[kind] = Forecast.join(parts)
    return said


@pytest.fixture
def here(monkeypatch):
    """The models are asked in this process: no test of the child."""
    monkeypatch.setattr(golden, "_asked", golden.answers)


@pytest.fixture
def release(tmp_path, history, here):
    """A folder with two models and the golden prediction of styles s1 and s4."""
    said = saved(tmp_path, history)
    two = np.array([1, 4])
    assert golden.keep(tmp_path, history.take(two), {kind: one.take(two) for kind, one in said.items()}) == ""
    return tmp_path


def test_when_it_was_kept_then_the_files_say_to_the_bit_what_the_trained_models_said(release):
    facts = json.loads((release / "golden" / "golden.json").read_text())
    assert facts["styles"] == ["s1", "s4"]
    assert facts["against_trained"] == {"mean": 0.0, "exponential_smoothing": 0.0}
    assert golden.is_kept(release)
    assert golden.ailment(release) == golden.fault_when_made(release) == ""


def expected(release, factor):
    place = release / "golden" / "expected.npz"
    arrays = read_arrays(place)
    write_arrays(place, {name: values * (factor if name == "mean.mean" else 1) for name, values in arrays.items()})


def test_when_the_last_digit_differs_then_it_is_refused_here_and_allowed_on_another_processor(release):
    expected(release, 1 + 1e-9)
    assert "mean does not repeat its golden prediction to the bit" in golden.ailment(release)
    place = release / "golden" / "golden.json"
    facts = json.loads(place.read_text())
    write_json(place, {**facts, "made_on": {**facts["made_on"], "processor": "another"}})
    assert golden.ailment(release) == ""
    expected(release, 1 + 1e-4)
    assert "within 1e-06, on another processor or other libraries" in golden.ailment(release)


def test_when_a_model_is_gone_or_one_was_added_then_it_is_named(release):
    (release / "models" / "mean").rename(release / "models" / "naive")
    assert golden.ailment(release) == "mean is missing"


def test_when_the_files_say_something_else_than_the_trained_models_then_it_is_kept_as_a_fault(tmp_path, history, here):
    said = saved(tmp_path, history)
    other = {kind: Forecast.build(history, SPEC, kind, one.mean * 1.01, one.quantiles) for kind, one in said.items()}
    fault = golden.keep(tmp_path, history, other)
    assert "loaded from its files, does not say what it said when it was trained" in fault
    assert golden.fault_when_made(tmp_path) == fault
    assert golden.ailment(tmp_path) == f"when it was made: {fault}"


def test_when_nothing_was_kept_then_nothing_is_held_against_it(tmp_path):
    assert not golden.is_kept(tmp_path)
    assert golden.ailment(tmp_path) == golden.fault_when_made(tmp_path) == ""


@pytest.mark.parametrize("text", ["", "[]", '{"fault": "", "made_on": 3', "{}"])
def test_when_the_golden_files_cannot_be_read_then_it_is_an_ailment(release, text):
    (release / "golden" / "golden.json").write_text(text)
    assert "cannot be read" in golden.ailment(release)


# ---- the child -------------------------------------------------------------------------------------------------------


def test_when_asked_in_a_process_of_its_own_then_the_answer_is_the_same_bits(release, monkeypatch):
    before = golden.answers(release)
    monkeypatch.undo()
    after = golden._asked(release)
    assert before.keys() == after.keys() == set(KINDS)
    for kind, pair in before.items():
        assert [a.tobytes() for a in pair] == [b.tobytes() for b in after[kind]]


def in_place_of_python(tmp_path, monkeypatch, script):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("kill -SEGV $$", "was killed by signal 11"),
        ("echo 'VersionUnreadable: a card is damaged' >&2; exit 1", "cannot be loaded: VersionUnreadable: a card"),
        ("exec sleep 60", "did not answer within"),
    ],
)
def test_when_the_process_dies_complains_or_hangs_then_the_job_lives_and_says_so(tmp_path, monkeypatch, script, says):
    in_place_of_python(tmp_path, monkeypatch, script)
    monkeypatch.setattr(golden, "LIMIT_S", 0.5 if "sleep" in script else 30.0)
    assert says in golden._asked(tmp_path)


def test_when_a_file_is_no_model_then_the_child_says_so_in_one_line(release, monkeypatch):
    monkeypatch.undo()
    next(release.glob("models/mean/a/model/card.json")).write_text('{"kind": "os.system"}')
    said = golden._asked(release)
    assert said.startswith("the models cannot be loaded: VersionUnreadable: the card names an unknown kind")
