"""A file from outside: received under limits, read by the jobs' own loader, kept without people, gone when its time is
over."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import json
import os
import tempfile
import zipfile

import pandas as pd
import pytest
from starlette import formparsers

from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.errors import StorageError
from demand.ingest import ingest
from demand.sources import SourceSettings
from demand.store import panel_hash
from serve_app.children import run_child
from serve_app.problems import Refused
from serve_app.schemas.uploads import UploadAnswer, UploadParameters
from serve_app.settings import ServeSettings
from serve_app.upload_routes import uploads_router
from serve_app.uploads import Uploads
from tests.serve_app import calls

# Each upload is read in a process of its own; asyncio closes the transports of such children late.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def sales(n_days=60, styles=("A-1", "B 2"), secret="Maria Gonzalez"):
    """Order lines with a customer, a price written with a currency, and a blank quantity."""
    lines = ["Order Date,Style,Customer,Qty,Unit Price"]
    for day in pd.date_range("2025-01-01", periods=n_days):
        for k, style in enumerate(styles):
            lines.append(f'{day.date()},{style},{secret} {k},{1 + (day.day + k) % 5},"$7.45 "')
    lines.append(f"2025-03-01,A-1,{secret},,$7.45")
    return ("\n".join(lines) + "\n").encode()


class Storage:
    """An Uploads over a folder, with a clock of our own."""

    def __init__(self, root, **settings):
        self.now = 1_760_000_000.0
        seconds = settings.pop("clean_seconds", 120.0)
        self.uploads = Uploads(root, ServeSettings(**settings), clock=lambda: self.now, clean_seconds=seconds)
        self.folder = root / "uploads"

    def add(self, data, **asked):
        async def pieces():
            for at in range(0, len(data), 1 << 16):
                yield data[at : at + (1 << 16)]

        return asyncio.run(self.uploads.add(pieces(), UploadParameters(**asked)))

    def files(self):
        """Everything kept but the key and the lock of a folder that is being removed."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != ".key")


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path)


def refused(call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value


def test_when_a_file_is_uploaded_then_the_panel_is_the_one_every_job_would_make_of_it(storage, tmp_path):
    (tmp_path / "sales.csv").write_bytes(sales())
    same = ingest(SourceSettings(str(tmp_path / "sales.csv")), ColumnSettings(), CleaningSettings())
    answer = storage.add(sales())
    assert UploadAnswer.model_validate(answer)
    assert panel_hash(storage.uploads.panel(answer["data_id"])) == panel_hash(same.panel)
    rows = answer["rows"]
    assert rows["rows_in"] == 121 == rows["used"] + rows["merged"] + sum(rows["left_out"].values())
    assert answer["quality_score"] == same.report.quality_score
    assert answer["columns"]["chosen"]["quantity"].startswith("Qty")
    assert answer["calendar"]["freq"] == "D"
    assert answer["styles"]["first"] == ["A-1", "B 2"]


def test_when_columns_name_people_then_none_of_their_cells_is_kept_or_answered(tmp_path):
    keeps_them = {"columns": {"keep": ["Customer"]}}
    storage = Storage(tmp_path)
    storage.uploads._plain = keeps_them
    answer = storage.add(sales())
    assert answer["columns"]["personal_dropped"] == ["Customer"]
    assert "Gonzalez" not in json.dumps(answer)
    kept = storage.files()
    assert {path.name for path in kept} >= {"report.json", "panel.json"}
    for path in kept:
        assert b"Gonzalez" not in path.read_bytes()
    frame = pd.concat(pd.read_parquet(path) for path in kept if path.suffix == ".parquet")
    assert "Gonzalez" not in frame.to_json()


def test_when_the_same_file_is_sent_twice_then_it_is_kept_once_and_longer(storage):
    first = storage.add(sales())
    storage.now += 3600
    second = storage.add(sales())
    assert second["data_id"] == first["data_id"]
    assert second["expires_at"] > first["expires_at"]
    assert len(storage.uploads._kept()) == 1
    other = storage.add(sales(), freq="W-SUN")
    assert other["data_id"] != first["data_id"]
    assert storage.uploads.panel(other["data_id"]).freq == "W-SUN"


def test_when_another_storage_has_the_same_file_then_its_name_cannot_be_guessed(tmp_path, storage):
    elsewhere = Storage(tmp_path / "other")
    assert storage.add(sales())["data_id"] != elsewhere.add(sales())["data_id"]
    assert (storage.folder / ".key").stat().st_mode & 0o077 == 0


def test_when_the_same_file_arrives_twice_at_once_then_both_get_it_and_nothing_is_left_over(storage):
    async def both():
        async def whole():
            yield sales()

        return await asyncio.gather(*(storage.uploads.add(whole(), UploadParameters()) for _ in range(2)))

    one, two = asyncio.run(both())
    assert one["data_id"] == two["data_id"]
    assert os.listdir(storage.folder / ".incoming") == []


def test_when_its_time_is_over_then_it_is_gone_as_if_it_had_never_been(storage):
    data_id = storage.add(sales())["data_id"]
    storage.now += 24 * 3600 - 1
    assert storage.uploads.report(data_id)["data_id"] == data_id
    storage.now += 1
    never = refused(storage.uploads.report, "0" * 64)
    for call in (storage.uploads.report, storage.uploads.panel, storage.uploads.delete):
        gone = refused(call, data_id)
        assert (gone.status_code, gone.error, gone.detail) == (404, never.error, never.detail)
    assert storage.uploads.collect() == 1
    assert storage.uploads._kept() == []


def test_when_it_is_deleted_then_nothing_of_it_is_left(storage):
    data_id = storage.add(sales())["data_id"]
    storage.uploads.delete(data_id)
    assert storage.files() == []
    assert refused(storage.uploads.delete, data_id).status_code == 404


@pytest.mark.parametrize(
    "name", ["", "..", "../.key", "/etc/passwd", "0" * 63, "0" * 64 + "/..", "A" * 64, "%2e%2e", "x\0", "0" * 63 + "\n"]
)
def test_when_a_data_id_is_none_then_no_file_is_looked_at(storage, name):
    storage.add(sales())
    for call in (storage.uploads.report, storage.uploads.panel, storage.uploads.delete):
        assert refused(call, name).status_code == 404


BOMB = gzip.compress(b"date,style,qty\n" + b"2025-01-01,A,1\n" * 1_200_000)
DEEP = zipfile.ZIP_DEFLATED


def zipped(**parts):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", DEEP) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text, DEEP)  # without the time of day: the bytes name a test
    return whole.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"  \n ", 422, "empty"),
        (b"date,style,qty\n", 422, "no rows"),
        (b"hello, this is\nno table of sales\n", 422, ""),
        (b"date,style,price\n2025-01-01,A,7.45\n2025-01-02,A,7.45\n", 422, "quantity"),
        (b"date,style,qty,units\n2025-01-01,A,1,2\n2025-01-02,A,2,1\n", 422, "quantity"),
        (b"date,style,qty\n" + b"2025-01-01," + b"x" * 50_000 + b",1\n", 413, "cell"),
        (("c" + ",c".join(map(str, range(3000))) + "\n" + "1," * 2999 + "1\n").encode(), 413, "columns"),
        (b"date,style,qty\n2025-01-01,A,\xff\xfe1\n", 422, "UTF-8"),
        (b"date,style,qty\n\x00\x01\x02\x03\x04\x05\n", 422, "NUL"),
        (b"date,style,qty\n2025-01-01,A\x07,1\n2025-01-02,A\x07,1\n", 422, "control"),
        (b"%PDF-1.7 something", 422, "binary"),
        (b"<html><script>alert(1)</script></html>", 422, "HTML"),
        (b"PK\x03\x04 not really a zip", 422, ""),
        (zipped(**{"sales.csv": "date,style,qty\n2025-01-01,A,1\n"}), 422, "zip"),
        (b"PAR1 but no parquet", 422, "Parquet"),
        (b'[{"date": "2025-01-01"', 422, "JSON"),
        (b"[" * 100_000, 422, ""),
        (b"\x1f\x8b\x08 broken", 422, "gzip"),
        (b'date,style,qty\n2025-01-01,"A,1\n2025-01-02,A,1\n', 422, "quote"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_when_a_file_is_no_table_of_sales_then_it_is_refused_in_words_and_nothing_stays(storage, data, status, said):
    answer = refused(storage.add, data)
    assert answer.status_code == status, answer.detail
    assert said in answer.detail
    assert str(storage.folder) not in answer.detail
    assert storage.files() == []


def test_when_a_small_file_unpacks_to_a_huge_one_then_what_it_unpacks_to_is_counted(tmp_path):
    storage = Storage(tmp_path, max_upload_mb=1)
    assert len(BOMB) < 200_000
    answer = refused(storage.add, BOMB)
    assert answer.status_code == 413
    assert "unpacked" in answer.detail
    assert "serve.max_upload_mb" in answer.detail
    assert storage.files() == []


def test_when_a_file_is_larger_than_allowed_then_it_is_refused_before_it_is_whole(tmp_path):
    storage = Storage(tmp_path, max_upload_mb=1)
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    answer = refused(asyncio.run, storage.uploads.add(endless(), UploadParameters()))
    assert answer.status_code == 413
    assert sent <= (1 << 20) + (1 << 17)
    assert storage.files() == []


def test_when_there_are_more_rows_than_allowed_then_the_limit_is_named(tmp_path):
    answer = refused(Storage(tmp_path, max_upload_rows=50).add, sales())
    assert (answer.status_code, "max_upload_rows" in answer.detail) == (413, True)


def test_when_reading_takes_too_long_then_the_process_is_ended_and_nothing_stays(tmp_path):
    storage = Storage(tmp_path, clean_seconds=0.05)
    answer = refused(storage.add, sales())
    assert (answer.status_code, "took more than" in answer.detail) == (422, True)
    assert storage.files() == []


@pytest.mark.slow
def test_when_memory_runs_out_then_it_is_said_and_the_service_lives_on(tmp_path, monkeypatch):
    monkeypatch.setattr("serve_app.uploads.MEMORY_BYTES", 700_000_000)
    big = b"date,style,qty\n" + b"".join(b"2025-01-%02d,%08d,1\n" % (1 + i % 28, i // 28) for i in range(2_000_000))
    answer = refused(Storage(tmp_path, max_upload_mb=100).add, big)
    assert answer.status_code in (413, 422)
    assert Storage(tmp_path).add(sales())["status"] == "success"


def test_when_names_are_formulas_or_scripts_then_they_come_back_as_plain_text(storage):
    names = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "../../etc/passwd", "@SUM(1)"]
    rows = [f'2025-01-0{d},"{name}",{d}' for name in names for d in range(1, 8)]
    answer = storage.add(("date,style,qty\n" + "\n".join(rows) + "\n").encode())
    assert answer["styles"]["first"] == sorted(names)
    assert set(storage.uploads.panel(answer["data_id"]).ids.tolist()) == set(names)


def test_when_two_columns_could_be_the_quantity_then_the_parameter_says_which(storage):
    data = b"date,style,qty,units\n" + b"".join(b"2025-01-%02d,A,%d,%d\n" % (d, d, 2 * d) for d in range(1, 20))
    hint = refused(storage.add, data).detail
    assert "quantity" in hint
    assert "columns." not in hint
    assert storage.add(data, quantity="units")["demand"]["total"] == 2 * sum(range(1, 20))


@pytest.mark.slow
def test_when_other_formats_are_sent_then_they_are_told_apart_by_their_content(storage):
    frame = pd.DataFrame({"date": pd.date_range("2025-01-01", periods=30).astype(str), "style": "A", "qty": range(30)})
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    excel = io.BytesIO()
    frame.to_excel(excel, index=False)
    sent = {"json": frame.to_json(orient="records").encode(), "parquet": parquet.getvalue(), "excel": excel.getvalue(),
            "csv": gzip.compress(frame.to_csv(index=False).encode())}  # fmt: skip
    for kind, data in sent.items():
        answer = storage.add(data)
        assert (answer["format"], answer["demand"]["total"]) == (kind, sum(range(30)))


def test_when_the_child_runs_then_it_sees_no_secret_of_ours(tmp_path, monkeypatch):
    seen = {}

    class Ended:
        returncode = 0

        async def wait(self):
            return 0

    async def spawn(*command, env, **more):
        seen.update(env)
        return Ended()

    monkeypatch.setenv("LOOMCAST_TOKEN", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
    assert asyncio.run(run_child(tmp_path, 1.0, "serve_app.upload_child")) == 0
    assert "s3cret" not in str(seen)


def test_when_too_many_are_kept_or_come_at_once_then_the_next_waits(storage, monkeypatch):
    storage.add(sales())
    monkeypatch.setattr("serve_app.uploads.MOST_KEPT", 1)
    assert refused(storage.add, sales(61)).status_code == 429
    assert storage.add(sales())["status"] == "success"  # it is there already
    storage.uploads._waiting = 10
    busy = refused(storage.add, sales(62))
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")


def test_when_the_disk_is_full_then_a_storage_error_says_so_and_nothing_stays(storage, monkeypatch):
    opened = type(storage.folder).open

    def full(self, mode="r", **more):
        if mode == "xb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, **more)

    monkeypatch.setattr(type(storage.folder), "open", full)
    with pytest.raises(StorageError, match="No space left"):
        storage.add(sales())
    monkeypatch.undo()
    assert storage.files() == []


# ---- over HTTP ------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path, storage):
    return calls.client_of(calls.state_of(tmp_path), [uploads_router(storage.uploads)])


def test_when_a_file_is_posted_then_its_report_comes_back_until_it_is_deleted(client, storage):
    answer = client.post("/api/upload_csv", content=sales(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    data_id = answer.json()["data_id"]
    again = client.get(f"/api/uploads/{data_id}")
    assert again.content == answer.content
    form = client.post("/api/upload_csv", files={"file": ("../../etc/passwd", sales(), "text/csv")})
    assert form.json()["data_id"] == data_id
    assert not list(storage.folder.rglob("*passwd*"))
    assert client.request("DELETE", f"/api/uploads/{data_id}").json() == {
        "status": "success", "data_id": data_id, "deleted": True,
    }  # fmt: skip
    assert client.get(f"/api/uploads/{data_id}").status_code == 404


def test_when_a_form_holds_no_file_or_two_then_it_is_a_bad_body(client):
    none = client.post("/api/upload_csv", files={"file": (None, "text")})
    assert none.status_code == 400
    two = client.post("/api/upload_csv", files=[("a", ("a", sales())), ("b", ("b", sales()))])
    assert two.status_code == 400


@pytest.mark.parametrize("query", ["freq=Q", "qantity=x", "freq=D&freq=D", "decimal=;", "path=/etc/passwd", "style="])
def test_when_a_parameter_is_wrong_then_it_is_named_with_what_is_allowed(client, query):
    answer = client.post(f"/api/upload_csv?{query}", content=sales(), headers={"content-type": "text/csv"})
    assert answer.status_code == 400
    assert answer.json()["parameter"] == query.partition("=")[0]


BROWSER = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}


@pytest.fixture
def spooled(monkeypatch):
    """The temporary files that forms were received into."""
    made = []

    class Spooled(tempfile.SpooledTemporaryFile):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", Spooled)
    return made


def test_when_a_page_of_ours_sends_a_form_without_our_token_then_it_is_refused(client, storage, spooled):
    answer = client.post("/api/upload_csv", files={"file": ("a.csv", sales())}, headers=BROWSER)
    assert answer.status_code == 403
    assert storage.files() == []
    assert [file.closed for file in spooled] == [True]


def test_when_a_page_sends_a_form_of_many_files_then_the_second_is_not_received(client, storage, spooled):
    answer = client.post("/api/upload_csv", files=[("file", ("a.csv", sales()))] * 50, headers=BROWSER)
    assert answer.status_code == 400
    assert storage.files() == []
    assert [file.closed for file in spooled] == [True]


def test_when_a_file_was_read_from_a_form_then_its_temporary_file_is_closed(client, spooled):
    assert client.post("/api/upload_csv", files={"file": ("a.csv", sales())}).status_code == 200
    assert [file.closed for file in spooled] == [True]


def test_when_a_bad_file_is_posted_then_the_answer_has_the_one_shape(client):
    answer = client.post("/api/upload_csv", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"})
    said = answer.json()
    assert answer.status_code == 422
    assert set(said) == {"status", "error", "detail", "parameter", "request_id"}
