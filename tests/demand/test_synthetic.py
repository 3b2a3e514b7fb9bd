"""The demo fleet is what it says: seeded, of stated classes, learnable or not at all, and its raw file adds up."""

from __future__ import annotations

import csv
import datetime
import unicodedata
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from demand.calendar import FREQUENCIES, Calendar
from demand.errors import SettingsError, StorageError
from demand.panel import Panel
from demand.settings import build
from demand.store import panel_hash
from demand.synthetic import (
    CLASSES,
    CONTROL_CLASS,
    SALES_FILE,
    SyntheticSettings,
    fleet_panel,
    hostile_names,
    write_sales_export,
)

SMALL = SyntheticSettings(styles=40, years=1.0)


@pytest.fixture(scope="module")
def fleet() -> Panel:
    return fleet_panel(SyntheticSettings())


@pytest.fixture(scope="module")
def control() -> Panel:
    return fleet_panel(SyntheticSettings(kind="control"))


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> bytes:
    return write_sales_export(tmp_path_factory.mktemp("export"), SMALL).read_bytes()


@pytest.fixture(scope="module")
def cells(export) -> pd.DataFrame:
    """Every cell as text, with the blanks around it; the empty headers are named blank and blank.1."""
    _, header, *rows = csv.reader(export.decode("utf-8-sig").splitlines())
    names = [name or f"blank{at}" for at, name in enumerate(header)]
    return pd.DataFrame(rows, columns=names)


# ---- settings -----------------------------------------------------------------------------------------------------


def test_when_settings_come_from_text_then_dates_are_read_and_bad_values_are_refused():
    assert build(SyntheticSettings, {"end": "2024-12-31", "styles": 3}, "source").end == datetime.date(2024, 12, 31)
    bad_values = {"styles": 0, "years": 0, "freq": "H", "kind": "other", "seed": -1, "end": "soon", "style": 3}
    for key, bad in bad_values.items():
        with pytest.raises(SettingsError):
            build(SyntheticSettings, {key: bad}, "source")


def test_when_the_span_holds_no_whole_period_then_the_error_says_so():
    with pytest.raises(SettingsError, match="no whole period"):
        fleet_panel(SyntheticSettings(years=0.05, freq="MS", end=datetime.date(2025, 8, 15)))


# ---- the panel ----------------------------------------------------------------------------------------------------


def test_when_the_seed_is_the_same_then_so_is_every_number_and_another_seed_differs():
    one, again, other = fleet_panel(SMALL), fleet_panel(SMALL), fleet_panel(replace(SMALL, seed=43))
    assert panel_hash(one) == panel_hash(again)
    assert one.static["demand_class"].tolist() != other.static["demand_class"].tolist()
    control, other_control = (fleet_panel(replace(SMALL, kind="control", seed=seed)) for seed in (42, 43))
    assert control.y.tolist() != other_control.y.tolist()  # of equal shape: no style starts late


@pytest.mark.parametrize("kind", ["fleet", "control"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_when_any_calendar_is_asked_then_only_whole_periods_are_there_and_each_series_starts_with_a_sale(freq, kind):
    settings = SyntheticSettings(styles=12, years=0.9, freq=freq, end=datetime.date(2025, 8, 20), kind=kind)
    panel = fleet_panel(settings)
    assert panel.freq == freq
    assert np.isfinite(panel.y).all()
    assert (panel.y >= 0).all()
    assert (panel.y[panel.indptr[:-1]] > 0).all()
    assert (panel.y * 4 == np.round(panel.y * 4)).all()
    calendar = Calendar(freq)
    end = np.datetime64("2025-08-20")
    assert calendar.containing([end + 1])[0] > panel.end  # the last period is over on the last day ..
    assert calendar.containing([end + 1])[0] <= panel.end + 2  # .. and no whole one is missing
    assert list(panel.ids) == sorted(set(panel.ids))
    assert set(panel.static) == {"demand_class", "category", "yarn", "gauge", "colour"}


@pytest.mark.parametrize(
    ("freq", "end", "n_days"), [("W-SUN", "2025-08-31", 364), ("B", "2025-08-29", 364), ("MS", "2025-08-31", 365)]
)
def test_when_periods_are_longer_then_they_are_the_sums_of_their_days(freq, end, n_days):
    span = replace(SMALL, end=datetime.date.fromisoformat(end), years=n_days / 365.25)  # whole periods, to the day
    coarse = fleet_panel(replace(span, freq=freq))
    daily = fleet_panel(span).to_frame()
    daily["period"] = Calendar(freq).containing(daily["ds"].to_numpy())
    sums = daily.groupby(["unique_id", "period"])["y"].sum()
    np.testing.assert_array_equal(coarse.y, sums.to_numpy())
    np.testing.assert_array_equal(coarse.periods, sums.index.get_level_values("period"))


def test_when_a_fleet_is_made_then_every_class_is_there_and_named_in_the_static_columns(fleet):
    kinds, counts = np.unique(fleet.static["demand_class"], return_counts=True)
    assert set(kinds) == set(CLASSES)
    assert counts.min() >= 8
    seven = fleet_panel(SyntheticSettings(styles=7, years=0.5)).static["demand_class"]
    assert sorted(seven) == sorted(CLASSES)
    assert fleet_panel(SyntheticSettings(styles=1, years=0.1)).n_series == 1


def test_when_classes_are_measured_as_syntetos_and_boylan_do_then_they_are_what_they_are_called(fleet):
    interval, cv2 = {}, {}
    for i, kind in enumerate(fleet.static["demand_class"]):
        y = fleet.series(i)
        sold = y[y > 0]
        interval.setdefault(str(kind), []).append(len(y) / len(sold))
        cv2.setdefault(str(kind), []).append(sold.var() / sold.mean() ** 2)
    for kind in ("smooth", "erratic"):
        assert max(interval[kind]) < 1.32
    for kind in ("intermittent", "lumpy"):
        assert min(interval[kind]) > 1.32
    for kind in ("smooth", "intermittent"):
        assert max(cv2[kind]) < 0.49
    for kind in ("erratic", "lumpy"):
        assert min(cv2[kind]) > 0.49


def test_when_styles_are_new_or_dying_then_their_histories_say_so(fleet):
    kind = fleet.static["demand_class"]
    new = np.sort(fleet.lengths[kind == "new"])
    assert new[:2].tolist() == [3, 5]
    assert new.max() <= 120
    assert fleet.lengths[kind != "new"].min() > 700
    year = fleet.tail(365)[kind == "dying"]
    assert (year[:, -90:] == 0).all()
    assert all(fleet.series(i)[:365].mean() > 10 for i in np.flatnonzero(kind == "dying"))


def test_when_demand_has_structure_then_week_year_and_holidays_show_in_the_daily_total(fleet):
    days = fleet.calendar.dates(np.arange(fleet.end - 729, fleet.end + 1))
    steady = np.isin(fleet.static["demand_class"], ["smooth", "seasonal"])
    total = pd.Series(np.nansum(fleet.tail(730)[steady], axis=0), index=pd.DatetimeIndex(days))
    by_weekday = total.groupby(total.index.dayofweek).mean()
    assert by_weekday[6] < 0.6 * by_weekday[0]
    around = total["2024-11-24":"2024-12-01"]
    assert around["2024-11-28"] < 0.5 * around.drop(pd.Timestamp("2024-11-28")).mean()  # Thanksgiving
    shape = np.log(fleet.tail(730)[fleet.static["demand_class"] == "seasonal"].reshape(-1, 2, 365).sum(axis=1) + 1)
    month = shape.reshape(len(shape), 73, 5).mean(axis=2)
    assert np.median(np.ptp(month, axis=1)) > 1.0  # the best weeks sell e times what the worst do


def test_when_structure_is_used_then_it_beats_the_seasonal_naive_and_the_mean_of_smooth_styles(fleet):
    smooth = fleet.take(np.flatnonzero(fleet.static["demand_class"] == "smooth"))
    error = {"seasonal naive": 0.0, "weekday mean": 0.0, "mean": 0.0}
    for k in range(6):
        history = smooth.until(smooth.end - 28 * (k + 1))
        actual = smooth.take(smooth.index_of(history.ids)).window(history.end + 1, 28)
        weeks = history.tail(56).reshape(-1, 8, 7)
        error["seasonal naive"] += np.abs(np.tile(weeks[:, -1], 4) - actual).sum()
        error["weekday mean"] += np.abs(np.tile(np.nanmean(weeks, axis=1), 4) - actual).sum()
        error["mean"] += np.abs(np.nanmean(weeks, axis=(1, 2))[:, None] - actual).sum()
    assert error["weekday mean"] < 0.95 * error["seasonal naive"]
    assert error["weekday mean"] < 0.85 * error["mean"]


def test_when_orders_are_pure_chance_then_nothing_is_left_to_learn(control):
    assert set(control.static["demand_class"]) == {CONTROL_CLASS}
    assert (control.lengths == control.lengths[0]).all()
    total = control.tail(int(control.lengths[0]) - 1).sum(axis=0)
    n = len(total)
    centred = total - total.mean()
    limit = 4 / np.sqrt(n)  # four standard errors
    for lag in (1, 2, 7, 14, 28, 364):
        assert abs((centred[lag:] * centred[:-lag]).sum() / (centred**2).sum()) < limit
    by_weekday = total[: n // 7 * 7].reshape(-1, 7).mean(axis=0)
    assert np.ptp(by_weekday) < 6 * total.std() / np.sqrt(n / 7)
    first, second = total[: n // 2], total[n // 2 :]
    assert abs(first.mean() - second.mean()) < 4 * total.std() * np.sqrt(4 / n)


def test_when_nothing_can_beat_the_mean_then_no_simple_rule_does(control):
    errors = {"naive": 0.0, "seasonal naive": 0.0, "last 8 weeks": 0.0, "mean": 0.0}
    for k in range(12):
        history = control.until(control.end - 28 * (k + 1))
        actual = control.window(history.end + 1, 28)
        weeks = history.tail(56).reshape(-1, 8, 7)
        mean = np.array([history.series(i).mean() for i in range(history.n_series)])
        errors["naive"] += ((history.tail(1) - actual) ** 2).sum()
        errors["seasonal naive"] += ((np.tile(weeks[:, -1], 4) - actual) ** 2).sum()
        errors["last 8 weeks"] += ((weeks.mean(axis=(1, 2))[:, None] - actual) ** 2).sum()
        errors["mean"] += ((mean[:, None] - actual) ** 2).sum()
    assert min(errors, key=errors.__getitem__) == "mean"


def test_when_names_are_hostile_then_all_are_in_and_stay_apart():
    names = hostile_names()
    assert len(names) == len(set(names))
    assert len(set(map(unicodedata.normalize, ["NFC"] * len(names), names))) == len(names) - 1  # one pair of twins
    assert all(name == name.strip() and "\0" not in name for name in names)
    panel = fleet_panel(replace(SMALL, hostile=True))
    assert set(names) <= set(panel.ids)
    assert panel.n_series == 40
    assert fleet_panel(replace(SMALL, styles=3, hostile=True)).ids.tolist() == sorted(names[:3])


# ---- the raw file -------------------------------------------------------------------------------------------------


def test_when_the_export_is_written_then_it_has_the_mark_the_line_ends_the_title_and_the_header(export):
    assert export.startswith(b"\xef\xbb\xbfSales Activity Report")
    assert export.count(b"\r\n") == export.count(b"\n")
    title, header = export.decode("utf-8-sig").split("\r\n")[:2]
    assert title.rstrip(",") == "Sales Activity Report 2024-09-01 to 2025-08-31"
    assert header == (
        "Document,Invoice Date,Customer,fStyle#,Yds_ordered,UOM,Unit Price,Line Price,,"
        "1st Invoice,Sales Rep,Commission,Selling Co,PO#,"
    )


def test_when_cells_are_read_then_they_are_spelt_as_the_brief_says(cells):
    assert cells["Invoice Date"].str.fullmatch(r"\d\d-\d\d-\d\d").all()
    assert cells["Line Price"].str.fullmatch(r" (\$[\d,]+\.\d\d|\(\$[\d,]+\.\d\d\)|-\$[\d,]+\.\d\d) ").all()
    assert cells["Line Price"].str.fullmatch(r" \$\d,\d{3}\.\d\d ").any()
    plain = cells["Unit Price"].str.fullmatch(r" \$\d+\.\d\d ")
    assert 0.98 < plain.mean() < 1
    assert cells["Unit Price"][~plain].str.fullmatch(r" \$\d+\.\d\d \(yds\) ").all()
    assert cells["Yds_ordered"].str.contains(",").any()
    assert (cells[["blank8", "blank14"]] == "").all().all()
    assert (cells["Commission"] == "").mean() == pytest.approx(0.98, abs=0.01)
    style = cells["fStyle#"]
    assert 0.05 < (style != style.str.strip()).mean() < 0.3
    assert set(cells["UOM"]) == {"YDS", "KG"}
    assert (cells["UOM"] == "KG").mean() < 0.01
    negative = cells["Yds_ordered"].str.startswith(("(", "-"))
    assert set(cells["Yds_ordered"][negative].str[0]) == {"(", "-"}


def test_when_duplicates_kg_and_credits_are_taken_away_then_the_truth_is_left_to_the_bit(cells):
    assert 0 < cells.duplicated().sum() < 0.01 * len(cells)
    once = cells.drop_duplicates()
    assert once["Document"].is_unique
    yards = once[once["UOM"] == "YDS"]
    quantity = (
        yards["Yds_ordered"].str.replace(r"[,)]", "", regex=True).str.replace("(", "-", regex=False).astype(float)
    )
    credited = quantity < 0
    assert 0 < credited.mean() < 0.01
    rows = pd.DataFrame(
        {
            "unique_id": yards["fStyle#"].str.strip(),
            "ds": pd.to_datetime(yards["Invoice Date"], format="%m-%d-%y"),
            "y": quantity,
        }
    )
    gross = rows[~credited].groupby("unique_id")["y"].sum().sum()
    assert gross > 1.01 * rows["y"].sum()  # dropping returns instead of netting them is a different answer
    found = Panel.from_frame(rows.groupby(["unique_id", "ds"], as_index=False)["y"].sum(), "D", unit="yds")
    truth = fleet_panel(SMALL)
    assert panel_hash(found) == panel_hash(replace(truth, static={}))


def test_when_line_prices_are_checked_then_few_differ_from_quantity_times_price(tmp_path):
    path = write_sales_export(tmp_path, SMALL)
    table = pd.read_csv(path, skiprows=1, dtype=str, keep_default_na=False, encoding="utf-8-sig")

    def number(name: str) -> pd.Series:
        text = table[name].str.replace(r"[$,) ]|\(yds\)", "", regex=True).str.replace("(", "-", regex=False)
        return pd.Series(pd.to_numeric(text))

    expected = number("Yds_ordered") * number("Unit Price")
    off = (number("Line Price") / expected - 1).abs() > 0.01
    assert 0.01 < off.mean() < 0.05


def test_when_the_settings_are_the_same_then_the_file_is_the_same_and_replaces_the_older_one(tmp_path):
    first = write_sales_export(tmp_path / "new" / "folder", SMALL)
    content = first.read_bytes()
    assert write_sales_export(tmp_path / "new" / "folder", SMALL) == first
    assert first.read_bytes() == content
    assert [path.name for path in first.parent.iterdir()] == [SALES_FILE]


def test_when_names_are_hostile_then_the_file_still_has_one_row_a_line_item(tmp_path):
    path = write_sales_export(tmp_path, replace(SMALL, hostile=True))
    _, header, *rows = csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
    assert {len(row) for row in rows} == {len(header)}
    assert set(hostile_names()) <= {row[3].strip() for row in rows}


def test_when_the_disk_is_full_then_the_error_is_ours_and_nothing_is_left(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("demand.durable.os.replace", full)
    with pytest.raises(StorageError, match="No space left"):
        write_sales_export(tmp_path, SyntheticSettings(styles=2, years=0.1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_when_the_default_demo_is_written_then_its_size_is_what_readers_are_planned_for(tmp_path):
    rows = write_sales_export(tmp_path, SyntheticSettings()).read_bytes().count(b"\r\n") - 2
    assert 60_000 < rows < 120_000
