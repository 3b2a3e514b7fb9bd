"""From order lines to what a server answers from: one small pipeline, opened as a server opens it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.forecast_files import read_forecasts
from models.registry import Registry
from serve_app.book import Book
from tests.acceptance.made import run_job


def opened(root):
    release = Registry(root / "registry").open("champion")
    return Book.open(release.path, release.number, release.manifest_sha256)


@pytest.mark.slow
def test_when_order_lines_become_a_release_then_each_style_is_told_what_it_was_and_will_be(tmp_path):
    rng = np.random.default_rng(3)
    days = pd.date_range("2025-05-01", "2025-08-31")
    rows = [
        {"Document": f"D{i}", "Invoice Date": f"{day:%m-%d-%y}", "Customer": "Acme", "fStyle#": style, "Yds_ordered": q,
         "UOM": "yds"}
        for i, (day, style, q) in enumerate(
            (day, f"K{k}/1", int(rng.integers(1, 90))) for day in days for k in range(6)
            for _ in range(int(rng.poisson(0.4 + 0.4 * k)))
        )
    ]  # fmt: skip
    lines = pd.DataFrame(rows)
    (tmp_path / "in").mkdir()
    lines.to_csv(tmp_path / "in" / "sales.csv", index=False)
    ran = run_job("pipeline", tmp_path / "out", tmp_path / "in" / "sales.csv", "enable_ml=false", "horizon=30",
                  "cross_validation_folds=2", "folds.inner=0")  # fmt: skip
    assert ran.code == 0
    book = opened(tmp_path / "out")
    told = book.styles(book.served).to_pandas().set_index("unique_id")
    by_style = lines.groupby("fStyle#")["Yds_ordered"]
    assert told["n_orders"].to_dict() == by_style.size().to_dict()
    assert told["historical_total"].to_dict() == pytest.approx(by_style.sum().astype(float).to_dict())
    ((_, live),) = read_forecasts(book.path / "forecasts.parquet")
    np.testing.assert_allclose(told["forecast_30_days"], live.mean.sum(axis=1))
    assert told["forecast_60_days"].isna().all()
    totals = book.totals(book.served).to_pandas().set_index("days")
    assert totals.loc[30, "forecast"] == pytest.approx(told["forecast_30_days"].sum())
    newest = pd.to_datetime(lines["Invoice Date"], format="%m-%d-%y") > pd.Timestamp("2025-08-01")
    assert told["last_30_days"].sum() == pytest.approx(lines.loc[newest, "Yds_ordered"].sum())
    assert book.quality["rows_in"] == len(lines)
    assert "Acme" not in (book.path / "quality.json").read_text(encoding="utf-8")
    assert book.origin == "2025-08-31"
