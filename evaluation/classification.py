"""How good a yes-or-no classifier is: measures of pairs that it had not seen, beside the majority and the rule."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demand.panel import Floats, Ints
from models.yarn_labels import OutOfFold

BINS = 10  # of the reliability table
Yes = NDArray[np.bool_]
CLASSES = ("no", "yes")


def judge(
    unseen: OutOfFold, rule: Yes, *, target: float, scoring: str, oob_score: float | None, label_noise: float | None
) -> dict[str, Any]:
    """The report of a classifier, strict JSON; everything in it is measured on pairs of yarns it had not seen.

    unseen: probabilities out of fold, split by yarn. rule [P]: what the rule says of the same pairs. target: wanted
    accuracy (a fraction), shown as met or missed and never moved. oob_score: out-of-bag accuracy; it shares yarns with
    the training, so it is shown beside the figures and is none of them. label_noise: known share of wrong labels; then
    `bound` is the accuracy that no classifier exceeds but by chance. evaluation_id names these very figures.
    """
    y, said = unseen.labelled.y.astype(bool), unseen.probability >= 0.5
    majority = np.full(len(y), 2 * int(y.sum()) > len(y))
    model = measures(y, said)
    found: dict[str, Any] = {
        **model,
        "scoring": scoring,
        "folds": [
            {"fold": int(k) + 1, "n": int((unseen.fold == k).sum()), "accuracy": _share(said == y, unseen.fold == k)}
            for k in np.unique(unseen.fold)
        ],
        "majority": {"says": CLASSES[int(majority[0])], **measures(y, majority)},
        "rule": measures(y, rule),
        "against_majority": paired(y, said, majority),
        "against_rule": paired(y, said, rule),
        "reliability": reliability(y, unseen.probability),
        "brier": float(np.mean((unseen.probability - y) ** 2)),
        "calibration_error": calibration_error(y, unseen.probability),
        "n_yes": int(y.sum()),
        "n_yarns": len(unseen.labelled.yarns),
        "target": target,
        "target_met": bool(model["accuracy"] >= target),
        "bound": None if label_noise is None else 1 - label_noise,
        "oob_score": oob_score,
        "split": "by yarn: a pair is tested in the fold of its candidate, by a model that saw no yarn of that fold",
    }
    digest = hashlib.sha256()
    for array in (unseen.probability, unseen.labelled.y, unseen.fold, rule):
        digest.update(np.ascontiguousarray(array).tobytes())
    return found | {"evaluation_id": digest.hexdigest()[:16]}


def measures(y: Yes, said: Yes) -> dict[str, Any]:
    """{accuracy, f1_weighted, n, classes: {no, yes: {precision, recall, f1, support, predicted}}}.

    A class's precision is null when it was never said, recall when it never was, f1 when neither; f1_weighted is the
    mean of f1 weighted by how often each class was. P >= 1.
    """
    classes = {name: _of_class(y == bool(k), said == bool(k)) for k, name in enumerate(CLASSES)}
    weighted = sum(one["f1"] * one["support"] for one in classes.values() if one["f1"] is not None)
    return {
        "accuracy": float(np.mean(y == said)),
        "f1_weighted": float(weighted / len(y)),
        "n": len(y),
        "classes": classes,
    }


def paired(y: Yes, said: Yes, other: Yes) -> dict[str, Any]:
    """Pairs that only one of the two has right; p_value: the chance of so uneven a split (McNemar's exact test)."""
    from scipy.stats import binomtest

    better, worse = int(((said == y) & (other != y)).sum()), int(((said != y) & (other == y)).sum())
    p_value = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return {"better": better, "worse": worse, "p_value": p_value}


def reliability(y: Yes, probability: Floats, bins: int = BINS) -> list[dict[str, Any]]:
    """Bins of equal width that hold a pair: {low, high, n, mean_probability, share_yes}, ascending."""
    place = _bin(probability, bins)
    rows = []
    for k in np.unique(place):
        inside = place == k
        rows.append({
            "low": float(k / bins), "high": float((k + 1) / bins), "n": int(inside.sum()),
            "mean_probability": float(probability[inside].mean()), "share_yes": float(y[inside].mean()),
        })  # fmt: skip
    return rows


def calibration_error(y: Yes, probability: Floats, bins: int = BINS) -> float:
    """Mean distance between what was said and what was, over the bins of `reliability`, weighted by their pairs."""
    rows = reliability(y, probability, bins)
    return float(sum(row["n"] * abs(row["mean_probability"] - row["share_yes"]) for row in rows) / len(y))


def reasons_against(report: Mapping[str, Any], below_threshold: str) -> list[str]:
    """Why a classifier may not serve, in words; empty when it may. below_threshold: block or warn."""
    scoring = report["scoring"]
    mine = report[scoring]
    reasons = []
    if mine <= report["majority"][scoring]:
        reasons.append(f"{scoring} {mine:.3f} is not above {report['majority'][scoring]:.3f} of the majority class")
    if mine < report["rule"][scoring]:
        reasons.append(f"{scoring} {mine:.3f} is below {report['rule'][scoring]:.3f} of the rule")
    if below_threshold == "block" and not report["target_met"]:
        reasons.append(f"accuracy {report['accuracy']:.3f} is below min_accuracy_threshold {report['target']:g}")
    return reasons


def _of_class(is_it: Yes, said_so: Yes) -> dict[str, Any]:
    right, support, predicted = int((is_it & said_so).sum()), int(is_it.sum()), int(said_so.sum())
    return {
        "precision": right / predicted if predicted else None,
        "recall": right / support if support else None,
        "f1": 2 * right / (support + predicted) if support + predicted else None,
        "support": support,
        "predicted": predicted,
    }


def _bin(probability: Floats, bins: int) -> Ints:
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def _share(right: Yes, where: Yes) -> float:
    return float(np.mean(right[where]))
