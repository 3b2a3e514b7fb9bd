"""A trained table model: what it was trained on, how it predicts, and its folder: one unit of plain, sealed files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.business_table import typed
from demand.calendar import Dates
from demand.durable import write_whole_folder
from demand.errors import SchemaError, StorageError, VersionUnreadable
from features.tabular.aggregation import AggregationFeatures
from features.tabular.base import require
from features.tabular.temporal import TemporalFeatures
from models.files import CARD, read_arrays, read_card, read_json, write_arrays, write_card, write_json
from models.tabular.preparation import Preparation
from models.tabular.roles import Roles
from models.tree_files import load_trees, save_trees

KIND = "tabular"
MODEL, PREPARATION, ARRAYS, METRICS = "model.npz", "preparation.json", "preparation.npz", "performance_metrics.json"
FILES = (MODEL, PREPARATION, ARRAYS, METRICS)


@dataclass(frozen=True, eq=False)
class FittedTable:
    """roles: of the columns it was trained on. past: whether calendar and past features were made.

    classes: the names of the codes. card: facts for people: counts, versions, settings.
    """

    roles: Roles
    past: bool
    classes: tuple[str, ...]
    preparation: Preparation
    model: Any
    metrics: Mapping[str, Any]
    card: Mapping[str, Any]

    def predict(self, df: pd.DataFrame) -> NDArray[Any]:
        """A number or the name of a class a row [n]; the target may be missing in the table.

        With past features the rows of `df` are their own history: give them together with the rows before them.
        Raises SchemaError for a missing or unfit column.
        """
        frame = self.frame_of(df)
        predicted = self.model.predict(self.preparation.transform(frame))
        if self.roles.task == "regression":
            return np.asarray(predicted)
        return np.array(self.classes, dtype=object)[np.asarray(predicted, dtype=np.int64)]

    def frame_of(self, df: pd.DataFrame) -> pd.DataFrame:
        """The features' source columns of a table, typed as in training."""
        roles = self.roles
        source = [*roles.numeric, *roles.text]
        dated = [roles.date] if self.past and roles.date else []
        require(df, [*source, *dated], "the model")
        table = typed(df[[*source, *dated]], duplicates=False)
        wrong = [name for name in roles.numeric if table.kinds[name] not in ("number", "boolean", "empty")]
        if wrong:
            raise SchemaError("columns are not numeric as they were in training", columns=wrong)
        return with_past(table.frame, roles)[0] if self.past else table.frame

    # ---- the folder -------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Writes the folder whole or not at all; one of ours is replaced. Raises StorageError for any other folder."""
        if folder.exists() and not _ours(folder):
            raise StorageError(
                "the folder holds something else",
                folder=str(folder),
                hint="Name a new or empty folder, or an older model",
            )
        write_whole_folder(folder, self._fill)

    def _fill(self, folder: Path) -> None:
        save_trees(folder / MODEL, self.model)
        told, arrays = self.preparation.state()
        write_json(folder / PREPARATION, told)
        write_arrays(folder / ARRAYS, arrays)
        write_json(folder / METRICS, self.metrics)
        roles = asdict(self.roles)
        facts = {**self.card, "roles": roles, "past": self.past, "classes": list(self.classes),
                 "features": self.preparation.names_,
                 "files": {name: _sha256(folder / name) for name in FILES}}  # fmt: skip
        write_card(folder, KIND, facts)

    @classmethod
    def load(cls, folder: Path) -> FittedTable:
        """The model of a folder, every file compared with its sha256 before it is parsed. Raises VersionUnreadable."""
        card = read_card(folder)
        if card["kind"] != KIND:
            raise VersionUnreadable(
                "this is another kind of model", folder=folder.name, found=card["kind"], expected=KIND
            )
        try:
            for name in FILES:
                if _sha256(folder / name) != card["files"][name]:
                    raise VersionUnreadable("a stored file was changed", folder=folder.name, file=name)
            told = read_json(folder / PREPARATION)
            preparation = Preparation.from_state(told, read_arrays(folder / ARRAYS))
            roles = Roles(**{**card["roles"], "numeric": tuple(card["roles"]["numeric"]),
                             "text": tuple(card["roles"]["text"])})  # fmt: skip
            facts = {name: card[name] for name in card if name not in ("kind", "roles", "past", "classes", "files")}
            return cls(roles, bool(card["past"]), tuple(card["classes"]), preparation, load_trees(folder / MODEL),
                       read_json(folder / METRICS), facts)  # fmt: skip
        except (KeyError, TypeError, OSError) as error:
            raise VersionUnreadable(
                "a stored model cannot be read", folder=folder.name, cause=f"{type(error).__name__}: {error}"
            ) from None


def with_past(frame: pd.DataFrame, roles: Roles) -> tuple[pd.DataFrame, list[str]]:
    """(the frame with the calendar of its date and the past of its numbers beside it, their names).

    Nothing is learned for them, and only earlier dates enter: they may be made before rows are split. The past of the
    target is not among them: it would have to be known wherever the model predicts. Without a date there are none.
    """
    if roles.date is None:
        return frame, []
    families = [TemporalFeatures(roles.date), AggregationFeatures(list(roles.numeric), date=roles.date)]
    made = [pd.DataFrame(family.fit_transform(frame), columns=family.made_names_) for family in families]
    return pd.concat([frame, *made], axis=1), [name for family in families for name in family.made_names_]


def days_of_frame(frame: pd.DataFrame, date: str | None) -> Dates | None:
    """The day of each row [n] (NaT where there is none), None without a date column."""
    return None if date is None else frame[date].to_numpy().astype("datetime64[D]")


def _ours(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    inside = {path.name for path in folder.iterdir()}
    return not inside or (CARD in inside and inside <= {CARD, *FILES} and read_card(folder)["kind"] == KIND)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
