"""Releases to answer from, made once a session and never written to."""

from __future__ import annotations

from datetime import date

import pytest

from tests.serve_app.made import growing_panel, make_release, open_book

TODAY = date(2025, 9, 2)


@pytest.fixture(scope="session")
def registry_root(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def book(registry_root):
    return open_book(registry_root)


@pytest.fixture(scope="session")
def ensemble_root(tmp_path_factory):
    """24 styles, 90 days ahead, the ensemble served; one style was rejected."""
    return make_ensemble_release(tmp_path_factory.mktemp("ensemble"))


@pytest.fixture(scope="session")
def ensemble_book(ensemble_root):
    return open_book(ensemble_root)


def make_ensemble_release(root, panel=None, **changes):
    """A release of `growing_panel` 90 days ahead that serves the ensemble; the stand-in carries importances."""
    told = ("horizon=90", "selection.auto_model_selection=false")
    return make_release(root, panel=growing_panel() if panel is None else panel, overrides=told,
                        importances={"lag_1": 0.6, "rolling_mean_7": 0.4}, rejected={"GONE": "no usable date"},
                        **changes)  # fmt: skip
