"""A forecast made now: the release's models answer for a style, an upload or a history, and for what is planned."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.forecast_files import read_forecasts
from serve_app.compute import Compute
from serve_app.computing import Computing, plainly
from serve_app.predictions import predictions_router
from serve_app.problems import Refused
from serve_app.schemas.predictions import MOST_ROWS, PredictionAnswer, request_schema
from serve_app.schemas.uploads import UploadParameters
from serve_app.settings import ServeSettings
from serve_app.state import Config
from serve_app.uploads import Uploads
from tests.evaluation.released import fleet_panel, release_of
from tests.serve_app import calls

pytestmark = pytest.mark.slow

FLEET = fleet_panel(price="future")
LAST = date(2025, 7, 31)  # the release's last day


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage root with a release whose models read a planned price."""
    root = tmp_path_factory.mktemp("served")
    release_of(root, FLEET, ("arima", "xgboost"))
    return root


@pytest.fixture(scope="module")
def release(storage):
    from models.registry import Registry

    return Registry(storage / "registry").open("champion")


@pytest.fixture(scope="module")
def computing(storage, release):
    return Computing.open(release.path, release.number, Uploads(storage, ServeSettings()).panel)


def ask(computing, **request):
    answer = json.loads(computing.predict(request))
    assert PredictionAnswer.model_validate(answer)
    return answer


def refused(computing, **request):
    with pytest.raises(Refused) as caught:
        computing.predict(request)
    return caught.value


def rows(n=40, first=date(2025, 6, 20), quantity=lambda k: 3 + k % 7, **columns):
    said = {"columns": columns} if columns else {}
    return [{"date": str(first + timedelta(days=k)), "quantity": quantity(k), **said} for k in range(n)]


# ---- a style's own history ------------------------------------------------------------------------------------------


def test_when_a_style_is_asked_then_its_forecast_is_the_stored_one(computing, release):
    ((_, stored),) = read_forecasts(release.file("forecasts.parquet"))
    for row, style in enumerate(stored.ids.tolist()):
        answer = ask(computing, style=style)
        assert [step["predicted_value"] for step in answer["forecast"]] == stored.mean[row].tolist()
        assert [step["lower_bound"] for step in answer["forecast"]] == stored.quantiles[row, :, 0].tolist()
        assert [step["upper_bound"] for step in answer["forecast"]] == stored.quantiles[row, :, -1].tolist()
        assert answer["made_by"] == stored.made_by[row]
    assert answer["forecast"][0]["date"] == str(LAST + timedelta(days=1))
    assert answer["release"] == release.number
    assert answer["evaluation_id"] == release.json("card.json")["metrics"]["ensemble"]["evaluation_id"]
    assert answer["generated_at"] == release.manifest["created"]
    assert (answer["forecast_horizon"], len(answer["forecast"])) == ("14 days", 14)


def test_when_the_same_is_asked_again_then_the_bytes_are_the_same_also_of_a_release_opened_anew(computing, release):
    requests = [{"style": "S003", "horizon": 7}, {"history": rows()}, {"style": "S004", "planned": {"price": 9}}]
    again = Computing.open(release.path, release.number)
    for request in requests:
        assert computing.predict(request) == computing.predict(request) == again.predict(request)


def test_when_fewer_days_are_asked_then_it_is_the_beginning_of_the_whole(computing):
    whole, week = ask(computing, style="S002"), ask(computing, style="S002", horizon=7)
    assert week["forecast"] == whole["forecast"][:7]
    assert week["forecast_horizon"] == "7 days"


def test_when_a_level_is_asked_then_the_bounds_are_the_models_own_or_it_is_refused_with_what_there_is(computing):
    wide, narrow = (ask(computing, style="S001", confidence_level=level) for level in (0.95, 0.8))
    assert ask(computing, style="S001")["confidence_level"] == 0.95
    for a, b in zip(wide["forecast"], narrow["forecast"], strict=True):
        assert a["lower_bound"] <= b["lower_bound"] <= b["upper_bound"] <= a["upper_bound"]
    other = refused(computing, style="S001", confidence_level=0.9)
    assert (other.status_code, other.parameter, other.allowed) == (400, "confidence_level", [0.8, 0.95])


def test_when_the_horizon_is_beyond_the_release_then_the_most_is_named(computing):
    answer = refused(computing, style="S001", horizon=15)
    assert (answer.status_code, answer.parameter, answer.allowed) == (409, "horizon", [14])


@pytest.mark.parametrize("style", ["nobody", "S001\0", "s001", " S001", "../S001", "%2e%2e", "S" * 500])
def test_when_no_style_has_this_name_then_it_is_unknown(computing, style):
    answer = refused(computing, style=style)
    assert (answer.status_code, answer.error) == (404, "unknown_style")


# ---- a history in the body ------------------------------------------------------------------------------------------


def test_when_a_history_was_never_seen_then_pooled_models_answer_and_the_others_say_why_not(computing):
    answer = ask(computing, history=rows())
    assert answer["style"] is None
    assert answer["made_by"] == "ensemble"
    assert {one["model"] for one in answer["members"]} <= {"xgboost", "seasonal_naive"}
    assert sum(one["weight"] for one in answer["members"]) == pytest.approx(1)
    assert answer["weights_of"] in ("class", "fleet")
    assert {"model": "arima", "reason": "the series was not seen in the fit"} in answer["unusable"]
    assert answer["forecast"][0]["date"] == str(date(2025, 7, 30))
    assert answer["history"] == {"source": "request", "first_date": "2025-06-20", "last_date": "2025-07-29",
                                 "periods": 40, "unknown_periods": 0,
                                 "total": float(sum(3 + k % 7 for k in range(40)))}  # fmt: skip
    assert answer["notes"][0] == "price is unknown in this history"


def test_when_a_style_comes_with_a_newer_history_then_its_own_models_go_on_from_there(computing):
    own = FLEET.take([3])
    start = LAST - timedelta(days=len(own.y) - 1)
    newer = [*own.y.tolist(), 20, 30, 25]
    told = [{"date": str(start + timedelta(days=k)), "quantity": q, "columns": {"price": 8}} for k, q in
            enumerate(newer)]  # fmt: skip
    answer = ask(computing, style="S003", history=told)
    assert answer["style"] == "S003"
    assert answer["weights_of"] == "style"
    assert answer["forecast"][0]["date"] == str(LAST + timedelta(days=4))
    assert "arima" in {one["model"] for one in answer["members"]}


def test_when_rows_come_in_any_order_and_days_are_missing_then_they_are_days_without_demand(computing):
    some = [row for row in rows() if row["quantity"] % 2]
    filled = [{**row, "quantity": row["quantity"] if row["quantity"] % 2 else 0} for row in rows()]
    filled = filled[: 1 + max(k for k, row in enumerate(filled) if row["quantity"])]
    assert ask(computing, history=list(reversed(some))) == ask(computing, history=filled)


def test_when_a_quantity_is_unknown_then_it_is_not_taken_for_zero(computing):
    blank = [{**row, "quantity": None} if k % 3 == 0 else row for k, row in enumerate(rows(quantity=lambda k: 10))]
    answer = ask(computing, history=blank)
    assert answer["history"]["unknown_periods"] == 14
    mean = np.mean([step["predicted_value"] for step in answer["forecast"]])
    assert mean > 0.8 * np.mean([s["predicted_value"] for s in
                                 ask(computing, history=rows(quantity=lambda k: 10))["forecast"]])  # fmt: skip


def day(text, quantity=1.0):
    return {"date": text, "quantity": quantity}


BAD = {
    "no rows": [],
    "one row": rows(1),
    "nothing known": rows(20, quantity=lambda k: None),
    "twice": [*rows(10), rows(1)[0]],
    "no day": [*rows(10), day("2025-02-30")],
    "word": [*rows(10), day("today")],
    "time": [*rows(10), day("2025-08-01T00:00:00")],
    "number": [*rows(10), day(20250801)],
    "year 1": [*rows(10), day("0001-01-01")],
    "year 9999": [*rows(10), day("9999-12-31")],
    "text": [*rows(10), day("2025-08-01", "5")],
    "truth": [*rows(10), day("2025-08-01", True)],
    "huge": [*rows(10), day("2025-08-01", 1e300)],
    "infinite": [*rows(10), day("2025-08-01", float("inf"))],
    "nan": [*rows(10), day("2025-08-01", float("nan"))],
    "extra": [*rows(10), {**day("2025-08-01"), "color": "red"}],
    "column": [*rows(10), {**day("2025-08-01"), "columns": {"color": 1.0}}],
    "no object": ["2025-08-01", 5],
    "missing": [*rows(10), {"date": "2025-08-01"}],
    "too many": [day("2025-08-01")] * (MOST_ROWS + 1),
}


@pytest.mark.parametrize("name", list(BAD))
def test_when_a_history_is_bad_then_it_is_refused_in_words(computing, name):
    answer = refused(computing, history=BAD[name])
    assert (answer.status_code, answer.error) == (422, "bad_history")
    assert answer.detail


@pytest.mark.parametrize(
    ("request_", "parameter"),
    [
        ({}, "body"),
        ({"styl": "S001"}, "styl"),
        ({"style": ""}, "style"),
        ({"style": 5}, "style"),
        ({"style": "x" * 100_000}, "style"),
        ({"style": "S001", "horizon": 0}, "horizon"),
        ({"style": "S001", "horizon": -1}, "horizon"),
        ({"style": "S001", "horizon": 10**9}, "horizon"),
        ({"style": "S001", "horizon": "7"}, "horizon"),
        ({"style": "S001", "horizon": 7.0}, "horizon"),
        ({"style": "S001", "horizon": True}, "horizon"),
        ({"style": "S001", "confidence_level": 95}, "confidence_level"),
        ({"style": "S001", "confidence_level": float("nan")}, "confidence_level"),
        ({"style": "S001", "planned": {"price": "9"}}, "planned.price"),
        ({"style": "S001", "planned": {"price": [9.0] * 3}, "horizon": 7}, "planned.price"),
        ({"data_id": "../../etc/passwd"}, "data_id"),
        ({"data_id": "0" * 64, "history": []}, "body"),
    ],
)
def test_when_a_parameter_is_wrong_then_it_is_named(computing, request_, parameter):
    answer = refused(computing, **request_)
    assert (answer.status_code, answer.parameter) == (400, parameter)


# ---- what is planned ------------------------------------------------------------------------------------------------


def test_when_a_price_is_planned_then_the_forecast_moves_and_says_who_read_it(computing):
    cheap, dear = (ask(computing, style="S003", planned={"price": price}) for price in (8, 12))
    total = [sum(step["predicted_value"] for step in answer["forecast"]) for answer in (cheap, dear)]
    assert total[0] > 1.15 * total[1]
    (acted,) = dear["planned"]
    assert (acted["column"], acted["read_by"]) == ("price", ["xgboost"])
    assert acted["weight"] == next(one["weight"] for one in dear["members"] if one["model"] == "xgboost")


def test_when_a_value_a_day_is_planned_then_only_that_day_moves(computing):
    base = ask(computing, style="S003", horizon=5, planned={"price": [10.0] * 5})
    changed = ask(computing, style="S003", horizon=5, planned={"price": [10.0, 10.0, 8.0, 10.0, 10.0]})
    moved = [a != b for a, b in zip(base["forecast"], changed["forecast"], strict=True)]
    assert moved == [False, False, True, False, False]


def test_when_the_release_s_own_plan_is_planned_then_nothing_moves(computing):
    n = len(FLEET.series(3))
    wide = FLEET.take([3]).future["price"]
    assert (
        ask(computing, style="S003", planned={"price": wide[n : n + 14].tolist()})["forecast"]
        == ask(computing, style="S003")["forecast"]
    )


def test_when_no_model_could_act_on_a_plan_then_it_is_refused_never_ignored(computing):
    other = refused(computing, style="S003", planned={"promotion": 1})
    assert (other.status_code, other.error, other.allowed) == (409, "cannot_act", ["price"])
    blind = refused(computing, history=rows(), planned={"price": 9})
    assert (blind.status_code, blind.error) == (409, "cannot_act")
    seen = ask(computing, history=rows(price=10.0), planned={"price": 9})
    assert seen["planned"][0]["column"] == "price"


@pytest.mark.slow
def test_when_the_price_was_known_only_up_to_the_day_then_planning_it_is_refused(tmp_path):
    release, _ = release_of(tmp_path, fleet_panel(price="past"), ("xgboost",))
    answer = refused(Computing.open(release.path, 1), style="S003", planned={"price": 9})
    assert (answer.status_code, answer.allowed) == (409, [])
    assert "columns.future" in answer.detail


# ---- an upload ------------------------------------------------------------------------------------------------------


def uploaded(storage, lines, **asked):
    async def whole():
        yield ("date,style,qty,customer\n" + "\n".join(lines) + "\n").encode()

    return asyncio.run(Uploads(storage, ServeSettings()).add(whole(), UploadParameters(**asked)))["data_id"]


def lines(style, n=60):
    return [f"{date(2025, 6, 1) + timedelta(days=k)},{style},{2 + k % 5},Maria" for k in range(n)]


def test_when_an_upload_is_asked_then_its_demand_is_the_history(computing, storage):
    data_id = uploaded(storage, lines("NEW"))
    answer = ask(computing, data_id=data_id)
    assert (answer["style"], answer["history"]["source"], answer["history"]["periods"]) == ("NEW", "upload", 60)
    assert answer["forecast"][0]["date"] == "2025-07-31"
    same = [{"date": str(date(2025, 6, 1) + timedelta(days=k)), "quantity": 2 + k % 5} for k in range(60)]
    assert ask(computing, history=same)["forecast"] == answer["forecast"]


def test_when_an_upload_holds_several_styles_then_one_must_be_named(computing, storage):
    data_id = uploaded(storage, lines("S003") + lines("NEW"))
    several = refused(computing, data_id=data_id)
    assert (several.status_code, several.parameter, several.allowed) == (400, "style", ["NEW", "S003"])
    known = ask(computing, data_id=data_id, style="S003")
    assert known["weights_of"] == "style"
    assert refused(computing, data_id=data_id, style="S001").status_code == 404


def test_when_an_upload_is_on_another_calendar_or_gone_then_that_is_said(computing, storage):
    weekly = refused(computing, data_id=uploaded(storage, lines("NEW"), freq="W-SUN"))
    assert (weekly.status_code, "freq=D" in weekly.detail) == (422, True)
    gone = refused(computing, data_id="0" * 64)
    assert (gone.status_code, gone.error) == (404, "unknown_data_id")


# ---- over HTTP, and in a process of its own --------------------------------------------------------------------------


@pytest.fixture
def client(computing, tmp_path):
    return served(computing, tmp_path)[1]


def served(computing, tmp_path):
    """(state, client) of a service that computes here."""

    async def compute_call(request):
        json.dumps(request)  # plain values alone may cross to another process
        return await asyncio.to_thread(plainly, computing, request)

    state = calls.state_of(tmp_path)
    return state, calls.client_of(state, [predictions_router(compute_call, state.predictions)])


def test_when_it_was_answered_then_the_prediction_log_names_its_bytes(computing, tmp_path):
    state, client = served(computing, tmp_path)
    answers = [client.post("/api/predictions", json=body) for body in (
        {"style": "S003", "horizon": 7}, {"history": rows(), "horizon": 3}, {"style": "nobody"})]  # fmt: skip
    state.predictions.flush()
    (path,) = (tmp_path / "predictions").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["route"], line["scope"], line["release"]) for line in lines] == [
        ("/api/predictions", "S003", 1), ("/api/predictions", "history", 1)]  # fmt: skip
    for line, answer in zip(lines, answers, strict=False):
        assert line["hash"] == hashlib.sha256(answer.content).hexdigest()[:32]
        assert (line["model"], line["horizon"]) == (answer.json()["made_by"], answer.json()["forecast_horizon"])


def test_when_it_is_posted_then_the_answer_is_what_was_computed(client, computing):
    answer = client.post("/api/predictions", json={"style": "S003", "horizon": 7})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == computing.predict({"style": "S003", "horizon": 7})
    history = client.post("/api/predictions", json={"history": rows(), "horizon": 3})
    assert history.content == computing.predict({"history": rows(), "horizon": 3})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"{", 400),
        (b'{"style": "S001", "style": "S002"}', 400),
        (b'{"style": "S001", "horizon": NaN}', 400),
        (b'{"history": [{"date": "2025-01-01", "quantity": NaN}]}', 400),
        (b'{"history": [{"date": "2025-01-01", "quantity": 1e999}]}', 400),
        (b'{"horizon": ' + b"9" * 5000 + b"}", 400),
        (b'{"planned": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"style": "\\ud800"}', 400),
        (b'{"style": "<script>alert(1)</script>"}', 404),
        (b'{"style": "\xff"}', 400),
        (b'{"style": "S001", "horizon": 15}', 409),
        (b'{"history": []}', 422),
        (b'{"style": "' + b"x" * 2_000_000 + b'"}', 413),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_when_a_body_is_bad_then_its_status_says_so_in_the_one_shape(client, body, status):
    answer = client.post("/api/predictions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert {"status", "error", "detail", "request_id"} <= set(answer.json())


def test_when_the_schema_is_shown_then_it_stands_alone():
    shown = json.dumps(request_schema())
    assert "$ref" not in shown
    assert "confidence_level" in shown


def test_when_a_new_champion_comes_then_it_computes_and_without_one_there_is_no_data(tmp_path):
    nothing = Compute(Config(ServeSettings(), str(tmp_path / "empty"), "registry"))
    try:
        said = nothing.predict({"style": "S000"})["refused"]
        assert (said["status_code"], said["status"], said["headers"]) == (503, "no_data", {"Retry-After": "5"})
    finally:
        nothing.close()
    panel = fleet_panel(4, 90)
    release_of(tmp_path, panel, ())
    compute = Compute(Config(ServeSettings(), str(tmp_path), "registry"))
    try:
        assert json.loads(compute.predict({"style": "S000"})["body"])["release"] == 1
        said = compute.predict({"style": "nobody"})["refused"]
        assert (said["status_code"], said["error"]) == (404, "unknown_style")
    finally:
        compute.close()


@pytest.mark.slow
def test_when_lstm_has_no_say_then_tensorflow_is_never_loaded(release):
    code = (
        "import sys\nfrom pathlib import Path\nfrom serve_app.computing import Computing\n"
        f"c = Computing.open(Path({str(release.path)!r}), 1)\nc.predict({{'style': 'S003'}})\n"
        "assert not {'tensorflow', 'keras', 'prophet', 'ray'} & set(sys.modules), 'loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=120)
