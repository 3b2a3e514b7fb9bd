"""A table from outside, made into features in a process of its own, fetched until it expires."""

from __future__ import annotations

import asyncio
import io
from importlib import import_module

import pandas as pd
import pytest

from demand.errors import DemandError
from features.tabular.engineering import CustomFeatureEngineering
from models.files import read_json, write_json
from serve_app import upload_child, uploads
from serve_app.custom_features import CustomTables, custom_features_router
from serve_app.settings import ServeSettings
from tests.models.tabular.made import business
from tests.serve_app import calls

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
PATH = "/api/custom-features"
FORM = "multipart/form-data; boundary=x"


async def here(folder, seconds, module):
    """What the child does, in this process."""
    try:
        await asyncio.to_thread(import_module(module).answer, folder, read_json(folder / "asked.json"))
    except DemandError as error:
        write_json(folder / "refused.json", upload_child.refusal(error))
    return 0


@pytest.fixture
def clock():
    return {"now": 1_760_000_000.0}


@pytest.fixture
def client(tmp_path, clock):
    tables = CustomTables(tmp_path, ServeSettings(upload_ttl_hours=1), clock=lambda: clock["now"])
    return calls.client_of(calls.state_of(tmp_path), [custom_features_router(tables)])


def csv(frame):
    return frame.to_csv(index=False).encode()


def form(data, **fields):
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    file = '--x\r\nContent-Disposition: form-data; name="file"; filename="t.csv"\r\n\r\n'
    return "".join([*parts, file]).encode() + data + b"\r\n--x--\r\n"


def test_when_a_table_is_sent_then_its_features_come_back_as_the_library_makes_them(client, tmp_path):
    frame = business(60).assign(Customer="Ann Somebody")
    answer = client.post(PATH, content=csv(frame), headers={"content-type": "text/csv"})  # in a process of its own
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["date"], said["categories"]) == ("date", ["category"])
    assert said["columns"] == ["revenue", "engagement", "last_purchase_days_ago"]
    assert said["columns_left_out"] == {"id": "an id"}
    assert said["personal_dropped"] == ["Customer"]
    assert said["rows"] == {"rows_in": 60, "used": 60, "left_out": {}}
    fetched = client.get(said["download_url"])
    assert fetched.headers["content-type"].startswith("text/csv")
    assert "attachment" in fetched.headers["content-disposition"]
    assert (len(fetched.content), "Ann" in fetched.text) == (said["csv_bytes"], False)
    made = pd.read_csv(io.StringIO(fetched.text))
    maker = CustomFeatureEngineering()
    expected = maker.complete_feature_pipeline(business(60), "date", said["columns"], ["category"])
    pd.testing.assert_frame_equal(made, expected, check_dtype=False)
    assert said["summary"] == maker.get_feature_summary()
    assert said["nulls"] == maker.get_null_counts()
    assert not list(tmp_path.rglob("upload"))  # the file itself does not stay


def test_when_fields_come_with_a_form_then_they_act_and_faults_are_told(client, clock, monkeypatch):
    monkeypatch.setattr(uploads, "run_child", here)

    def sent(data, **fields):
        return client.post(PATH, content=form(data, **fields), headers={"content-type": FORM})

    table = csv(business(30))
    said = sent(table, columns="revenue, engagement", categories="", group="category", nulls="fill", date="").json()
    assert (said["columns"], said["group"]) == (["revenue", "engagement"], "category")
    assert said["nulls"]["revenue_cumsum"] > 0
    assert client.get(said["download_url"]).text.count(",,") == 0
    assert sent(table, columns="revenue, engagement", group="category", nulls="fill").json() == said  # asked again
    for fields, status, words in (
        ({"columns": "revenu"}, 422, "did you mean revenue"),
        ({"nulls": "zero"}, 400, "nulls"),
    ):
        refused = sent(table, **fields)
        assert (refused.status_code, words in refused.text) == (status, True), refused.text
    misspelt = client.post(f"{PATH}?colums=revenue", content=form(table), headers={"content-type": FORM})
    assert (misspelt.status_code, misspelt.json()["parameter"]) == (400, "colums")
    assert sent(csv(business(30).drop(columns="date"))).status_code == 422
    assert client.request("DELETE", said["download_url"]).json()["deleted"] is True
    assert client.get(said["download_url"]).status_code == 404
    again = sent(table).json()
    clock["now"] += 3601
    assert client.get(again["download_url"]).status_code == 404
