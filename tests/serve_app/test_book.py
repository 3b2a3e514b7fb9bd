"""An opened release: every file it holds is found again, the missing ones are named."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest

from demand.errors import VersionUnreadable
from demand.panel import Panel
from demand.store import read_panel
from models.base import Forecast, ForecastSpec
from models.forecast_files import read_forecasts, write_forecasts
from models.registry import Registry
from serve_app.book import Book
from serve_app.forecast_rows import ForecastRows
from tests.serve_app.made import make_release, open_book


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


def test_when_figures_are_asked_for_then_they_are_the_releases(book, registry_root):
    release = Registry(registry_root).open("champion")
    assert book.etag == release.manifest_sha256[:16]
    assert book.generated_at == release.manifest["created"]
    assert book.entry("arima") == release.manifest["models"]["arima"]
    assert book.quality == release.json("quality.json")
    assert (book.horizon_periods, book.horizon_days, book.days_answered) == (30, 30, (7, 30))
    assert book.weeks(book.served)["week"].to_pylist() == [1, 2, 3, 4, 5]
    assert book.totals(book.served)["days"].to_pylist() == [7, 30, 60, 90, 180]
    assert set(book.weeks("zero")["model"].to_pylist()) == {"zero"}
    assert book.board["model"].tolist() == pq.read_table(book.path / "metrics.parquet")["model"].to_pylist()
    assert len(book.outcomes) == len(book.ids)
    weights = book.weights_of("S003")
    assert sum(weights.values()) == pytest.approx(1.0)
    assert book.importances("arima") == {}


def test_when_many_threads_read_then_each_gets_its_own_style(book):
    """More styles than one thread asks for at a time, read in every order, through the caches."""
    expected = {style: book.forecast_of("mean", style)[1].tobytes() for style in book.ids.to_pylist()}

    def read(k):
        order = np.random.default_rng(k).permutation(len(book.ids))
        return all(book.forecast_of("mean", style)[1].tobytes() == expected[style]
                   and len(book.history_of(style)[1]) == book.styles("mean")["n_periods"][int(i)].as_py()
                   for i in order for style in [book.ids[int(i)].as_py()])  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(8)))


@pytest.mark.parametrize("freq", ["W-SUN", "MS", "B"])
def test_when_the_calendar_is_another_then_days_are_still_days(tmp_path, freq):
    book = open_book(make_release(tmp_path, n_styles=4, freq=freq))
    assert book.freq == freq
    assert 30 in book.days_answered
    assert book.horizon_days >= max(book.days_answered) - 2
    dates, mean, _, _ = book.forecast_of(book.served, "S000")
    assert len(dates) == len(mean) == book.horizon_periods
    assert str(dates[0])[:10] > book.origin


def test_when_there_are_more_styles_than_a_bucket_holds_then_each_is_found(tmp_path):
    """Row groups, buckets of history and the caches' limits, in the parts a small release has only one of."""
    n = 2_500
    panel = Panel(np.array([f"S{i:04d}" for i in range(n)]), np.arange(n + 1) * 4, np.arange(4.0 * n), 20_000, "D")
    rng = np.random.default_rng(0)
    rows = [(kind, Forecast.build(panel, ForecastSpec(2), kind, rng.random((n, 2)), rng.random((n, 2, 3))))
            for kind in ("mean", "naive", "zero")]  # fmt: skip
    write_forecasts(tmp_path / "members.parquet", rows, 256)
    stored = ForecastRows.open(tmp_path / "members.parquet")
    assert stored.models == ("mean", "naive", "zero")
    assert stored.rows("naive") == n
    for kind, forecast in rows:
        for row in rng.integers(0, n, 60).tolist():
            mean, quantiles = stored.read(kind, row)
            assert mean.tobytes() == forecast.mean[row].tobytes()
            assert quantiles.tobytes() == forecast.quantiles[row].tobytes()
    with pytest.raises(KeyError):
        stored.read("prophet", 0)


def test_when_rows_of_a_model_do_not_lie_together_then_the_file_is_refused(tmp_path):
    panel = Panel(np.array(["A"]), np.array([0, 1]), np.ones(1), 0, "D")
    made = Forecast.build(panel, ForecastSpec(1), "mean", np.ones((1, 1)), np.ones((1, 1, 3)))
    write_forecasts(tmp_path / "odd.parquet", [("mean", made), ("zero", made), ("mean", made)])
    with pytest.raises(ValueError, match="one model after the other"):
        ForecastRows.open(tmp_path / "odd.parquet")


@pytest.mark.parametrize("name", ["styles.parquet", "weeks.parquet", "forecasts.parquet", "panel/panel.json"])
def test_when_a_file_cannot_be_parsed_then_the_release_is_named(book, tmp_path, name):
    shutil.copytree(book.path, tmp_path / "bad")
    (tmp_path / "bad" / name).write_bytes(b"PAR1")
    with pytest.raises(VersionUnreadable, match="release=7"):
        Book.open(tmp_path / "bad", 7, book.manifest_sha256).history_of("S000")


@pytest.mark.parametrize("name", ["styles.parquet", "weeks.parquet", "quality.json", "panel/panel.json"])
def test_when_a_release_is_older_than_serving_then_it_says_what_to_do(book, tmp_path, name):
    shutil.copytree(book.path, tmp_path / "old")
    (tmp_path / "old" / name).unlink()
    with pytest.raises(VersionUnreadable, match=r"made by an older version.*jobs\.pipeline"):
        Book.open(tmp_path / "old", 7, book.manifest_sha256)
