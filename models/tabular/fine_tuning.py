"""`MLModelFineTuning`: from a file to a trained, measured and stored model of one of its columns."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from demand.business_table import BusinessTable, read_business_table, typed
from demand.calendar import Dates
from demand.errors import DataError, SettingsError
from demand.parsing import Decimal
from demand.settings import build
from demand.sources import SourceSettings
from models.tabular import problems
from models.tabular.estimator import fit_trees, trees
from models.tabular.fitted import FittedTable, days_of_frame, with_past
from models.tabular.measures import baseline, gap, headline, measures
from models.tabular.preparation import Preparation
from models.tabular.roles import Roles, codes_of, refuse_few, roles_of
from models.tabular.rows import newest, usable
from models.tabular.settings import FineTuneSettings, Task
from models.tabular.split import split
from models.tabular.tuning import Scorer

log = logging.getLogger(__name__)
LIBRARIES = ("numpy", "pandas", "scikit-learn")


class Split(NamedTuple):
    """Prepared features (a frame of numbers, none missing) and targets (numbers, or codes of classes)."""

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: NDArray[Any]
    y_test: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What preprocessing decided. frame: typed rows in date order, with their past; train, test: places in it."""

    roles: Roles
    frame: pd.DataFrame
    past: tuple[str, ...]
    y: NDArray[Any]
    days: Dates | None
    classes: tuple[str, ...]
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    preparation: Preparation
    counts: Mapping[str, Any]


class MLModelFineTuning:
    """Learns one column of a company's own table from the others, and says how far that can be believed.

        tuner = MLModelFineTuning("sales.csv")
        df = tuner.load_business_data()
        metrics = tuner.fine_tune_pipeline(df, target_column="revenue")
        tuner.save_models("models")

    settings: `FineTuneSettings`, or its fields by name (task, date, features, exclude, tuning, ..). date_format,
    decimal: how the file writes dates and numbers, where that cannot be seen. source: where the file is, in the place
    of `data_path`. Every fault is one DataError, SettingsError or StorageError that says what to do.
    """

    def __init__(
        self,
        data_path: str | Path | None = None,
        settings: FineTuneSettings | None = None,
        *,
        source: SourceSettings | None = None,
        date_format: str | None = None,
        decimal: Decimal = ".",
        **fields: Any,
    ) -> None:
        given = build(FineTuneSettings, {**asdict(settings or FineTuneSettings()), **fields}, "fine-tuning")
        self.settings: FineTuneSettings = given
        self.source = source or (SourceSettings(path=str(data_path)) if data_path is not None else None)
        self._date_format, self._decimal = date_format, decimal
        self.table: BusinessTable | None = None
        self.prepared: Prepared | None = None
        self.fitted: FittedTable | None = None
        self.metrics: dict[str, Any] = {}

    def load_business_data(self) -> pd.DataFrame:
        """The file's rows with typed columns, repeated rows removed (`table.left_out` counts them).

        Raises StorageError, SchemaError, CalendarError.
        """
        if self.source is None:
            raise SettingsError("there is no file to load", key="data_path", hint="MLModelFineTuning('table.csv')")
        self.table = read_business_table(self.source, self._date_format, self._decimal)
        for problem in problems.few_samples(len(self.table.frame), self.settings):
            log.warning("%s. %s", problem.found, problem.remedy)
        return self.table.frame.copy()

    def preprocess_data(self, df: pd.DataFrame, target_column: str | None = None) -> Split:
        """Training and test rows, prepared from the training rows alone; `prepared` says how.

        Raises DataError ("Insufficient data" below 100 rows with a known target, and as `roles_of`).
        """
        settings, target = self.settings, self._target(target_column)
        table = typed(df, self._date_format, self._decimal)
        if not len(table.frame):
            raise DataError("Insufficient data", needed_rows=settings.min_training_samples, found_rows=0,
                            hint="Get more data: the table has no rows")  # fmt: skip
        refuse_few(len(table.frame), settings)
        roles = roles_of(table.frame, table.kinds, target, settings)
        frame, left_out = usable(table.frame, roles)
        refuse_few(len(frame), settings)
        counts: dict[str, Any] = {"rows_in": len(df), "left_out": {**table.left_out, **left_out}, "used": len(frame)}
        frame, counts["over_maximum"] = newest(frame, roles, settings)
        past: list[str] = []
        if settings.features == "custom":
            frame, past = with_past(frame, roles)
        y, classes = _targets(frame, roles, table)
        days = days_of_frame(frame, roles.date)
        codes = y if roles.task == "classification" else None
        train, test = split(days, settings.test_size, settings.random_state, codes, len(frame))
        preparation = _preparation(roles, past, settings).fit(frame.iloc[train])
        kept = train[preparation.kept_]
        counts |= {"training_rows": len(kept), "outliers_left_out": len(train) - len(kept), "test_rows": len(test)}
        self.prepared = Prepared(roles, frame, tuple(past), y, days, tuple(classes), train, test, preparation, counts)
        log.info("%s of %s: %s", roles.task, target, roles.why)
        names = preparation.names_
        X_train, X_test = (
            pd.DataFrame(preparation.transform(frame.iloc[rows]), columns=names) for rows in (kept, test)
        )
        return Split(X_train, X_test, y[kept], y[test])

    def train_regression_model(
        self, X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: NDArray[Any], y_test: NDArray[Any]
    ) -> dict[str, Any]:
        """Fits a random forest of 100 trees; its measures on the test rows, beside those of the training mean."""
        return self._train("regression", Split(X_train, X_test, y_train, y_test), {})

    def train_classification_model(
        self, X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: NDArray[Any], y_test: NDArray[Any]
    ) -> dict[str, Any]:
        """Fits 100 rounds of gradient boosting; its measures on the test rows, beside those of the commonest class."""
        return self._train("classification", Split(X_train, X_test, y_train, y_test), {})

    def get_feature_importance(self) -> list[tuple[str, float]]:
        """(name, importance) of every feature, the strongest first; they sum to 1, or are all 0."""
        fitted = self._fitted()
        values = fitted.model.feature_importances_.tolist()
        pairs = list(zip(fitted.preparation.names_, values, strict=True))
        return sorted(((name, float(value)) for name, value in pairs), key=lambda pair: (-pair[1], pair[0]))

    def fine_tune_pipeline(self, df: pd.DataFrame, target_column: str | None = None) -> dict[str, Any]:
        """Everything: {"regression": {mse, rmse, r2_score}} or {"classification": {accuracy, report}}.

        Beside it: task and why, baseline, train, gap, importance, problems with remedies, rows, and where asked for
        cross_validation and tuning. Raises DataError.
        """
        parts = self.preprocess_data(df, target_column)
        prepared = self.prepared
        assert prepared is not None
        roles = prepared.roles
        scorer = Scorer(
            prepared.frame.iloc[prepared.train], prepared.y[prepared.train],
            None if prepared.days is None else prepared.days[prepared.train], list(prepared.classes),
            _preparation(roles, prepared.past, self.settings), roles.task, self.settings,
        )  # fmt: skip
        changed, search = scorer.tuned() if self.settings.tuning else ({}, None)
        found = self._train(roles.task, parts, changed)
        importance = self.get_feature_importance()
        self.metrics = {
            roles.task: {name: found[name] for name in _reported(roles.task)},
            "baseline": found["baseline"],
            "train": found["train"],
            "gap": {"measure": headline(roles.task), "value": found["gap"]},
            "task": {"chosen": roles.task, "why": roles.why, "target": roles.target, "classes": list(prepared.classes)},
            "rows": {**prepared.counts, "split": _how_split(prepared)},
            "columns": {"aside": dict(roles.aside), "date": roles.date},
            "importance": [list(pair) for pair in importance],
            "problems": [one.as_json() for one in self._problems(parts, found["gap"], importance)],
            "cross_validation": scorer.cross_validated(changed) if self.settings.cross_validation else None,
            "tuning": search,
            "hyperparameters": changed,
        }
        self.fitted = replace(self._fitted(), metrics=self.metrics)
        return self.metrics

    def save_models(self, directory: str | Path) -> str:
        """Writes model, preparation, feature names and metrics as one folder, whole or not at all; returns its path."""
        folder = Path(directory)
        self._fitted().save(folder)
        return str(folder)

    def predict(self, df: pd.DataFrame) -> NDArray[Any]:
        """A prediction a row; see `FittedTable.predict`."""
        return self._fitted().predict(df)

    @staticmethod
    def load_models(directory: str | Path) -> FittedTable:
        """The stored model, which predicts as it did, bit for bit."""
        return FittedTable.load(Path(directory))

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _train(self, task: Task, parts: Split, changed: Mapping[str, Any]) -> dict[str, Any]:
        prepared = self.prepared
        if prepared is None:
            raise SettingsError("nothing is prepared yet", hint="Call preprocess_data first")
        if prepared.roles.task != task:
            raise SettingsError(f"the target is prepared for {prepared.roles.task}", asked=task, why=prepared.roles.why,
                                hint=f"MLModelFineTuning(.., task={task!r}) says it otherwise")  # fmt: skip
        X = parts.X_train.to_numpy()
        model = fit_trees(trees(task, self.settings, len(X), **changed), X, parts.y_train)
        classes = list(prepared.classes)
        test = measures(task, parts.y_test, model.predict(parts.X_test.to_numpy()), classes)
        train = measures(task, parts.y_train, model.predict(X), classes)
        base = baseline(task, parts.y_train, parts.y_test)
        train = {name: value for name, value in train.items() if name != "report"}
        found = {**test, "baseline": base, "train": train, "gap": gap(task, train, test)}
        plain = {name: value for name, value in model.get_params().items() if value is None or not callable(value)}
        card = {
            "hyperparameters": plain, "settings": asdict(self.settings), "counts": dict(prepared.counts),
            "versions": {"python": platform.python_version(),
                         **{name: importlib.metadata.version(name) for name in LIBRARIES}},
        }  # fmt: skip
        stored = {task: {name: found[name] for name in _reported(task)}, "baseline": base, "train": train}
        self.fitted = FittedTable(prepared.roles, bool(prepared.past), prepared.classes, prepared.preparation, model,
                                  stored, card)  # fmt: skip
        return found

    def _problems(
        self, parts: Split, found_gap: float | None, importance: list[tuple[str, float]]
    ) -> list[problems.Problem]:
        prepared = self.prepared
        assert prepared is not None
        preparation, task = prepared.preparation, prepared.roles.task
        n = len(parts.y_train)
        leaks = [] if task == "classification" else problems.suspected_leaks(
            parts.X_train.to_numpy(), parts.y_train, preparation.names_, self.settings.random_state
        )  # fmt: skip
        return [
            *leaks,
            *problems.few_samples(n, self.settings),
            *problems.no_importance(importance),
            *problems.overfitting(found_gap, headline(task), self.settings),
            *problems.unknown_features(preparation.unknown_, n),
            *problems.outliers_kept(preparation.too_many_outliers_, n),
        ]

    def _target(self, given: str | None) -> str:
        target = given if given is not None else self.settings.target
        if target is None:
            raise SettingsError("no target is named", key="target", hint="Say which column is to be predicted")
        return target

    def _fitted(self) -> FittedTable:
        if self.fitted is None:
            raise SettingsError("nothing is trained yet", hint="Call fine_tune_pipeline first")
        return self.fitted


def _targets(frame: pd.DataFrame, roles: Roles, table: BusinessTable) -> tuple[NDArray[Any], list[str]]:
    if roles.task == "classification":
        return codes_of(frame[roles.target], table.kinds[roles.target])
    return frame[roles.target].to_numpy(dtype=np.float64), []


def _preparation(roles: Roles, past: list[str] | tuple[str, ...], settings: FineTuneSettings) -> Preparation:
    return Preparation(
        (*roles.numeric, *past), roles.text, roles.target, settings.features == "custom",
        roles.numeric if settings.remove_outliers else None, settings.outlier_factor,
    )  # fmt: skip


def _how_split(prepared: Prepared) -> str:
    if prepared.days is None or prepared.days[prepared.train].max() >= prepared.days[prepared.test].min():
        return "drawn: there is no date to order the rows by"
    return f"by time: the test begins on {prepared.days[prepared.test].min()}"


def _reported(task: Task) -> tuple[str, ...]:
    return ("mse", "rmse", "r2_score") if task == "regression" else ("accuracy", "report")
