"""A source that is a database is read and nothing else: one SELECT, a connection that cannot write."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from demand.database import read_database, refuse_writing
from demand.delimited import Limits
from demand.errors import SettingsError, StorageError
from demand.sources import SourceSettings, read_source
from tests.demand.files import HEADER, ROWS

LIMITS = Limits(10**9, 10**6, 100, 1000)


def database(folder: Path) -> Path:
    path = folder / "erp # 1.db"  # a name that means something else in an address of a file
    connection = sqlite3.connect(path)
    connection.execute(f"create table sales ({HEADER.strip().replace('Order Date', 'Date')})")
    rows = [line.split(",") for line in ROWS.splitlines()]
    connection.executemany("insert into sales values (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    "query",
    [
        "drop table sales",
        "create table other (a)",
        "pragma user_version=7",
        "update sales set qty = 0 returning date, style, qty",
        "with a as (select 1) delete from sales returning *",
        "select * from sales; drop table sales",
        "select * into other from sales",
        "/* select */ drop table sales",
        "select 1 -- '\n; drop table sales; -- '",
        "attach database 'x.db' as x",
        "vacuum",
        " ",
    ],
)
def test_when_a_query_is_not_one_select_then_it_is_refused_and_the_database_is_untouched(
    tmp_path: Path, query: str
) -> None:
    path = database(tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(SettingsError, match=r"source\.query"):
        read_source(SourceSettings(path=f"sqlite:///{path}", query=query))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "query",
    [
        "select * from sales",
        "  SELECT date, style, qty FROM sales WHERE style <> 'update; drop' ;\n",
        'with a as (select * from sales) select date, style, replace(qty, "update", 1) from a',
        "(select * from sales)",
    ],
)
def test_when_a_query_is_one_select_then_it_is_accepted(query: str) -> None:
    refuse_writing(query, "sqlite")


def test_when_words_of_a_dialect_hide_a_statement_then_it_is_refused_there() -> None:
    for query, backend in (
        ("select $$ ' $$; drop table sales; select ' '", "postgresql"),
        (r"select E'\'; drop table sales; --'", "postgresql"),
        (r"select '\' , '; drop table sales; -- '", "mysql"),
        ("select 1 # '\n; drop table sales; # '", "mysql"),
        ("select [a'] ; drop table sales; select [']", "mssql"),
        ("select 1 exec sp_rename 'a', 'b'", "mssql"),
    ):
        with pytest.raises(SettingsError, match="one SELECT"):
            refuse_writing(query, backend)


def test_when_a_statement_slips_through_then_the_connection_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path)
    monkeypatch.setattr("demand.database.refuse_writing", lambda query, backend: None)
    with pytest.raises(StorageError, match="readonly"):
        read_database(f"sqlite:///{path}", "delete from sales returning *", None, LIMITS)
    table, _ = read_database(f"sqlite:///{path}", None, "sales", LIMITS)
    assert table.n_rows == ROWS.count("\n")
