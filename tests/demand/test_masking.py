"""A password in an address reaches no message, file or print-out, however it is written there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.errors import DemandError, SettingsError
from demand.ingest import ingest
from demand.masking import masked
from demand.sources import SourceSettings, read_source
from tests.demand.files import HEADER, ROWS

ADDRESSES = [
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dbob%3BPWD%3DS3cretPw",
    "mssql+pyodbc:///?odbc_connect=DRIVER={ODBC Driver 17 for SQL Server};UID=bob;PWD=S3cretPw",
    "s3://AKIA:S3cretPw@nobucket/x",
    "s3://AKIA:S3cr/S3cretPw@nobucket/x",
    "postgresql://bob:p@S3cretPw:w@h:1/db",
    "postgresql://bob:p@S3cretPw/w@127.0.0.1:1/db",
    "postgresql://bob:S3cretPw w@127.0.0.1:1/db",
    "postgresql+psycopg://bob:S3cretPw@[::1:5/db",
    "sqlite:///d.db?password=S3cretPw",
    "hdfs://bob:S3cretPw@host/x",
    "https://S3cretPw@host/x",
    "http://bob:S3cretPw@host/x::y",
    "abfs://box@account/x?sig=S3cretPw",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_when_an_address_holds_a_password_then_it_is_masked_and_no_error_names_it(address: str) -> None:
    for text in (address, f"cannot open {address}", f"found='{address}'"):
        if " " not in address or text == address or "odbc" in address:
            assert "S3cretPw" not in masked(text), text
    with pytest.raises(DemandError) as caught:
        read_source(SourceSettings(path=address, table="sales"))
    assert "S3cretPw" not in str(caught.value)
    assert "S3cretPw" not in " ".join(caught.value.shown_facts().values())


@pytest.mark.parametrize(
    "address", ["postgresql://bob:p@ss:w0rd@h:1/db", "postgresql://bob:p@ss/w0rd@h/db", "postgresql://bob:p@ss@h/db"]
)
def test_when_a_database_address_cannot_be_told_apart_then_the_setting_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="%40") as caught:
        read_source(SourceSettings(path=address, table="sales"))
    assert "ss" not in caught.value.shown_facts()["found"].removeprefix("'postgres")
    assert "w0rd" not in str(caught.value)


def test_when_keys_stand_in_a_bucket_address_then_the_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY") as caught:
        read_source(SourceSettings(path="s3://AKIA:S3cretPw@nobucket/x"))
    assert "S3cretPw" not in str(caught.value)


def test_when_the_message_is_cut_then_the_password_is_masked_before() -> None:
    error = SettingsError("x", found="postgresql://bob:S3cretPw" + "x" * 300 + "@h/db")
    assert "S3cretPw" not in str(error)


@given(st.text("ab:/@%&=", min_size=8, max_size=12).filter(lambda text: len(set(text)) > 2))
def test_when_a_driver_quotes_the_password_then_it_is_masked_there_as_well(secret: str) -> None:
    assert secret not in masked(f"cannot log in with <{secret}>", f"postgresql://bob:{secret}@h/db")


@pytest.mark.parametrize(
    "text", ["s3://bucket/a@b.csv", "abfs://box@account/x", "see a:b, c@d", "tokens=5", "x?n=1&m=2"]
)
def test_when_nothing_is_secret_then_the_text_stays(text: str) -> None:
    assert masked(text) == text


def test_when_a_database_has_a_password_then_the_report_of_its_rows_does_not(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "d.db")
    connection.execute(f"create table sales ({HEADER.strip().replace('Order Date', 'Date')})")
    connection.executemany("insert into sales values (?, ?, ?)", [line.split(",") for line in ROWS.splitlines()])
    connection.commit()
    connection.close()
    source = SourceSettings(path=f"sqlite:///{tmp_path}/d.db?password=S3cretPw", table="sales")
    report = ingest(source, ColumnSettings(), CleaningSettings()).report
    assert "S3cretPw" not in str(report.as_json())
    assert "S3cretPw" not in " ".join(report.summary_lines())
