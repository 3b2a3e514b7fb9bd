"""The one error tree.

DemandError
├── DataError            the data is not fit to use
│   ├── SchemaError      columns, types or layout are not as expected
│   ├── CalendarError    dates are off the calendar, doubled or unreadable
│   └── ShortHistoryError
├── ModelError           a forecast cannot be made
│   ├── FitError
│   ├── OriginError      the fitted model cannot roll to this origin
│   ├── HorizonError     more steps were asked for than the model was fitted for
│   └── ColdStartError   the series was not seen in the fit
├── RegistryError        a stored release cannot be used
│   ├── VersionNotFound
│   └── VersionUnreadable
├── SettingsError        a setting is unknown, of the wrong type or out of range
├── StorageError         a file or folder cannot be read or written
└── ClusterError         Ray cannot be reached or gave up
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Sized, ValuesView
from itertools import islice
from typing import Any

from demand.masking import masked

SHOWN = 5  # a message names the first few offenders, never thousands
_READ_ONCE = (ItemsView, Iterator, KeysView, ValuesView)


class DemandError(Exception):
    """A sentence, the facts behind it, and what to do.

    `facts` are shown as `name=value`; long lists are cut to the first five. `hint` says what to do. Instances survive
    a pickle round trip with their type and facts (Ray loses exceptions whose constructor takes other arguments).
    """

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        # a view or a generator is read once, and does not pickle
        self.facts = {name: list(v) if isinstance(v, _READ_ONCE) else v for name, v in facts.items()}

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self.shown_facts().items())
        return masked(self.message) + (f" ({facts})" if facts else "") + (f". {self.hint}" if self.hint else "")

    def sentence(self) -> str:
        """As a person reads it: what is wrong, the facts in brackets, what to do; the type is not in it."""
        facts = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in self.shown_facts().items())
        said = masked(self.message) + (f" ({facts})" if facts else "")
        return f"{said[:1].upper()}{said[1:]}.{f' {self.hint}' if self.hint else ''}"

    def shown_facts(self) -> dict[str, str]:
        """The facts as they are printed: passwords masked, then long texts and lists cut."""
        return {name: _shorten(value) for name, value in self.facts.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.facts)


def _rebuild(kind: type[DemandError], message: str, hint: str, facts: dict[str, Any]) -> DemandError:
    return kind(message, hint=hint, **facts)


def _shorten(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        text = masked(str(value))  # before the cut: half an address is not known for one
        text = repr(text) if isinstance(value, str) else text
        return text if len(text) <= 200 else text[:197] + "..."
    if isinstance(value, set | frozenset):  # their own order changes from run to run
        value = sorted(value, key=str)
    items = list(islice(iter(value), SHOWN + 1))
    inside = ", ".join(_shorten(item) for item in items[:SHOWN])
    total = f", .. {len(value)} in all" if len(items) > SHOWN and isinstance(value, Sized) else ""
    return f"[{inside}{total}]"


class DataError(DemandError):
    """The data is not fit to use."""


class SchemaError(DataError):
    """Columns, types or layout are not as expected."""


class CalendarError(DataError):
    """Dates are off the calendar, doubled, mixed or unreadable."""


class ShortHistoryError(DataError):
    """There is less history than the operation needs."""


class ModelError(DemandError):
    """A forecast cannot be made."""


class FitError(ModelError):
    """The fit of one model (or one series of it) failed."""


class OriginError(ModelError):
    """The fitted model cannot roll forward to this origin."""


class HorizonError(ModelError):
    """More steps were asked for than the model was fitted for."""


class ColdStartError(ModelError):
    """The series was not seen in the fit."""


class RegistryError(DemandError):
    """A stored release cannot be used."""


class VersionNotFound(RegistryError):
    """No release has this number or alias."""


class VersionUnreadable(RegistryError):
    """A release is there but damaged or of an unknown format."""


class SettingsError(DemandError):
    """A setting is unknown, of the wrong type or out of range."""


class StorageError(DemandError):
    """A file or folder cannot be read or written."""


class ClusterError(DemandError):
    """Ray cannot be reached, or gave up."""
