"""Rows of a SQL query or table, as a Table of text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from demand.delimited import Limits
from demand.errors import SchemaError, SettingsError, StorageError
from demand.layouts import Table, tidy
from demand.masking import masked

_ROWS_AT_ONCE = 50_000
_READ_ONLY = ("postgresql", "mysql", "mariadb", "oracle")  # know SET TRANSACTION READ ONLY
# Words that write inside a statement that begins with SELECT or WITH; T-SQL needs no semicolon before the next one.
_WRITING = re.compile(
    r"\b(insert|update|delete|merge|into|drop|alter|create|truncate|grant|revoke|exec|execute|attach|pragma|vacuum)\b",
    re.I,
)
_QUOTED = r"""'[^']*'|"[^"]*"|`[^`]*`"""
_ESCAPED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`"""  # the same where a backslash escapes


def read_database(address: str, query: str | None, table: str | None, limits: Limits) -> tuple[Table, str]:
    """The rows and the sha256 over them. The password of the address appears in no message.

    Nothing is written: one SELECT alone is accepted, the connection is read-only where the database knows how, and its
    transaction is rolled back.

    Raises SettingsError (not exactly one of query and table, a query that is not one SELECT, an address SQLAlchemy does
    not know), StorageError (no connection, no such table, a missing driver) and SchemaError (no rows, too many).
    """
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    if (query is None) == (table is None):
        raise SettingsError("SQL needs one of source.query and source.table", query=query, table=table)
    try:
        url = sqlalchemy.make_url(address)
    except (ArgumentError, ValueError):  # ValueError: what should be the port is none
        raise _unclear(address) from None
    if url.username and "@" in f"{url.host}{url.database}":
        raise _unclear(address)
    shown = masked(address)
    if url.get_backend_name() == "sqlite" and (not url.database or not Path(url.database).is_file()):
        raise StorageError("there is no such database file", path=shown, hint="Check source.path")
    if query is not None:
        refuse_writing(query, url.get_backend_name())
        statement: Any = sqlalchemy.text(query)
    else:
        schema, _, name = str(table).rpartition(".")
        statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(name, schema=schema or None))
    digest = hashlib.sha256()
    batches: list[list[list[str]]] = []
    total = size = 0
    try:
        with _connected(url) as connection:
            result = connection.execution_options(stream_results=True).execute(statement)
            header = list(map(str, result.keys()))
            limits.check("columns", len(header), shown)
            while rows := result.fetchmany(_ROWS_AT_ONCE):
                texts = [[_text(cell) for cell in row] for row in rows]
                block = "\n".join("\x1f".join(row) for row in texts).encode("utf-8", "surrogatepass")
                digest.update(block)
                total, size = total + len(rows), size + len(block)
                limits.check("rows", total, shown)
                limits.check("bytes", size, shown)
                batches.append(texts)
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(
            "the driver of this database is missing", path=shown, cause=masked(str(error), address),
            hint="Install the package of this driver, or name another in source.path as dialect+driver://..",
        ) from None  # fmt: skip
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError(
            "the database cannot be read", path=shown, cause=masked(cause, address),
            hint="Check source.path and source.table or source.query",
        ) from None  # fmt: skip
    if not total:
        raise SchemaError("the query returned no rows", source=shown, columns=header, hint="Check its conditions")
    columns = [
        pa.chunked_array([pa.array([row[i] for row in batch], pa.string()) for batch in batches])
        for i in range(len(header))
    ]
    return tidy(shown, header, columns), digest.hexdigest()


def _unclear(address: str) -> SettingsError:
    return SettingsError(
        "the database address cannot be read", key="source.path", found=masked(address),
        expected="a SQLAlchemy address",
        hint="In a user or password write @ as %40, : as %3A, / as %2F and % as %25",
    )  # fmt: skip


def refuse_writing(query: str, backend: str) -> None:
    """Raises SettingsError unless the query is one SELECT (or WITH .. SELECT) that writes nothing.

    Comments are refused as well: with them, what is quoted could not be told for sure. Where dialects disagree on what
    ends a quoted text, the query must be sound under either reading.
    """
    brackets = r"\[[^\]]*\]|" if backend in ("mssql", "sqlite") else ""
    for quoted in (_QUOTED, _ESCAPED):
        bare = re.sub(brackets + quoted, " x ", query, flags=re.S).strip().removesuffix(";").rstrip()
        hidden = re.search(r"--|/\*|\$\w*\$" + ("|#" if backend in ("mysql", "mariadb") else ""), bare)
        word = _WRITING.search(bare)
        if (
            hidden
            or word
            or ";" in bare
            or re.search(r"""['"`]""", bare)
            or not re.match(r"\(*\s*(select|with)\b", bare, re.I)
        ):
            found = hidden or word
            raise SettingsError(
                "the query is not one SELECT that only reads", key="source.query",
                found=found.group() if found else (bare.split() or ["nothing"])[0],
                expected="one SELECT or WITH .. SELECT, without comments, a second statement, or a word that writes",
                hint="Quote a column that has such a name, or name a table or view with source.table",
            )  # fmt: skip


@contextmanager
def _connected(url: Any) -> Iterator[Any]:
    """A connection that cannot write where the database knows how; whatever happened on it is rolled back."""
    import sqlalchemy

    backend = url.get_backend_name()
    arguments: dict[str, Any] = {}
    if backend == "sqlite" and url.get_driver_name() == "pysqlite":
        path = quote(str(Path(url.database).resolve()))
        url = url.set(database=f"file:{path}").update_query_dict({"mode": "ro", "uri": "true"})
    elif backend == "duckdb":
        arguments["read_only"] = True
    engine = sqlalchemy.create_engine(url, connect_args=arguments)
    try:
        with engine.connect() as connection:
            try:
                if backend in _READ_ONLY:
                    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                elif backend == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only=ON")
                yield connection
            finally:
                connection.rollback()
    finally:
        engine.dispose()


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)
