"""What a release holds to be served: written with it, the same as what it was made from, nothing undefined in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demand.errors import DataError
from demand.store import panel_hash, read_panel, stored_panel
from jobs.fleet import registry_of
from jobs.lines import released_lines, write_order_lines
from jobs.publish import publish
from jobs.serving_tables import bounds_level, write_serving_tables
from models.order_widths import read_widths

COLUMNS = {
    "model", "unique_id", "demand_class", "first_day", "last_day", "n_periods", "n_orders", "historical_total",
    "historical_avg", "last_30_days", "n_errors", "bounds_basis", "confidence", "confidence_n", "confidence_basis",
    "wape", "made_by", "fallback_level", "reason", "low_confidence",
    *(f"{side}_{days}_days" for side in ("forecast", "lower", "upper") for days in (7, 30, 60, 90, 180)),
}  # fmt: skip


@pytest.fixture
def release(judged):
    fleet, *_ = judged
    fleet.run.write_json("cleaning.json", {"quality_score": 88.5, "rejected": {}})
    write_order_lines(fleet.run, fleet.panel.ids, np.arange(fleet.panel.n_series))
    publish(*judged)
    return registry_of(fleet.settings).open("champion")


def test_when_published_then_every_file_to_serve_is_in_the_manifest(release):
    names = set(release.manifest["files"])
    assert {"styles.parquet", "weeks.parquet", "fleet_totals.parquet", "quality.json", "panel/panel.json"} <= names
    assert release.json("quality.json")["quality_score"] == 88.5


def test_when_published_then_it_says_how_wide_paths_of_the_served_forecast_are(judged, release):
    _, _, verdict, _ = judged
    assert "order_widths.json" in release.manifest["files"]
    told = release.json("order_widths.json")
    assert (told["made_by"], told["n_origins"]) == (verdict.served, len(verdict.results[verdict.served]))
    assert len(read_widths(release.path)) == verdict.live.horizon


def test_when_published_then_the_history_is_the_runs(judged, release):
    fleet, *_ = judged
    assert stored_panel(release.file("panel")).data_hash == panel_hash(fleet.panel)
    assert read_panel(release.file("panel")).y.tobytes() == fleet.panel.y.tobytes()


def test_when_published_then_styles_have_a_row_a_model_and_style_and_nothing_undefined(judged, release):
    _, _, verdict, _ = judged
    file = pq.ParquetFile(release.file("styles.parquet"))
    table = file.read()
    models = sorted({*verdict.live_members, verdict.served})
    assert set(table.column_names) == COLUMNS
    assert file.num_row_groups == len(models)
    assert table["model"].to_pylist() == [m for m in models for _ in verdict.live.ids]
    assert table["unique_id"].to_pylist() == verdict.live.ids.tolist() * len(models)
    assert table["n_orders"].to_pylist() == list(range(len(verdict.live.ids))) * len(models)
    for name in ("styles", "weeks", "fleet_totals"):
        found = pq.read_table(release.file(f"{name}.parquet"))
        for column in found.columns:
            if str(column.type) == "double":
                assert not pc.any(pc.is_nan(column)).as_py()
    served = table.filter(pc.equal(table["model"], verdict.served))
    np.testing.assert_allclose(served["forecast_7_days"].to_numpy(), verdict.live.mean.sum(axis=1))
    assert served["forecast_30_days"].null_count == len(verdict.live.ids)  # the horizon is a week
    assert served["made_by"].to_pylist() == verdict.live.made_by.tolist()
    totals = pq.read_table(release.file("fleet_totals.parquet")).to_pandas().set_index(["model", "days"])
    assert totals.loc[(verdict.served, 7), "forecast"] == pytest.approx(verdict.live.mean.sum())


def test_when_another_model_made_a_row_then_its_signature_and_reason_are_told(judged, tmp_path):
    fleet, _, verdict, _ = judged
    write_serving_tables(tmp_path, fleet, verdict)
    table = pq.read_table(tmp_path / "styles.parquet").to_pandas().set_index(["model", "unique_id"])
    row = table.loc[("arima", "S007")]
    assert row["made_by"] == "exponential_smoothing"
    assert row["fallback_level"] > 0
    assert "ZeroDivisionError" in row["reason"]


def test_when_a_run_has_no_order_lines_then_none_are_told(judged, tmp_path):
    fleet, _, verdict, _ = judged
    write_serving_tables(tmp_path, fleet, verdict)
    orders = pq.read_table(tmp_path / "styles.parquet")["n_orders"]
    assert str(orders.type) == "int64"
    assert orders.null_count == len(orders)


def test_when_a_later_run_is_made_from_a_release_then_its_order_lines_go_with_it(judged, release):
    ids = judged[0].panel.ids
    lines = released_lines(release, ids[3:5])
    assert lines is not None
    assert lines.tolist() == [3, 4]
    assert released_lines(release, np.array(["S003", "nobody"])) is None


def test_when_a_live_forecast_is_of_other_styles_then_nothing_is_written(judged, tmp_path):
    fleet, _, verdict, _ = judged
    with pytest.raises(DataError, match="not of the styles"):
        write_serving_tables(tmp_path, fleet, replace(verdict, live=verdict.live.take(np.arange(3))))


def test_when_intervals_are_switched_off_then_no_level_is_asked_for(smoke):
    assert bounds_level(smoke) == smoke.confidence_level
    assert bounds_level(replace(smoke, confidence_intervals=False)) is None


def test_when_totals_leave_the_floats_then_they_are_unknown_and_no_number(judged, tmp_path):
    fleet, _, verdict, _ = judged
    huge = replace(verdict.live, mean=np.full_like(verdict.live.mean, 1e308))
    write_serving_tables(tmp_path, fleet, replace(verdict, live=huge))
    table = pq.read_table(tmp_path / "styles.parquet")
    served = table.filter(pc.equal(table["model"], verdict.served))
    for name in ("forecast_7_days", "lower_7_days", "upper_7_days"):
        assert served[name].null_count == len(served)
