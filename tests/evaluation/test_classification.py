"""Measures of a classifier against scikit-learn's, by hand, and what they say of what cannot be said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from evaluation.classification import calibration_error, judge, measures, paired, reasons_against, reliability
from models.yarn_labels import Labelled, OutOfFold

Y = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
SAID = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.1, 0.2, 0.4])
ASKED = {"target": 0.9, "scoring": "f1_weighted", "oob_score": 0.97, "label_noise": 0.04}


def unseen(y=Y, probability=SAID) -> OutOfFold:
    n = len(y)
    some = Labelled(np.zeros((n, 7)), y.astype(np.int64), np.arange(n), np.arange(n) + 1, np.zeros(n, dtype=np.int64))
    return OutOfFold(some, np.arange(n) % 2, np.asarray(probability))


@given(arrays.arrays(bool, st.integers(1, 30)), st.randoms())
def test_when_measures_are_taken_then_they_are_scikit_learns(y, chance):
    said = np.array([chance.random() < 0.5 for _ in y])
    found = measures(y, said)
    assert found["accuracy"] == pytest.approx(accuracy_score(y, said))
    assert found["f1_weighted"] == pytest.approx(f1_score(y, said, average="weighted", zero_division=0))
    sums = precision_recall_fscore_support(y, said, labels=[False, True], zero_division=0)
    for k, name in enumerate(("no", "yes")):
        one = found["classes"][name]
        assert [one["precision"] or 0, one["recall"] or 0, one["f1"] or 0, one["support"]] == pytest.approx(
            [column[k] for column in sums]
        )


def test_when_a_class_never_comes_then_its_measures_are_null_and_not_zero():
    found = measures(np.array([True, True]), np.array([True, True]))
    assert found["classes"]["no"] == {"precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0}
    assert found["f1_weighted"] == 1.0


def test_when_a_classifier_is_judged_then_the_figures_are_those_worked_by_hand():
    rule = np.array([1, 0, 0, 0, 0, 0, 0, 0], dtype=bool)
    report = judge(unseen(), rule, **ASKED)
    assert (report["accuracy"], report["n"], report["n_yes"], report["n_yarns"]) == (0.75, 8, 3, 9)
    assert report["majority"]["says"] == "no"
    assert report["majority"]["accuracy"] == 0.625
    assert report["rule"]["accuracy"] == 0.75
    assert (report["against_rule"]["better"], report["against_rule"]["worse"]) == (1, 1)
    assert [fold["accuracy"] for fold in report["folds"]] == [0.75, 0.75]
    assert (report["target_met"], report["bound"], report["oob_score"]) == (False, 0.96, 0.97)
    assert report["brier"] == pytest.approx(np.mean((SAID - Y) ** 2))
    json.dumps(report, allow_nan=False)


def test_when_figures_differ_then_so_does_their_name_and_the_same_figures_keep_theirs():
    rule = np.zeros(8, dtype=bool)
    name = judge(unseen(), rule, **ASKED)["evaluation_id"]
    assert judge(unseen(), rule, **ASKED)["evaluation_id"] == name
    assert judge(unseen(probability=SAID / 2), rule, **ASKED)["evaluation_id"] != name


def test_when_probabilities_are_said_then_the_table_puts_them_beside_what_was():
    rows = reliability(Y, SAID, bins=2)
    assert [(row["n"], row["share_yes"]) for row in rows] == [(5, 0.2), (3, pytest.approx(2 / 3))]
    assert calibration_error(Y, Y.astype(float)) == 0.0
    assert calibration_error(Y, 1.0 - Y) == 1.0
    assert sum(row["n"] for row in reliability(Y, np.ones(8))) == 8


def test_when_two_are_compared_then_only_pairs_on_which_they_differ_count():
    y = np.ones(10, dtype=bool)
    found = paired(y, y, np.zeros(10, dtype=bool))
    assert (found["better"], found["worse"]) == (10, 0)
    assert found["p_value"] == pytest.approx(2 * 0.5**10)
    assert paired(y, y, y) == {"better": 0, "worse": 0, "p_value": 1.0}


@pytest.mark.parametrize(
    ("probability", "rule", "scoring", "block", "said"),
    [
        (Y.astype(float), Y, "f1_weighted", "block", []),
        (np.zeros(8), np.zeros(8, bool), "accuracy", "warn", ["majority"]),
        (SAID, Y, "accuracy", "warn", ["rule"]),
        (SAID, ~Y, "f1_weighted", "block", ["min_accuracy_threshold"]),
        (SAID, ~Y, "f1_weighted", "warn", []),
    ],
)
def test_when_a_classifier_is_no_better_than_what_is_free_then_it_does_not_serve(
    probability, rule, scoring, block, said
):
    report = judge(unseen(probability=probability), rule, **(ASKED | {"scoring": scoring}))
    reasons = reasons_against(report, block)
    assert len(reasons) == len(said)
    assert all(word in reason for word, reason in zip(said, reasons, strict=True))
