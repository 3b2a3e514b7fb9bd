import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation import report_quality as quality
from evaluation import report_tables as tables
from evaluation.report import ReportData, script_json, write_report
from tests.evaluation.made import level_forecast, panel_of, report_data, sparse_panel

HOSTILE = "</script><script>document.title='owned'</script>"


def page_of(tmp_path, data):
    path = tmp_path / "report.html"
    write_report(path, data)
    return path.read_text(encoding="utf-8")


def payload_of(page):
    return json.loads(re.search(r'id="payload">(.*?)</script>', page, re.S).group(1))


def without_plotly(page):
    from plotly.offline import get_plotlyjs

    return page.replace(get_plotlyjs(), "")


def test_when_a_report_is_written_then_every_part_is_there_and_every_style_accounted_for(tmp_path):
    page = page_of(tmp_path, report_data())
    for name in ("summary", "styles", "models", "accuracy", "targets", "outcomes", "data", "made"):
        assert f'<section id="{name}"' in page
    assert "13 styles came in: 11 ok + 1 fell back + 1 rejected." in page
    assert "1,540 rows in = 1,500 used + 32 merged + 8 left out (8 unreadable quantity)." in page
    assert "does not beat mean beyond chance" in page
    assert "prophet failed: the library is not installed" in page


def test_when_the_page_is_opened_offline_then_it_asks_for_nothing(tmp_path):
    page = without_plotly(page_of(tmp_path, report_data()))
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert "https://" not in page
    assert "http://" not in page
    assert "default-src 'none'" in page


def test_when_a_style_is_called_like_a_script_then_it_is_only_text_in_html_and_json(tmp_path):
    panel = panel_of(
        {HOSTILE: np.arange(90.0), "<img src=x onerror=alert(1)>": np.ones(90), "A&B": np.arange(90.0) % 7}
    )
    page = page_of(tmp_path, report_data(panel))
    outside = without_plotly(page)
    assert HOSTILE not in outside
    assert "<script>document" not in outside
    assert "<img src=x" not in outside
    assert "&lt;img src=x onerror=alert(1)&gt;" in outside
    assert HOSTILE in [style["id"] for style in payload_of(page)["explorer"]["styles"]]


def test_when_text_goes_into_a_script_element_then_it_cannot_close_it_and_reads_back_unchanged():
    value = {"id": HOSTILE + "<!--\u2028&"}
    text = script_json(value)
    assert "<" not in text
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON"):
        script_json({"x": float("nan")})


@pytest.mark.slow
def test_when_there_are_150_styles_then_the_file_is_below_eight_megabytes(tmp_path):
    rng = np.random.default_rng(1)
    panel = panel_of({f"S{i:03d}": rng.poisson(9, 400).astype(float) for i in range(150)})
    data = report_data(panel, horizon=30)
    write_report(tmp_path / "report.html", data)
    assert (tmp_path / "report.html").stat().st_size < 8e6


def test_when_the_chart_holds_too_many_styles_then_the_page_says_how_many_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.report_charts.MAX_NUMBERS", 300)
    monkeypatch.setattr("evaluation.report.MAX_STYLES", 5)
    page = page_of(tmp_path, report_data())
    n = len(payload_of(page)["explorer"]["styles"])
    assert 0 < n < 12
    assert f"{12 - n} smaller styles are left out" in page
    assert "8 of 13 styles are not listed here" in page
    table = page[page.index('id="t-outcomes"') :]
    assert table.index("GONE-1") < table.index("S001") < table.index("S000")  # what needs attention comes first


def test_when_numbers_are_drawn_then_they_are_the_forecasts_own(tmp_path):
    data = report_data()
    styles = {style["id"]: style for style in payload_of(page_of(tmp_path, data))["explorer"]["styles"]}
    i = list(data.live.ids).index("S003")
    np.testing.assert_allclose(styles["S003"]["m"], data.live.mean[i], rtol=1e-3)
    np.testing.assert_allclose(styles["S003"]["lo"], data.live.quantile(0.1)[i], rtol=1e-3)
    np.testing.assert_allclose(styles["S003"]["h"], data.history.series(3)[-len(styles["S003"]["h"]) :], rtol=1e-3)


def test_when_a_member_forecasts_other_series_in_another_order_then_rows_are_matched_by_name(tmp_path):
    data = report_data()
    member = data.members["seasonal_naive"]
    shuffled = member.take(np.arange(len(member.ids))[::-1][:8])
    styles = {
        s["id"]: s for s in payload_of(page_of(tmp_path, replace(data, members={"m": shuffled})))["explorer"]["styles"]
    }
    assert "m" not in styles["S000"]["x"]
    np.testing.assert_allclose(styles["S009"]["x"]["m"], member.median[9], rtol=1e-3)


def test_when_nothing_is_known_then_every_empty_part_says_so(tmp_path):
    full = report_data()
    empty = pd.DataFrame({"unique_id": [], "status": [], "cause": [], "made_by": []}, dtype=object)
    data = ReportData("R", "now", full.board, empty, "xgboost", "xgboost", full.history)
    page = page_of(tmp_path, data)
    for text in (
        "made no live forecast", "No errors by step", "No errors by level", "No targets were given", "No style came in",
        "no account of how its data", "No provenance",
    ):  # fmt: skip
        assert text in page


def test_when_everything_is_zero_then_the_page_has_dashes_and_no_nan(tmp_path):
    panel = panel_of({f"S{i}": np.zeros(90) for i in range(4)})
    page = without_plotly(page_of(tmp_path, report_data(panel)))
    assert not re.search(r"\bnan\b|\bNaN\b|\binf\b|None", page)


def test_when_a_style_was_never_scored_then_it_is_listed_without_invented_numbers(tmp_path):
    data = report_data()
    outcomes = data.outcomes.copy()
    outcomes.loc[outcomes["unique_id"] == "S004", ["wape", "mae", "bias", "mase", "total_error"]] = np.nan
    page = page_of(tmp_path, replace(data, outcomes=outcomes))
    row = re.search(
        r'<th scope="row" data-v="s004">S004</th>.*?</tr>', page[page.index('id="t-outcomes"') :], re.S
    ).group()
    assert row.count("–") >= 5


def test_when_a_live_row_is_missing_then_its_chart_is_left_out(tmp_path):
    data = report_data()
    mean = level_forecast(data.history, 7)
    mean[2] = np.nan
    from tests.evaluation.made import forecast_of

    page = page_of(tmp_path, replace(data, live=forecast_of(data.history, mean)))
    assert "S002" not in [style["id"] for style in payload_of(page)["explorer"]["styles"]]
    assert payload_of(page)["fleet"]["m"][0] == pytest.approx(np.nansum(mean[:, 0]), rel=1e-3)


def test_when_the_fleet_is_sparse_then_unknown_history_is_a_gap_and_not_zero(tmp_path):
    panel = sparse_panel(n=3)
    y = panel.y.copy()
    y[panel.periods == panel.end - 4] = np.nan
    page = page_of(tmp_path, report_data(panel, history=replace(panel, y=y)))
    assert payload_of(page)["fleet"]["h"][-5] is None


def test_when_a_style_is_charted_then_the_unit_and_what_each_line_is_are_named(tmp_path):
    page = without_plotly(page_of(tmp_path, report_data()))
    assert 'name: "mean forecast"' in page
    assert 'name: "mean",' not in page  # a member may be called so
    assert 'data.unit || "quantity"' in page
    assert "periods ahead" in page


def test_when_few_totals_were_scored_then_no_r2_is_claimed_and_the_page_says_from_how_many_on():
    levels = report_data().levels
    table = tables.levels_table(levels)
    shown = {(row[0].text, row[1].text): row[6].text for row in table.rows}
    assert levels["xgboost"]["fleet_total"]["n"] < tables.ENOUGH_FOR_R2
    assert shown["xgboost", "fleet, whole horizon"] == tables.NONE
    assert shown["xgboost", "style per period"] != tables.NONE
    assert "from 10 totals on" in table.note


def test_when_bias_is_shown_then_it_is_the_same_percent_of_demand_in_every_table():
    data = report_data()
    for made in (tables.board_table(data.board, "xgboost"), tables.levels_table(data.levels),
                 tables.steps_table(data.steps), tables.heaviest_table(data.outcomes)):  # fmt: skip
        assert "Bias, % of demand" in [label for label, _, _ in made.columns]
    rows = {row[0].text: row[6] for row in tables.outcomes_table(data.outcomes, 99).rows}
    scored = data.outcomes.dropna(subset=["wape"])
    assert [float(rows[name].sort) for name in scored["unique_id"]] == pytest.approx(scored["bias_rel"].tolist())
    assert rows["GONE-1"].text == tables.NONE
    assert tables.percent(-0.0342).text == "−3.4"


def test_when_targets_are_shown_then_one_row_a_model_says_met_or_missed_and_the_rest_is_folded_away(tmp_path):
    targets = report_data().targets
    table = tables.targets_summary(targets)
    assert [row[0].text for row in table.rows] == ["xgboost", "lstm"]
    headline = targets[(targets["level"] == "style per period") & (targets["model"] == "xgboost")]
    mape = headline.set_index("target").loc["mape", "measured"]
    assert table.rows[0][1].text == f"missed: {mape:.2f}, wanted 0.11"
    assert table.rows[0][3].text == "met: 3.20, wanted 60.0"
    assert table.rows[1][1].text == "not measurable"
    page = page_of(tmp_path, report_data())
    assert (
        "Every level and remark</summary>" in page[page.index('id="t-targets-summary"') : page.index('id="t-targets"')]
    )


@pytest.mark.parametrize(
    ("n_origins", "said"),
    [(np.nan, "not scored: too little history before the past origins (19 periods in all)"),
     (0, "no actual value is known"), (2, "nothing was sold in the scored windows")],
)  # fmt: skip
def test_when_a_style_shows_only_dashes_then_its_cause_is_beside_them(n_origins, said):
    outcomes = report_data().outcomes
    at = outcomes["unique_id"] == "S004"
    outcomes.loc[at, ["wape", "mae", "bias", "mase", "total_error", "n_origins", "n_periods"]] = [np.nan] * 5 + [
        n_origins, 19,
    ]  # fmt: skip
    causes = {row[0].text: row[-1].text for row in tables.outcomes_table(outcomes, 99).rows}
    assert said in causes["S004"]
    assert causes["S005"] == tables.NONE
    assert causes["GONE-1"] == "no demand was ever recorded"


def test_when_data_was_cleaned_then_rules_gaps_and_columns_are_readable(tmp_path):
    cleaning = report_data().cleaning | {
        "findings": [
            {"rule": "left_out_share", "level": "warn", "limit": 0.05, "found": 0.071, "passed": False},
            {"rule": "stale_days", "level": "error", "limit": 45.0, "found": None, "passed": None},
            {"rule": "quality_score", "level": "warn", "limit": 60.0, "found": 91.2, "passed": True},
        ],
        "gaps": {"total": 4415, "longest": 67, "styles": 29, "by_style": {"S001": 9}}, "periods": 14673,
        "personal_dropped": ["Customer", "Sales Rep"], "ignored_columns": ["Colour"],
    }  # fmt: skip
    table = quality.findings_table(cleaning)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["rows left out", "7.1 %", "at most 5.0 %", "warn", "no"],
        ["days since the last sale", tables.NONE, "at most 45", "error", "not judged"],
        ["quality score, of 100", "91", "at least 60", "warn", "yes"],
    ]
    account = dict(quality.account(cleaning))
    assert account["gaps"] == "4,415 of 14,673 periods had no row, in 29 styles; the longest gap is 67 periods."
    assert account["personal columns dropped"] == "Customer, Sales Rep"
    assert account["columns ignored"] == "Colour"
    assert "stock-outs" not in account
    stock = {"rows_in": 200, "out_of_stock": 25, "masked_stockouts": 25}
    assert dict(quality.account(stock))["stock-outs"] == "12.5% of rows without stock: unknown demand"
    kept = dict(quality.account(stock | {"masked_stockouts": 0}))["stock-outs"]
    assert kept.startswith("12.5% of rows without stock: what was sold counts as demand")
    assert [row[1].text for row in quality.mapping_table(cleaning).rows] == ["Yds_ordered", "Day"]
    page = page_of(tmp_path, replace(report_data(), cleaning=cleaning))
    assert "rule: " not in page
    assert "by_style" not in without_plotly(page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2026-11-26T01:46:15Z", "26 Nov 2026, 01:46 UTC"), ("2026-03-01T00:30:00+02:00", "28 Feb 2026, 22:30 UTC"),
     ("now", "made now")],
)  # fmt: skip
def test_when_the_run_has_a_time_then_it_is_written_for_a_reader(tmp_path, text, shown):
    assert shown in without_plotly(page_of(tmp_path, report_data(created=text)))


def test_when_what_is_served_is_not_the_best_then_both_stand_side_by_side_with_their_own_numbers(tmp_path):
    data = report_data(served="mean")
    assert data.best != data.served
    by_model = data.board.set_index("model")
    table = tables.served_table(data.board, data.served, data.best)
    assert [row[0].text for row in table.rows] == ["mean, served", f"{data.best}, best"]
    for row, model in zip(table.rows, (data.served, data.best), strict=True):
        measured = by_model.loc[model, ["wape", "mase", "bias_rel", "coverage"]].astype(float).tolist()
        assert [float(cell.sort) for cell in row[1:5]] == pytest.approx(measured)
    assert 'id="t-served"' in page_of(tmp_path, data)
    assert len(tables.served_table(data.board, data.best, data.best).rows) == 1
    assert tables.served_table(data.board, "arima", "arima") is None


def test_when_the_served_forecast_is_biased_or_its_interval_off_then_a_box_warns(tmp_path):
    data = report_data()
    board = data.board.copy()
    at = board["model"] == "xgboost"
    board.loc[at, ["bias_rel", "coverage", "interval"]] = [0.1, 0.85, 0.8]
    assert "Before you use it" not in page_of(tmp_path, replace(data, board=board))
    board.loc[at, ["bias_rel", "coverage"]] = [-0.12, 0.71]
    page = page_of(tmp_path, replace(data, board=board))
    assert "too low by 12% of demand in total: orders run short" in page
    assert "are too narrow: 71% of actual values fell inside the 80% interval" in page
    assert page.count('class="box bad" role="note"') == 2


def test_when_there_is_a_live_forecast_then_every_style_has_its_expected_total_and_no_interval_of_it():
    data = report_data()
    table = tables.outcomes_table(data.outcomes, 99, data.live)
    at = [label for label, _, _ in table.columns].index("Expected total, next 7 periods")
    totals = {row[0].text: row[at] for row in table.rows}
    for name, total in zip(data.live.ids, data.live.mean.sum(axis=1), strict=True):
        assert float(totals[name].sort) == pytest.approx(total)
    assert totals["GONE-1"].text == tables.NONE
    assert not any("Expected" in label for label, _, _ in tables.outcomes_table(data.outcomes, 99).columns)
