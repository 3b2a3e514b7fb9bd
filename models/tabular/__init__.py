"""Models of a company's own tables: any columns in, one of them predicted from the others."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.tabular.fine_tuning import MLModelFineTuning
    from models.tabular.fitted import FittedTable
    from models.tabular.settings import FineTuneSettings

__all__ = ["FineTuneSettings", "FittedTable", "MLModelFineTuning"]
_HOME = {"FineTuneSettings": "settings", "FittedTable": "fitted", "MLModelFineTuning": "fine_tuning"}


def __getattr__(name: str) -> Any:
    """What is asked for, imported then: every job reads the settings, few of them need scikit-learn (a second)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
