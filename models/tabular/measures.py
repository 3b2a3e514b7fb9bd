"""How good a model is on rows: its errors, those of the simplest guess, and what undefined ones are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, classification_report, mean_squared_error, r2_score

from demand.panel import Floats
from models.tabular.settings import Task

Measured = dict[str, Any]


def measures(task: Task, actual: NDArray[Any], predicted: NDArray[Any], classes: Sequence[str]) -> Measured:
    """{mse, rmse, r2_score} of a quantity, {accuracy, report} of classes (codes, named by `classes`)."""
    return regression(actual, predicted) if task == "regression" else classification(actual, predicted, classes)


def regression(actual: Floats, predicted: Floats) -> Measured:
    """mse and rmse in the target's unit (squared, plain); r2_score is None where all actual values are the same."""
    mse = float(mean_squared_error(actual, predicted))
    constant = bool(np.ptp(actual) == 0)
    return {
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "r2_score": None if constant else float(r2_score(actual, predicted)),
    }


def classification(actual: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> Measured:
    """accuracy as a fraction; report: class -> precision, recall, f1-score, support, and two averages of them."""
    told: Mapping[str, Any] = classification_report(
        actual, predicted, labels=np.arange(len(classes)), target_names=list(classes), output_dict=True, zero_division=0
    )
    averages = {"macro avg", "weighted avg", *classes}
    report = {name: {key: float(value) for key, value in row.items()} for name, row in told.items() if name in averages}
    return {"accuracy": float(accuracy_score(actual, predicted)), "report": report}


def baseline(task: Task, training: NDArray[Any], actual: NDArray[Any]) -> Measured:
    """The errors of the training mean, or of the commonest training class, on the same rows."""
    if task == "regression":
        guess = float(training.mean())
        return {"rule": "mean of the training rows", **regression(actual, np.full(len(actual), guess))}
    commonest = int(np.bincount(training).argmax())
    return {"rule": "commonest class of the training rows", "accuracy": float((actual == commonest).mean())}


def headline(task: Task) -> str:
    """The measure that training and test are compared by: the larger, the better."""
    return "r2_score" if task == "regression" else "accuracy"


def gap(task: Task, train: Measured, test: Measured) -> float | None:
    """How much better training looks than the test, in R2 or accuracy; None where one of them is undefined."""
    name = headline(task)
    if train[name] is None or test[name] is None:
        return None
    return float(train[name] - test[name])
