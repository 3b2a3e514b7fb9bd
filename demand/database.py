"""Rows of a SQL query or table, as a Table of text."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from demand.delimited import Limits
from demand.errors import SchemaError, SettingsError, StorageError
from demand.layouts import Table, tidy

_ROWS_AT_ONCE = 50_000


def read_database(address: str, query: str | None, table: str | None, limits: Limits) -> tuple[Table, str]:
    """The rows and the sha256 over them. The password of the address appears in no message.

    Raises SettingsError (not exactly one of query and table, an address SQLAlchemy does not know), StorageError (no
    connection, no such table, a missing driver) and SchemaError (no rows, too many).
    """
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    if (query is None) == (table is None):
        raise SettingsError("SQL needs one of source.query and source.table", query=query, table=table)
    try:
        url = sqlalchemy.make_url(address)
    except ArgumentError:
        raise SettingsError("the database address cannot be read", key="source.path") from None
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and (not url.database or not Path(url.database).is_file()):
        raise StorageError("there is no such database file", path=shown, hint="Check source.path")
    if query is not None:
        statement: Any = sqlalchemy.text(query)
    else:
        schema, _, name = str(table).rpartition(".")
        statement = sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(name, schema=schema or None))
    digest = hashlib.sha256()
    batches: list[list[list[str]]] = []
    total = size = 0
    try:
        with sqlalchemy.create_engine(url).connect() as connection:
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
        raise StorageError("the driver of this database is missing", path=shown, cause=str(error)) from None
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StorageError("the database cannot be read", path=shown, cause=cause) from None
    if not total:
        raise SchemaError("the query returned no rows", source=shown, columns=header)
    columns = [
        pa.chunked_array([pa.array([row[i] for row in batch], pa.string()) for batch in batches])
        for i in range(len(header))
    ]
    return tidy(shown, header, columns), digest.hexdigest()


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell)
