"""An opened release: every file it holds is found again, the missing ones are named."""

from __future__ import annotations

import numpy as np
import pytest

from demand.errors import VersionUnreadable
from demand.store import read_panel
from models.forecast_files import read_forecasts
from serve_app.book import Book


def test_when_opened_then_every_models_rows_are_those_of_the_files(book):
    served = dict(read_forecasts(book.path / "forecasts.parquet"))
    members = dict(read_forecasts(book.path / "members.parquet")) | served
    assert book.models == tuple(sorted(members))
    assert book.served in book.models
    for model, stored in members.items():
        assert book.styles(model)["unique_id"].to_pylist() == book.ids.to_pylist() == stored.ids.tolist()
        for i, style in enumerate(stored.ids.tolist()):
            assert book.row_of(model, style) == i
            dates, mean, quantiles, levels = book.forecast_of(model, style)
            assert mean.tobytes() == stored.mean[i].tobytes()
            assert quantiles.tobytes() == stored.quantiles[i].tobytes()
            assert levels == stored.levels
            assert str(dates[0])[:10] > book.origin


def test_when_a_style_or_model_is_unknown_then_it_is_said(book):
    assert book.row_of(book.served, "nobody") is None
    for ask in (lambda: book.styles("prophet"), lambda: book.forecast_of(book.served, "nobody"),
                lambda: book.history_of("nobody"), lambda: book.weeks("prophet")):  # fmt: skip
        with pytest.raises(KeyError):
            ask()
    assert book.entry("prophet") is None
    assert book.weights_of("nobody") == {}


def test_when_history_is_asked_for_then_it_is_the_panels(book):
    panel = read_panel(book.path / "panel")
    for i, style in enumerate(panel.ids.tolist()):
        dates, y = book.history_of(style)
        np.testing.assert_array_equal(y, panel.series(i))
        assert str(dates[-1])[:10] == book.origin


@pytest.mark.parametrize("name", ["styles.parquet", "weeks.parquet", "quality.json", "panel/panel.json"])
def test_when_a_release_is_older_than_serving_then_it_says_what_to_do(book, tmp_path, name):
    import shutil

    shutil.copytree(book.path, tmp_path / "old")
    (tmp_path / "old" / name).unlink()
    with pytest.raises(VersionUnreadable, match=r"made by an older version.*jobs\.pipeline"):
        Book.open(tmp_path / "old", 7, book.manifest_sha256)
