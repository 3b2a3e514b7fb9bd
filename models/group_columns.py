"""Static columns that group styles: that they are there, and named once."""

from __future__ import annotations

from collections.abc import Sequence

from demand.errors import SettingsError
from demand.panel import Panel


def check_named(panel: Panel, columns: Sequence[str], key: str, who: str) -> None:
    """Raises SettingsError when a column is none of the panel's static ones, or is named twice.

    key: the setting that names them. who: what they are named by, for the message.
    """
    for column in columns:
        if column not in panel.static:
            raise SettingsError(
                f"{who} a column that the data does not have", key=key, found=column,
                expected=list(panel.static) or "a static column", hint=f"Name it in columns.static too, as {column}",
            )  # fmt: skip
        if list(columns).count(column) > 1:
            raise SettingsError(f"{who} a column twice", key=key, found=list(columns))
