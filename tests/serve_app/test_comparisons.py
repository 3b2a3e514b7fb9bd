"""compare= and source= from the tables of the release, beside slow twins; what is not known is never taken for 0."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from demand.company.tables import COLUMNS, Company
from serve_app.answers.columns import as_bytes
from serve_app.answers.comparisons import days_of_cover
from serve_app.answers.detailed import detailed
from serve_app.dashboard import shown
from serve_app.schemas.forecast import ChartForecast, FullForecast, MetricsForecast, SummaryForecast
from serve_app.schemas.parameters import ForecastParameters
from tests.serve_app.conftest import TODAY
from tests.serve_app.made import make_release, open_book
from tests.serve_app.test_dashboard import client_of

STOCK = {"S000": 0.0, "S001": 50.0, "S002": 1e6, "S003": 900.0, "S011": 12.0}
# style, balance, due: the history ends on 2025-08-31
ORDERS = [("S000", 100.0, "2025-09-03"), ("S000", 40.0, "2025-08-20"), ("S000", 7.0, None), ("S002", 5.0, "2025-09-30"),
          ("S002", 2000.0, "2025-10-20"), ("S003", 800.0, "2025-09-10")]  # fmt: skip


def frame(table, *rows):
    return pd.DataFrame([dict(zip(COLUMNS[table], row, strict=True)) for row in rows], columns=list(COLUMNS[table]))


def company():
    dated = [(s, b, b, "yds", pd.Timestamp(d) if d else pd.NaT) for s, b, d in ORDERS]
    knit = [("S000", 10.0, "1"), ("S001", 3000.0, "2"), ("S003", 100.0, "2"), ("S003", 300.0, "3")]
    begun = [
        (s, pd.Timestamp(d), pd.NaT, lb / 2, lb / 2, 0.0, m) for s, lb, m in knit for d in ("2025-07-01", "2025-08-04")
    ]
    return Company(
        style_stock=frame("style_stock", *[(style, q, "yds") for style, q in STOCK.items()]),
        open_orders=frame("open_orders", *dated, ("GONE", 5.0, 5.0, "yds", pd.NaT)),
        knit_orders=frame("knit_orders", *begun),
        style_master=frame("style_master", ("S000", 2.0), ("S001", 2.0), ("S003", 4.0)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_release(tmp_path_factory.mktemp("company"), company=company())


@pytest.fixture(scope="module")
def book(root):
    return open_book(root)


def ask(book, **said):
    return detailed(book, ForecastParameters.model_validate({name: str(value) for name, value in said.items()}), TODAY)


@pytest.fixture(scope="module")
def means(book):
    return dict(zip(book.ids.to_pylist(), book.means_of(book.served), strict=True))


def test_when_stock_is_compared_then_every_figure_follows_from_the_tables(book, means):
    answer = ask(book, compare="stock")
    block = FullForecast.model_validate(answer).stock_comparison.model_dump()
    assert block["current_stock"] == STOCK
    forecast = {row["style"]: row for row in answer["forecast_details"]}
    level = answer["units"]["confidence_level"]
    risk = {row["style"]: row for row in block["shortage_risk"]}
    for style, stock in STOCK.items():
        total, lower, upper = (forecast[style][name] for name in ("forecast_30_days", "lower", "upper"))
        told = block["forecast_vs_stock"][style]
        assert told == {"forecast": total, "stock": stock, "gap": pytest.approx(stock - total)}
        chance = None
        if lower is not None:
            side = (total - lower if stock < total else upper - total) / norm.ppf((1 + level) / 2)
            chance = norm.sf((stock - total) / side)
        days, left = 0, stock
        while days < 30 and left >= means[style][days]:
            left, days = left - means[style][days], days + 1
        if total > stock or (chance or 0) > 0.05:
            assert risk.pop(style)["days_of_cover"] == (None if days == 30 else days)
    assert not risk
    assert block["not_known"] == {"styles": 7, "first": sorted(set(means) - set(STOCK), key=list(forecast).index)[:5]}
    assert answer["units"]["fraction"][-1] == "shortage_risk[].probability"


def test_when_the_stock_of_a_style_is_at_a_bound_then_the_chance_is_the_stated_one(root):
    book = open_book(root)
    row = next(r for r in ask(book)["forecast_details"] if r["style"] == "S003")
    assert row["lower"] is not None
    table = book.company.table("stock")
    at = table["unique_id"].to_pylist().index("S003")
    quantity = table["quantity"].to_pylist()
    quantity[at] = row["upper"]
    book.company._kept["stock.parquet"] = table.set_column(1, "quantity", [quantity])
    answer = ask(book, compare="stock", style="S003")
    risk = answer["stock_comparison"]["shortage_risk"]
    chance = (1 - answer["units"]["confidence_level"]) / 2
    assert chance < 0.05  # so it is not named: exactly the stated share of totals lies above the upper bound
    assert risk == []
    quantity[at] = row["forecast_30_days"]
    book.company._kept["stock.parquet"] = table.set_column(1, "quantity", [quantity])
    (told,) = ask(book, compare="stock", style="S003")["stock_comparison"]["shortage_risk"]
    assert told["probability"] == 0.5


def test_when_orders_are_compared_then_due_overdue_and_undated_are_told_apart(book):
    answer = ask(book, compare="orders")
    block = FullForecast.model_validate(answer).order_comparison.model_dump()
    assert block["open_orders"] == {"S000": 147.0, "S002": 2005.0, "S003": 800.0}
    due = {style: row["due"] for style, row in block["forecast_vs_orders"].items()}
    assert due == {"S000": 140.0, "S002": 5.0, "S003": 800.0}
    assert (block["without_date"], block["beyond_horizon"]) == (7.0, 2000.0)
    assert block["fulfillment_risk"] == [{"style": "S000", "due": 140.0, "overdue": 40.0, "stock": 0.0, "short": 140.0}]


def test_when_capacity_is_compared_then_machines_share_their_time(book):
    answer = ask(book, compare="capacity")
    block = FullForecast.model_validate(answer).capacity_comparison.model_dump()
    rate = {"1": 10 / 35, "2": 3100 / 35, "3": 300 / 35}  # pounds a day
    wanted = {"S000": rate["1"] * 30 * 2, "S001": rate["2"] * 30 * 2, "S003": (rate["2"] + rate["3"]) * 30 * 4}
    assert block["production_capacity"] == pytest.approx(wanted)
    forecast = {row["style"]: row["forecast_30_days"] for row in answer["forecast_details"]}
    load = {"1": forecast["S000"] / 2, "2": forecast["S001"] / 2 + forecast["S003"] / 4 * 0.25,
            "3": forecast["S003"] / 4 * 0.75}  # fmt: skip
    over = {m for m in load if load[m] > rate[m] * 30}
    assert {row["machine"] for row in block["bottlenecks"]} == over
    for row in block["bottlenecks"]:
        assert row["load_pounds"] == pytest.approx(load[row["machine"]])
    assert block["not_known"]["styles"] == 9
    assert "no rated capacity" in block["basis"]


@pytest.mark.parametrize("compare", ["stock", "orders", "capacity"])
@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ({"detail": "summary"}, SummaryForecast),
        ({"detail": "metrics"}, MetricsForecast),
        ({"format": "chart"}, ChartForecast),
    ],
)
def test_when_another_form_is_asked_for_then_it_has_the_same_block(book, compare, form, kind):
    block = next(name for name in ask(book, compare=compare) if name.endswith("_comparison"))
    answer = ask(book, compare=compare, **form)
    assert answer[block] == ask(book, compare=compare)[block]
    assert getattr(kind.model_validate(answer), block).status == "success"


def test_when_a_style_is_not_in_the_table_then_that_is_said_and_not_taken_for_zero(book):
    for compare in ("stock", "orders", "capacity"):
        answer = ask(book, compare=compare, style="S004")
        block = next(value for name, value in answer.items() if name.endswith("_comparison"))
        assert block["status"] == "no_data"
        assert block["missing_table"] in block["reason"]


def test_when_a_style_is_shown_then_its_stock_orders_and_machines_stand_beside_the_forecast(root, book):
    client = client_of(root.parent)
    for style in ("S000", "S001", "S002", "S003", "S004"):
        page = unescape(client.get(f"/style?id={style}").text)
        table = page.split('id="t-compared"')
        if style == "S004":  # in none of the tables
            assert len(table) == 1
            assert "company.folder=FOLDER" in page
            continue
        rows = [re.sub(r"<[^>]+>", " ", row) for row in table[1].split("</table>")[0].split("<tr>")[2:]]
        said = [" ".join(row.split()) for row in rows]
        assert [row.split()[0] for row in said] == ["Finished", "Open", "Machines"]
        wanted = (("stock", "stock_comparison", "forecast_vs_stock", "stock"),
                  ("orders", "order_comparison", "forecast_vs_orders", "due"),
                  ("capacity", "capacity_comparison", "forecast_vs_capacity", "capacity"))  # fmt: skip
        for row, (compare, block, figures, figure) in zip(said, wanted, strict=True):
            answer = ask(book, compare=compare, style=style)[block]
            if answer["status"] == "success":
                one = answer[figures][style]
                assert f"{shown.quantity(one[figure])} {shown.quantity(one['forecast'])}" in row
            else:
                assert answer["reason"] in row
    assert "40.0 overdue, 140 more than the stock" in unescape(client.get("/style?id=S000").text)


def test_when_the_source_is_the_pipeline_then_totals_are_orders_by_their_day(book):
    answer = ask(book, source="pipeline")
    FullForecast.model_validate(answer)
    rows = {row["style"]: row for row in answer["forecast_details"]}
    assert {style: row["forecast_30_days"] for style, row in rows.items() if row["forecast_30_days"]} == {
        "S000": 140.0, "S002": 5.0, "S003": 800.0,
    }  # fmt: skip
    assert {row["made_by"] for row in rows.values()} == {"open_orders"}
    assert {(row["lower"], row["confidence"], row["low_confidence"]) for row in rows.values()} == {(None, None, True)}
    assert (answer["model_used"], answer["models_used"], answer["evaluation_id"]) == ("open_orders", [], None)
    assert answer["orders_used"] == {
        "quantity": 2952.0, "overdue": 40.0, "without_date": 7.0, "beyond_horizon": 2000.0, "styles": 3,
        "styles_of_assumed_weight": 0, "rows_not_used": 1,
    }  # fmt: skip
    weeks = [row["forecast"] for row in answer["weekly_forecasts"]]
    assert weeks[:2] == [140.0, 800.0]
    assert sum(weeks) == pytest.approx(answer["summary"]["total_forecasted_qty"])


def test_when_the_source_is_hybrid_then_each_day_has_the_larger_of_both(book, means):
    answer = ask(book, source="hybrid")
    found = {row["style"]: row["forecast_30_days"] for row in answer["forecast_details"]}
    origin = np.datetime64("2025-08-31")
    slow = {}
    for style, mean in means.items():
        ordered = np.zeros(30)
        for name, quantity, due in ORDERS:
            if name == style and due is not None:
                day = max(0, int((np.datetime64(due) - origin).astype(int)) - 1)
                if day < 30:
                    ordered[day] += quantity
        slow[style] = sum(max(a, b) for a, b in zip(mean, ordered, strict=True))
    assert found == pytest.approx(slow)
    plain = {row["style"]: row["forecast_30_days"] for row in ask(book)["forecast_details"]}
    assert all(found[style] >= plain[style] - 1e-9 for style in plain)
    assert {r["style"]: r["made_by"] for r in answer["forecast_details"]} == {
        r["style"]: r["made_by"] for r in ask(book)["forecast_details"]
    }


@pytest.mark.slow
def test_when_the_forecast_itself_is_asked_for_then_tables_change_no_byte_of_it(book, tmp_path):
    without = open_book(make_release(tmp_path))
    mine, theirs = ask(book), ask(without)
    for answer in (mine, theirs):
        answer.pop("generated_at")
        for row in answer["models"]:
            row.pop("last_trained")
    assert as_bytes(mine) == as_bytes(theirs)


def test_when_a_block_is_asked_for_twice_then_its_bytes_are_the_same(root):
    for said in ({"compare": "capacity"}, {"source": "hybrid", "compare": "stock"}, {"source": "pipeline"}):
        assert as_bytes(ask(open_book(root), **said)) == as_bytes(ask(open_book(root), **said))


def test_when_a_page_is_asked_for_then_its_block_is_of_its_styles(book):
    first = ask(book, compare="stock", limit=3)
    shown = {row["style"] for row in first["forecast_details"]}
    block = first["stock_comparison"]
    if block["status"] == "success":
        assert set(block["current_stock"]) == shown & set(STOCK)


@pytest.mark.slow
@pytest.mark.parametrize(("freq", "horizon"), [("W-SUN", 90), ("MS", 90)])
def test_when_periods_are_longer_then_orders_are_in_the_period_of_their_day(tmp_path, freq, horizon):
    book = open_book(make_release(tmp_path, freq=freq, company=company()))
    rows = {row["style"]: row for row in ask(book, source="pipeline", horizon=horizon)["forecast_details"]}
    assert rows["S000"]["forecast_90_days"] == pytest.approx(140.0)
    assert rows["S002"]["forecast_90_days"] == pytest.approx(2005.0)


@given(arrays(np.float64, (3, 6), elements=st.floats(0, 50)), arrays(np.float64, 3, elements=st.floats(0, 200)))
def test_when_days_of_cover_are_counted_then_they_are_those_of_a_loop(daily, stock):
    found = days_of_cover(daily.cumsum(axis=1), stock)
    for row, held, days in zip(daily, stock, found, strict=True):
        slow = 0
        while slow < len(row) and row.cumsum()[slow] <= held:
            slow += 1
        assert (np.isnan(days) and slow == len(row)) or days == slow
