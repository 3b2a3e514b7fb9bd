"""Every page without a browser: it answers, escapes, says what to do where there is nothing, and never breaks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from serve_app.dashboard.frame import pages
from serve_app.product import build
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.serve_app.calls import Client
from tests.serve_app.examples import tune
from tests.serve_app.made import growing_panel, make_release

PATHS = [page.path for page in pages()]
ODD = ("", "7", "-1", "1e9", "\0", "../../x", "<script>alert(1)</script>", "%2e%2e", "x" * 5000, "=1+1", "nan", "ö")
NAMES = ("id", "model", "search", "horizon", "order", "action", "demand_class", "offset", "release", "against", "part",
         "yarn", "unknown")  # fmt: skip


def client_of(root: Path) -> Client:
    state = State(Config(ServeSettings(), str(root), "registry"))
    state.following.look()

    async def compute(_):
        raise AssertionError("no page computes")

    return Client(build(state, compute))


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Client:
    root = tmp_path_factory.mktemp("pages")
    make_release(root, panel=growing_panel(8), run_id="one")
    make_release(root, panel=growing_panel(8, seed=4), run_id="two", importances={"lag_7": 0.75, "month": 0.25})
    tune(root)
    return client_of(root)


@pytest.mark.parametrize("path", PATHS)
def test_when_a_page_is_asked_for_then_it_is_whole(client, path):
    answer = client.get(path + ("?id=S003" if path == "/style" else ""))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.count("<h1>") == 1
    assert "</html>" in answer.text
    assert "None" not in re.sub(r"<script.*?</script>", "", answer.text, flags=re.S)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"""(src|href)=["'](https?:)?//""", answer.text)
    for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', answer.text, flags=re.S):
        json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))


@pytest.mark.parametrize("path", PATHS)
def test_when_nothing_is_released_then_each_page_says_what_to_do(tmp_path, path):
    answer = client_of(tmp_path).get(path)
    assert answer.status_code in (200, 503)
    said = unescape(answer.text)
    words = "jobs[.](pipeline|monitor|schedule|substitutes|replenish|finetune)|Choose a style|No training|Make features"
    assert re.search(words, said), said


@pytest.mark.parametrize(("path", "file"), [("/jobs", "jobs/schedule.json"), ("/monitoring", "monitoring/latest.json")])
def test_when_a_stored_file_is_damaged_then_its_page_says_so_as_a_page(tmp_path, path, file):
    make_release(tmp_path, 3)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("{")
    answer = client_of(tmp_path).get(path)
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.count("<h1>") == 1
    assert file.rpartition("/")[2] in unescape(answer.text)
    assert str(tmp_path) not in answer.text


def test_when_quality_is_shown_then_the_source_has_its_name_and_no_place_of_the_machine(tmp_path):
    make_release(tmp_path, 3, quality={"source": "/srv/sales/2025.csv", "quality_score": 90.0, "rejected": {}})
    client = client_of(tmp_path)
    assert client.get("/api/data-quality").json()["report"]["source"] == "2025.csv"
    assert "/srv/sales" not in client.get("/quality").text


def test_when_a_release_is_not_there_then_promoting_it_is_404_as_comparing_it_is(client):
    promoted = client.post("/api/releases/promote", json={"release": 999})
    back = client.post("/api/releases/rollback", json={"release": 999})
    compared = client.get("/api/releases/compare?release=999&against=1")
    for answer in (promoted, back, compared):
        assert (answer.status_code, answer.json()["error"]) == (404, "unknown_release")
    assert promoted.json()["allowed"] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_when_a_query_is_odd_then_the_page_refuses_it_in_words_and_never_breaks(client, path):
    for name in NAMES:
        for value in ODD:
            answer = client.get(path, params={name: value})
            assert answer.status_code < 500, (path, name, value)
            assert "<script>alert" not in answer.text


def test_when_a_name_is_hostile_then_it_stays_text(tmp_path):
    panel = growing_panel(8)
    names = sorted(["<script>alert(1)</script>", "</script><b>", "{{7*7}}", "a/../b", *"wxyz"])
    make_release(tmp_path, panel=replace(panel, ids=np.array(names)))
    client = client_of(tmp_path)
    for path in ("/", "/styles", *(f"/style?id={quote(name, safe='')}" for name in names)):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "</script><b>" not in answer.text
        assert ">49<" not in answer.text


def test_when_the_data_is_old_then_overview_and_style_say_which_days_the_forecast_is_for(client):
    style = client.get("/api/styles/S003").json()
    assert style["old_data"] is not None  # the made release ends in 2025
    for path in ("/", "/style?id=S003"):
        said = unescape(client.get(path).text)
        assert said.count(style["old_data"]) == 1
        assert f"{style['forecast_from']} to " in said
    assert "next 30 days, 2025-09-01 to 2025-09-30" in unescape(client.get("/style?id=S003").text)


def test_when_a_part_is_asked_for_then_it_comes_alone(client):
    answer = client.get("/releases?part=list")
    assert answer.text.lstrip().startswith('<section id="list"')
    assert "<html" not in answer.text
    assert client.get("/releases?part=nothing").status_code == 404


def test_when_a_file_is_asked_for_then_only_ours_are_there(client):
    for name in ("app.css", "base.css", "app.js", "plotly.min.js", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/static/app.css", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    for name in ("x.css", "..%2fframe.py", "%2e%2e/frame.py"):
        assert client.get(f"/static/{name}").status_code == 404


def test_when_a_page_shows_a_figure_then_it_is_the_api_s(client):
    api = client.get("/api/ml-forecast-detailed?limit=1").json()
    page = client.get("/").text
    assert f"{api['summary']['total_forecasted_qty']:,.0f}" in page
    board = client.get("/api/leaderboard").json()["leaderboard"]
    accuracy = client.get("/accuracy").text
    for row in board:
        assert f"{row['wape']:.1f} %" in accuracy
