"""A release to answer from, made once a session and never written to."""

from __future__ import annotations

import pytest

from tests.serve_app.made import make_release, open_book


@pytest.fixture(scope="session")
def registry_root(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def book(registry_root):
    return open_book(registry_root)
