"""The whole way from a raw file to a panel, against a slow pandas twin; calendars; the report's arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.calendar import Calendar, calendar_of
from demand.cleaning import CleaningSettings
from demand.columns import ColumnSettings
from demand.errors import CalendarError
from demand.ingest import Ingested, ingest
from demand.periods import choose_frequency
from demand.report import quality
from demand.sources import SourceSettings
from demand.synthetic import SyntheticSettings, fleet_panel, write_sales_export
from tests.demand.files import HEADER, ROWS, TOTAL, ingested


def accounted(found: Ingested) -> bool:
    report = found.report
    return report.rows_in == report.used + report.merged + sum(report.left_out.values())


# ---- the raw export ------------------------------------------------------------------------------------------------


def test_when_a_raw_export_is_ingested_then_the_panel_is_the_demand_behind_it(tmp_path: Path) -> None:
    fleet = SyntheticSettings(styles=20, years=1, seed=5)
    path = write_sales_export(tmp_path, fleet)
    found = ingest(SourceSettings(path=str(tmp_path)), ColumnSettings(), CleaningSettings())
    truth = fleet_panel(fleet)
    assert found.panel.ids.tolist() == truth.ids.tolist()
    assert found.panel.end == truth.end
    assert np.array_equal(found.panel.y, truth.y)
    report = found.report
    assert report.export == "sales activity report"
    assert report.unit == "yds"
    assert report.date["format"] == "%m-%d-%y"
    assert report.left_out["exact duplicate"] > 0
    assert report.left_out["unit kg is not yds"] > 0
    assert report.returns["rows"] > 0
    assert report.personal_dropped == ("Document", "Customer", "1st Invoice", "Sales Rep", "Selling Co", "PO#")
    assert report.ignored_columns == ("Commission",)
    header = path.read_text(encoding="utf-8-sig").splitlines()[1]
    played = {text.partition(" (")[0] for text in report.mapping.values()}
    assert {name for name in header.split(",") if name} == played | {*report.personal_dropped, *report.ignored_columns}
    assert accounted(found)
    assert report.rows_in == len(path.read_text(encoding="utf-8-sig").splitlines()) - 2


def test_when_a_report_is_written_then_no_personal_value_is_in_it(tmp_path: Path) -> None:
    content = (
        "Document,Order Date,Style,Qty,Customer,Sales Rep,Email\n"
        "DOC-77,2024-01-01,A,5,Acme Mills,Jane Doe,jane@acme.example\n"
        "DOC-78,2024-01-02,A,oops,Acme Mills,Jane Doe,jane@acme.example\n"
        "DOC-79,not a date,A,5,Acme Mills,Jane Doe,jane@acme.example\n"
    )
    found = ingested(tmp_path, content)
    told = json.dumps(found.report.as_json()) + "\n".join(found.report.summary_lines())
    for secret in ("Acme", "Jane", "jane@", "DOC-7"):
        assert secret not in told
    assert found.report.personal_dropped == ("Document", "Customer", "Sales Rep", "Email")
    assert found.frame is None
    kept = ingested(tmp_path, content, columns={"keep": ("Customer",)})
    assert kept.frame is not None
    assert kept.frame["Customer"].tolist() == ["Acme Mills"]  # the second row is blank, after the last known day
    assert kept.report.personal_dropped == ("Document", "Sales Rep", "Email")


# ---- against a slow twin -------------------------------------------------------------------------------------------

LINES = st.lists(
    st.tuples(
        st.dates(pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-03-31").date()),
        st.sampled_from(["A", "B/1", "00123", " C "]),
        st.sampled_from(["5", " $1,000.25 ", "(3)", "-2", "Remove", "", "0", "2.5"]),
    ),
    min_size=1,
    max_size=40,
)
READ = {"5": 5.0, " $1,000.25 ": 1000.25, "(3)": -3.0, "-2": -2.0, "0": 0.0, "2.5": 2.5}


@settings(max_examples=25)
@given(lines=LINES, freq=st.sampled_from(["D", "B", "W-SUN", "W-WED", "MS", "ME"]))
def test_when_any_lines_are_ingested_then_the_periods_are_those_of_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[object, str, str]], freq: str
) -> None:
    lines = list(dict.fromkeys(lines))
    # more words than numbers, or no number at all, is refused on purpose and tested elsewhere
    lines += [("2024-02-10", "A", f"{i + 10}") for i in range(len(lines) + 1)]
    readable = {**READ, **{f"{i + 10}": float(i + 10) for i in range(len(lines))}}
    content = "Date,SKU,Qty\n" + "".join(f'{day},{style},"{text}"\n' for day, style, text in lines)
    found = ingested(tmp_path_factory.mktemp("x"), content, freq)
    cells: dict[tuple[str, int], list[float]] = {}
    for day, style, text in lines:
        period = int(Calendar(freq).containing(np.datetime64(str(day))))
        cells.setdefault((style.strip(), period), []).append(readable.get(text, np.nan))
    expected = {key: np.nan if np.isnan(v).all() else float(np.nansum(v)) for key, v in cells.items()}
    known = {style for (style, _), total in expected.items() if not np.isnan(total)}
    end = max(period for (_, period), total in expected.items() if not np.isnan(total))
    panel = found.panel
    assert panel.ids.tolist() == sorted(known)
    assert set(found.report.rejected) == {style for style, _ in expected} - known
    assert panel.end == end
    told = [style.strip() for _, style, text in lines if not np.isnan(readable.get(text, np.nan))]
    assert found.lines is not None
    assert found.lines.tolist() == [told.count(str(style)) for style in panel.ids]
    for i, style in enumerate(panel.ids):
        periods = [period for name, period in expected if name == style and period <= end]
        want = [expected.get((style, p), 0.0) for p in range(min(periods), end + 1)]
        assert panel.series(i) == pytest.approx(np.array(want), nan_ok=True)
    assert accounted(found)


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_when_the_rows_are_shuffled_then_the_panel_is_the_same_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, random: object
) -> None:
    rng = np.random.default_rng(3)
    lines = [f"2024-01-{d:02d},S{s},{q:.3f},{p:.2f}" for d, s, q, p in zip(
        rng.integers(1, 29, 200), rng.integers(0, 4, 200), rng.gamma(1, 9, 200), rng.gamma(9, 1, 200), strict=True
    )]  # fmt: skip
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    header, folder = "Date,SKU,Qty,Price\n", tmp_path_factory.mktemp("x")
    a = ingested(folder, header + "\n".join(lines), "W-SUN").panel
    b = ingested(folder, header + "\n".join(shuffled), "W-SUN").panel
    assert a.y.tobytes() == b.y.tobytes()
    assert a.past["price"].tobytes() == b.past["price"].tobytes()


# ---- calendars -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freq", ["W-MON", "W-FRI", "W-SUN", "MS", "ME"])
def test_when_all_dates_lie_on_one_calendar_then_auto_takes_it(freq: str) -> None:
    dates = Calendar(freq).dates(np.arange(600, 640)).astype("datetime64[D]")
    assert calendar_of(dates) == freq
    assert choose_frequency(dates, "auto", True) == freq
    off = np.append(dates, dates[-1] + np.timedelta64(1, "D"))
    assert calendar_of(off) is None
    assert choose_frequency(off, "auto", False) == "D"


def test_when_there_are_only_two_dates_then_auto_takes_days() -> None:
    assert choose_frequency(np.array(["2024-01-01", "2024-01-08"], dtype="datetime64[D]"), "auto", False) == "D"


SERIES = "unique_id,ds,y\n" + "".join(f"A,2024-01-{d:02d},{d}\n" for d in (1, 8, 15, 22, 29))


@pytest.mark.parametrize("freq", ["D", "W-SUN", "B"])
def test_when_a_series_lies_on_another_calendar_than_asked_then_it_is_an_error(tmp_path: Path, freq: str) -> None:
    with pytest.raises(CalendarError, match="freq=W-MON"):
        ingested(tmp_path, SERIES, freq)


@pytest.mark.parametrize(("freq", "expected"), [("W-MON", [1.0, 8.0, 15.0, 22.0, 29.0]), ("MS", [75.0])])
def test_when_a_series_is_asked_for_its_own_or_a_longer_calendar_then_that_is_made(
    tmp_path: Path, freq: str, expected: list[float]
) -> None:
    assert ingested(tmp_path, SERIES, freq).panel.y.tolist() == expected


def test_when_orders_happen_to_fall_on_mondays_then_days_can_still_be_asked_for(tmp_path: Path) -> None:
    assert len(ingested(tmp_path, SERIES.replace("unique_id,ds,y", "SKU,Date,Qty"), "D").panel.y) == 29


def test_when_a_series_holds_negatives_and_blanks_then_both_survive(tmp_path: Path) -> None:
    content = "unique_id,ds,y\nA,2024-01-01,-5\nA,2024-02-01,\nA,2024-03-01,2\nA,2024-05-01,1\n"
    found = ingested(tmp_path, content)
    assert found.panel.freq == "MS"
    assert np.array_equal(found.panel.y, [-5.0, np.nan, 2.0, 0.0, 1.0], equal_nan=True)


def test_when_a_row_is_a_period_of_a_series_then_no_order_lines_are_counted(tmp_path: Path) -> None:
    assert ingested(tmp_path, "unique_id,ds,y\nA,2024-01-01,3\nA,2024-01-02,4\nA,2024-01-03,4\n").lines is None
    wide = "Style,2024-01-01,2024-01-08,2024-01-15\nA,1,2,3\nB,4,5,6\n"
    assert ingested(tmp_path, wide, name="wide.csv").lines is None


def test_when_a_wide_table_is_ingested_then_blanks_before_the_first_value_are_no_history(tmp_path: Path) -> None:
    content = "Store,Product,2024-01-01,2024-01-08,2024-01-15,2024-01-22\n1,7,1,2,3,4\n2,7,,,5,\n2,8,,,,\n"
    found = ingested(tmp_path, content, columns={"style": ("Store", "Product")})
    panel = found.panel
    assert panel.ids.tolist() == ["1_7", "2_7"]
    assert np.array_equal(panel.y, [1, 2, 3, 4, 5, np.nan], equal_nan=True)
    assert found.report.rejected == {"2_8": "no known quantity in the style"}
    assert found.report.left_out == {"no known quantity in the style": 4, "blank cell before the first value": 2}
    assert found.report.rows_in == 12
    assert accounted(found)


# ---- the report ----------------------------------------------------------------------------------------------------


def test_when_the_report_is_json_then_a_strict_parser_reads_it_back(tmp_path: Path) -> None:
    found = ingested(tmp_path, HEADER + ROWS + "2024-01-05,C,x\n", as_of="2024-02-27")
    text = json.dumps(found.report.as_json(), allow_nan=False)
    read = json.loads(text)
    assert read["rows_in"] == 57
    assert read["rejected"] == {"C": "no known quantity in the style"}
    assert read["stale_days"] == 30
    assert read["failed_rules"] == []
    assert read["styles_in"] == read["styles"] + len(read["rejected"])


def test_when_a_report_is_printed_then_no_line_is_wider_than_80_columns(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-05,{'long style name ' * 5}{i},x\n" for i in range(9))
    lines = ingested(tmp_path, HEADER + ROWS + rows).report.summary_lines()
    assert max(len(line) for line in lines) <= 80
    assert any("9 styles" in line for line in lines)


def test_when_a_rule_at_level_error_is_broken_then_the_report_has_failed(tmp_path: Path) -> None:
    content = HEADER + ROWS + "2024-01-05,A,1,9,9\n"
    rules = {"left_out_share": {"limit": 0.001, "level": "error"}, "stale_days": {"limit": 5, "level": "error"}}
    report = ingested(tmp_path, content, cleaning={"rules": rules}).report
    assert [finding.rule for finding in report.failed] == ["left_out_share"]
    assert {f.rule: f.passed for f in report.findings}["stale_days"] is None  # no as_of: not judged
    assert any(line.startswith("ERROR") for line in report.summary_lines())
    assert ingested(tmp_path, content).report.failed == ()
    stale = ingested(tmp_path, content, cleaning={"rules": rules}, as_of="2024-02-10").report
    assert [finding.rule for finding in stale.failed] == ["left_out_share", "stale_days"]


def test_when_rows_are_not_accounted_for_then_the_report_cannot_exist(tmp_path: Path) -> None:
    report = ingested(tmp_path, HEADER + ROWS).report
    with pytest.raises(AssertionError, match="accounted"):
        replace(report, used=report.used - 1)


def test_when_everything_is_fine_then_the_score_is_100_and_each_fault_lowers_it(tmp_path: Path) -> None:
    assert ingested(tmp_path, HEADER + ROWS).report.quality_score == 100.0
    assert quality(100, 90, 20, 10, 10, 8)[0] == pytest.approx(40 * 0.9 + 30 * 0.8 + 15 * 0.9 + 15 * 0.8)


@pytest.mark.parametrize("fault", ["2024-01-05,C,x\n", "2024-01-01,A,1\n", "soon,A,1\n", "2024-01-05,A,1,2\n"])
def test_when_a_row_is_faulty_then_it_is_accounted_for_and_costs_quality(tmp_path: Path, fault: str) -> None:
    found = ingested(tmp_path, HEADER + ROWS + fault)
    assert accounted(found)
    assert found.report.rows_in == 57
    assert found.report.quality_score < 100
    assert found.panel.y.sum() == TOTAL


# ---- size, and real files where they are ---------------------------------------------------------------------------


@pytest.mark.slow
def test_when_two_million_regular_rows_come_in_then_they_go_through(tmp_path: Path) -> None:
    n, days = 2_000, 1_000
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{i:05d}" for i in range(n)], days),
            "ds": np.tile(pd.date_range("2022-01-01", periods=days), n),
            "y": rng.poisson(3.0, n * days).astype(float),
        }
    )
    path = tmp_path / "series.parquet"
    frame.to_parquet(path, index=False)
    found = ingest(SourceSettings(path=str(path)), ColumnSettings(), CleaningSettings())
    assert found.report.used == n * days
    assert np.array_equal(found.panel.y, frame["y"].to_numpy())


REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not on this machine")
@pytest.mark.parametrize(
    ("file", "freq", "columns"),
    [
        ("manufacturer/raw/order_lines.csv", "MS", {}),
        ("retail_vn2/raw/sales_wide.csv", "auto", {"style": ("Store", "Product")}),
        ("walmart_weekly/series.parquet", "auto", {}),
        ("carparts/series.parquet", "auto", {}),
    ],
)
def test_when_a_real_file_is_ingested_then_its_demand_equals_a_plain_pandas_sum(
    file: str, freq: str, columns: dict[str, tuple[str, ...]]
) -> None:
    found = ingest(SourceSettings(path=str(REAL / file)), ColumnSettings(**columns), CleaningSettings(), freq)  # type: ignore[arg-type]
    assert accounted(found)
    if file.endswith("parquet"):
        total = pd.read_parquet(REAL / file)["y"].sum()
    else:
        raw = pd.read_csv(REAL / file)
        wide = [name for name in raw.columns if name[:2] == "20"]
        total = raw[wide].to_numpy().sum() if wide else raw.drop_duplicates()["ord_qty"].sum()
    assert found.panel.y[~np.isnan(found.panel.y)].sum() == pytest.approx(total)
