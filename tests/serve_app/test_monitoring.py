"""What the monitor found, over HTTP: the stored figures again, worst style first, strict and of the declared form."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from demand.errors import VersionUnreadable
from models.registry import Registry
from serve_app.app import make_app
from serve_app.routes import route
from tests.serve_app.conftest import TODAY, make_ensemble_release
from tests.serve_app.examples import desk_of
from tests.serve_app.looked import look_at
from tests.serve_app.made import growing_panel
from tests.serve_app.stored import percent, same
from tests.serve_app.test_pages import ask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A release that was looked at three times: before anything came, after 10 days, after 40 that went wrong."""
    root = make_ensemble_release(tmp_path_factory.mktemp("watched"))
    for days, factor in ((0, 1.0), (10, 1.0), (40, 0.1)):
        look_at(root, growing_panel(), days, factor, f"look-{days}")
    return desk_of(Registry(root))


def stored(desk, name):
    return json.loads((desk.monitoring.root / name / "monitoring.json").read_text(encoding="utf-8"))


def test_when_nobody_has_looked_then_the_next_step_is_said(tmp_path):
    desk = desk_of(Registry(tmp_path / "registry"))
    for path in ("/api/monitoring", "/api/monitoring/history"):
        answer = ask(path, desk)
        assert answer["status"] == "no_data"
        assert "python -m jobs.monitor" in answer["reason"]


def test_when_it_was_looked_then_the_answer_holds_the_stored_figures(desk):
    answer, kept = ask("/api/monitoring", desk), stored(desk, "look-40")
    assert (answer["monitor_id"], answer["release"], answer["matured"]) == ("look-40", 1, True)
    for row, one in zip(answer["models"], kept["models"], strict=True):
        for name, stored_as in (("wape", "wape"), ("accuracy", "accuracy"), ("bias_rel", "bias_rel"),
                                ("baseline_wape", "naive_wape")):  # fmt: skip
            assert same(row[name], percent(one[stored_as])), name
        assert same(row["backtest"]["wape"], percent(one["backtest_wape"]))
        assert (row["coverage"], row["mae"], row["evaluation_id"]) == (
            one["coverage"], one["mae"], one["evaluation_id"],
        )  # fmt: skip
    assert answer["evaluation_id"] == kept["models"][0]["evaluation_id"]
    causes = [alert["cause"] for alert in answer["alerts"]]
    assert "degradation" in causes
    assert [alert["id"] for alert in answer["alerts"]] == [alert["id"] for alert in kept["alerts"]]
    assert answer["degradation"]["degraded"] is True
    table = pd.read_parquet(desk.monitoring.root / "look-40" / "by_style.parquet").query("model == 'champion'")
    total = (table["mae"] * table["n"]).to_numpy()
    ranked = table["unique_id"].to_numpy()[(-total).argsort(kind="stable")].tolist()
    assert [row["style"] for row in answer["styles"]] == ranked
    assert [row["step"] for row in answer["by_step"]] == list(range(11, 41))
    few = ask("/api/monitoring", desk, limit=2, offset=1)
    assert few["styles"] == answer["styles"][1:3]
    assert few["pagination"] == {"total": 24, "returned": 2, "offset": 1, "limit": 2, "next_offset": 3}


def test_when_it_was_looked_several_times_then_the_history_is_newest_first(desk):
    looks = ask("/api/monitoring/history", desk)["looks"]
    assert [row["monitor_id"] for row in looks] == ["look-40", "look-10", "look-0"]
    assert [row["matured"] for row in looks] == [True, True, False]
    assert looks[2]["wape"] is None
    assert "no complete period" in looks[2]["reason"]
    assert same(looks[1]["wape"], percent(stored(desk, "look-10")["models"][0]["wape"]))
    assert [row["monitor_id"] for row in ask("/api/monitoring/history", desk, limit=1, offset=1)["looks"]] == [
        "look-10"
    ]


def test_when_lines_of_the_history_are_no_looks_then_they_are_counted_and_the_others_shown(desk, tmp_path):
    kept = desk.monitoring.history_path.read_text(encoding="utf-8")
    good = json.loads(kept.splitlines()[0])
    bad = [{name: value for name, value in good.items() if name != "monitor_id"}, {**good, "wape": "x"}, [], 7, None]
    root = tmp_path / "monitoring"
    root.mkdir()
    (root / "history.jsonl").write_text(kept + "".join(json.dumps(line) + "\n" for line in bad), encoding="utf-8")
    answer = ask("/api/monitoring/history", desk_of(Registry(tmp_path / "registry")))
    assert [row["monitor_id"] for row in answer["looks"]] == ["look-40", "look-10", "look-0"]
    assert (answer["left_out"], answer["pagination"]["total"]) == (5, 3)


@pytest.mark.parametrize("damage", ["name", "report", "table"])
def test_when_a_stored_file_is_damaged_then_one_clear_error_says_so(tmp_path, damage):
    root = make_ensemble_release(tmp_path)
    look_at(root, growing_panel(), 10)
    folder = desk_of(Registry(root)).monitoring
    if damage == "name":
        folder.latest_path.write_text(json.dumps({"monitor_id": "../../etc"}))
    else:
        (folder.root / "look" / {"report": "monitoring.json", "table": "by_style.parquet"}[damage]).write_text("{")
    one = route("/api/monitoring")
    with pytest.raises(VersionUnreadable):
        one.answer(desk_of(Registry(root)), one.read([]), TODAY)


def test_when_the_service_is_asked_then_it_answers_from_its_own_storage_and_a_new_look_is_seen_at_once(tmp_path):
    from tests.serve_app import calls

    root = make_ensemble_release(tmp_path)
    client = calls.Client(make_app(calls.state_of(tmp_path)))
    assert client.get("/api/monitoring").json()["status"] == "no_data"
    look_at(root, growing_panel(), 10)
    answer = client.get("/api/monitoring")
    assert (answer.status_code, answer.json()["monitor_id"]) == (200, "look")
    assert client.get("/api/monitoring/history").json()["pagination"]["total"] == 1
    assert client.get("/api/monitoring?limt=2").status_code == 400
