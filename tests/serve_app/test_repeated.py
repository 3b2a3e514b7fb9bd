"""The release of load tests: many styles, each what its original is."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from models.registry import Registry
from serve_app.mounted import today
from serve_app.routes import route
from tests.bench.repeated import repeated
from tests.serve_app.made import open_book


@pytest.mark.slow
def test_when_a_release_is_repeated_then_each_copy_is_answered_like_its_original(registry_root, tmp_path):
    shutil.copytree(registry_root, tmp_path / "registry")
    few = open_book(registry_root)
    assert repeated(Registry(tmp_path / "registry"), 40) == 2
    many = open_book(tmp_path / "registry")
    assert len(many.ids) == 40 * len(few.ids)
    for style, copy in (("S000", "S000~0000"), ("S007", "S007~0039")):
        for told, expected in zip(many.forecast_of(few.served, copy)[:3], few.forecast_of(few.served, style)[:3],
                                  strict=True):  # fmt: skip
            np.testing.assert_array_equal(told, expected)
        np.testing.assert_array_equal(many.history_of(copy)[1], few.history_of(style)[1])
    question = route("/api/ml-forecast-detailed")
    rows = question.answer(many, question.read([]), today())["forecast_details"]
    assert len(rows) == len(many.ids)
    assert {row["style"] for row in rows} == set(many.ids.to_pylist())
