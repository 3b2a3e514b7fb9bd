"""Why a style's forecast is what it is: the stored row in the answer and on the page, nothing where none was kept."""

from __future__ import annotations

import shutil
from html import unescape

import pandas as pd
import pytest

from models.files import read_json
from serve_app.answers.styles import style as answer_of
from serve_app.dashboard.pages.style import build
from serve_app.schemas.parameters import StyleParameters
from tests.serve_app.conftest import TODAY
from tests.serve_app.made import make_release, open_book
from tests.serve_app.test_dashboard import client_of

STYLE = "S003"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp("why"))


def asked(book, style=STYLE):
    return answer_of(book, StyleParameters(style=style), TODAY)


def with_drivers(book, link, base, effects):
    """The same book, as if this style's model had been taken apart."""
    groups = read_json(book.path / "explanations.json")["groups"]
    stored = book.explanation_of(STYLE)
    neutral = 1.0 if link == "product" else 0.0
    shown = {said: effects.get(key, neutral) for key, said in groups.items()}
    return stored | {"model": "xgboost", "link": link, "base": base, "forecast": 12.0, "effects": shown}, groups


def test_when_a_style_is_asked_for_then_its_stored_sentences_come_word_for_word(root):
    book = open_book(root)
    kept = pd.read_parquet(book.path / "explanations.parquet").set_index("unique_id")
    for style in kept.index:
        told = asked(book, style)["explanation"]
        assert told["words"] == list(kept.loc[style, "words"])
        assert told["words"]
        assert (told["drivers"] is None) == (kept.loc[style, "model"] is None)


@pytest.mark.parametrize(("link", "base", "effects", "shown"), [
    ("sum", 10.0, {"level": 3.0, "season": -1.0}, ["from 10.0 ", " to 12.0 ", "+3.00", "-1.00"]),
    ("product", 8.0, {"level": 1.25, "trend": 1.2}, ["from 8.00 ", "x 1.25", "x 1.20"]),
])  # fmt: skip
def test_when_a_model_was_taken_apart_then_answer_and_page_show_what_moves_it(
    root, monkeypatch, link, base, effects, shown
):
    book = open_book(root)
    row, groups = with_drivers(book, link, base, effects)
    monkeypatch.setattr(type(book), "explanation_of", lambda self, style: row)
    drivers = asked(book)["explanation"]["drivers"]
    assert (drivers["model"], drivers["link"], drivers["base"], drivers["forecast"]) == ("xgboost", link, base, 12.0)
    assert {groups[key]: value for key, value in effects.items()}.items() <= drivers["effects"].items()
    page = unescape(client_of(root.parent).get(f"/style?id={STYLE}").text)
    for words in (*shown, *(groups[key] for key in effects)):
        assert words in page
    assert groups["age"] not in page  # what does nothing is not listed


def test_when_a_release_was_made_before_explanations_were_kept_then_it_answers_and_says_so(root, tmp_path):
    book = open_book(root)
    older = type(book).open(shutil.copytree(book.path, tmp_path / "release"), book.number, book.manifest_sha256)
    for name in ("explanations.parquet", "explanations.json"):
        (older.path / name).unlink()
    answer = asked(older)
    assert (answer["status"], answer["explanation"]) == ("success", None)

    class Stored:
        def get(self, path, **parameters):
            if path.startswith("/api/styles/"):
                return answer
            return {"status": "no_data", "reason": "no table"}

    sections = {section.title: section.blocks for section in build(Stored(), {"id": STYLE})}
    assert "before explanations were kept" in sections["Why"][0].text
