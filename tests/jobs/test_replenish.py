"""jobs.replenish on a small real release: accounting, no_data, defaults, methods, files; without Ray."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from demand.company.demo import make_company
from demand.company.demo_files import write_company
from demand.company.tables import Company
from demand.synthetic import SyntheticSettings
from demand.synthetic import fleet_panel as demo_panel
from jobs import compose
from jobs.entry import exit_code
from jobs.fleet import registry_of
from jobs.replenish import body, propose
from models.order_widths import FILE, write_widths
from tests.acceptance.made import strict_json
from tests.serve_app.made import fleet_panel, make_release

pytestmark = pytest.mark.slow
FEW = ("inventory.paths=16", "parallel_training=false", "log_level=WARNING")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replenish")
    make_release(folder, panel=fleet_panel(8))
    table = pd.DataFrame({
        "item": [f"S00{i}" for i in range(6)], "on_shelf": [0, 40, 10_000, np.nan, 5, 12],
        "unit_cost": ["4.50", "$7.00", "3", "2", "", "1,200"], "supplier": ["Mill B", "=A", "Mill B", "", "", "Mill B"],
        "lead_time_days": [7, 10, 7, 7, 7, np.nan], "moq": [0, 500, 0, 0, 0, np.nan],
    })  # fmt: skip
    table.to_csv(folder / "items.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def base(root):
    return compose.load("replenish", [*FEW, f"storage.root={root}", f"inventory.table={root / 'items.csv'}"])


def ran(root, run_id, *told):
    argv = [*FEW, f"storage.root={root}", f"run_id={run_id}", *told]
    code = exit_code("replenish", body, argv)
    return code, root / "runs" / run_id


def test_when_a_table_is_given_then_every_item_is_accounted_for(root, capsys):
    code, folder = ran(root, "styles", f"inventory.table={root / 'items.csv'}")
    assert code == 0
    said = strict_json(folder / "replenish.json")
    n = said["items"]
    assert n["in"] == 8 == n["ordered"] + n["nothing_needed"] + n["no_data"]
    rows = pd.read_parquet(folder / "decisions.parquet").set_index("item")
    assert rows.loc["S002", "status"] == "none"
    assert rows.loc["S003", "missing"] == "stock"
    assert rows.loc["S004", "missing"] == "unit cost"
    assert rows.loc["S006", "missing"] == "stock, unit cost"
    assert rows.loc["S001", "quantity"] >= 500  # its smallest order
    assert "lead_time_days" in rows.loc["S005", "assumed"]
    assert "lead_time_days" not in rows.loc["S000", "assumed"]
    assert rows.loc["S005", "used_holding"] == pytest.approx(0.25 * 1200)
    assert rows.loc["S000", "shelf_empty_on"] == "2025-09-01"
    assert said["assumed"]["ordering_cost"] == n["ordered"] + n["nothing_needed"]
    proposal = pd.read_csv(folder / "proposal.csv")
    assert set(proposal["item"]) == set(rows.index[rows["status"] == "order"])
    assert "'=A" in set(proposal["supplier"])  # no formula for a spreadsheet
    assert proposal["reason"].str.contains("without an order").all()
    assert [one["supplier"] for one in said["suppliers"]] == sorted(proposal["supplier"].str.lstrip("'").unique())
    latest = strict_json(root / "orders" / "latest.json")
    assert latest["run_id"] == "styles"
    assert len(latest["orders"]) == n["ordered"]
    printed = capsys.readouterr().out
    assert "8 styles in" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if "/" not in line)


@pytest.mark.parametrize(
    ("key", "value"),
    [("lead_time_days", 30), ("service_level", 0.6), ("holding_rate", 40), ("ordering_cost", 9000),
     ("stockout_cost", 0.001), ("supplier_reliability", 0.1), ("review_days", 7), ("lot", 64), ("moq", 900),
     ("paths", 3), ("demand", "history")],
)  # fmt: skip
def test_when_a_default_changes_then_decisions_do(base, key, value):
    changed = replace(base, inventory=replace(base.inventory, **{key: value}))
    release = registry_of(base).open("champion")
    figures = ("quantity", "cost", "service")
    before, after = (propose(s, release, Company())["decisions"][list(figures)] for s in (base, changed))
    assert not before.equals(after)


def test_when_a_window_is_longer_than_the_forecast_then_the_order_says_so(base):
    """The release looks 30 days ahead."""
    release = registry_of(base).open("champion")
    flagged = {}
    for demand in ("forecast", "history"):
        told = replace(base, inventory=replace(base.inventory, review_days=20, demand=demand))
        rows = propose(told, release, Company())["decisions"].set_index("item")["assumed"]
        flagged[demand] = [item for item, names in rows.items() if "demand_beyond_horizon" in names]
    assert flagged == {"forecast": ["S005"], "history": []}  # 14 days to wait for it, of the others 7 or 10


def test_when_nothing_could_be_decided_then_the_orders_of_before_stay_and_it_says_so(root, tmp_path, capsys):
    assert ran(root, "decided", f"inventory.table={root / 'items.csv'}")[0] == 0
    (tmp_path / "bare.csv").write_text("item,on_shelf\nS000,3\n")
    assert ran(root, "undecided", f"inventory.table={tmp_path / 'bare.csv'}")[0] == 0
    assert "the proposal of run decided stays in its place" in " ".join(capsys.readouterr().out.split())
    assert strict_json(root / "orders" / "latest.json")["run_id"] == "decided"
    assert (root / "orders" / "proposals" / "undecided" / "proposal.json").is_file()


def test_when_totals_lay_further_off_than_the_forecast_says_then_more_is_kept_and_the_answer_says_so(base, tmp_path):
    release = registry_of(base).open("champion")
    wide, old = tmp_path / "wide", tmp_path / "old"
    for folder in (wide, old):
        shutil.copytree(release.path, folder)
        (folder / FILE).unlink()
    write_widths(wide, [2.0] * 4, {})
    narrow, more = (propose(base, replace(release, path=folder), Company()) for folder in (old, wide))
    ordered = [made["decisions"].set_index("item")["quantity"].sum() for made in (narrow, more)]
    assert ordered[1] > ordered[0]
    assert not any("demand paths" in note for note in narrow["summary"]["notes"])
    assert any("totals lay 2 times as far" in note for note in more["summary"]["notes"])


def test_when_nothing_says_what_is_in_stock_then_it_is_refused_and_nothing_is_written(root, capsys):
    code, folder = ran(root, "bare")
    assert code == 2
    assert "inventory.table" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [("item,shelf", "S000,3", "no column item"), ("item,on_shelf", "S000,3\nS000,4", "twice"),
     ("item,on_shelf", "S000,many", "cannot be read"),
     ("item,on_shelf,unit_cost,lot", "S000,3,4,0", "out of its range")],
    ids=["headers", "twice", "words", "range"],
)  # fmt: skip
def test_when_the_table_is_wrong_then_one_message_says_where(root, tmp_path, capsys, header, row, said):
    (tmp_path / "bad.csv").write_text(f"{header}\n{row}\n")
    code, folder = ran(root, "bad", f"inventory.table={tmp_path / 'bad.csv'}")
    assert code == 2
    assert said in capsys.readouterr().err
    assert not folder.exists()


def test_when_a_surrogate_is_asked_for_and_none_is_kept_then_it_says_how_to_train_one(root, capsys):
    code, _ = ran(root, "s", f"inventory.table={root / 'items.csv'}", "inventory.method=surrogate")
    assert code == 2
    assert "only=[inventory_optimization]" in capsys.readouterr().err


def test_when_the_company_has_tables_then_yarns_are_ordered_in_pounds(tmp_path, capsys):
    made = SyntheticSettings(styles=12, years=0.6, seed=3, end=date(2025, 8, 31))
    make_release(tmp_path, panel=replace(demo_panel(made), unit="yds"))
    write_company(tmp_path / "company", make_company(made, yarns=60, labels=100))
    code, folder = ran(tmp_path, "yarns", f"company.folder={tmp_path / 'company'}", "company.lead_time_unit=weeks")
    assert code == 0
    said = strict_json(folder / "replenish.json")
    assert (said["kind"], said["unit"]) == ("yarns", "lbs")
    assert said["items"]["in"] == sum(said["items"][name] for name in ("ordered", "nothing_needed", "no_data"))
    assert [one["join"] for one in said["matches"]] == ["unit to pounds", "style to base", "base to yarns"]
    assert all(one["matched_rows"] <= one["rows"] for one in said["matches"])
    rows = pd.read_parquet(folder / "decisions.parquet")
    here = rows[rows["status"] != "no_data"]
    assert (here["used_position"] - here["on_shelf"] - here["on_order"] - here["allocated"]).abs().max() < 1e-6
    # What the mean forecast of the styles needs in pounds is what the yarns' paths need on average.
    assert said["items"]["no_data"] == rows["missing"].ne("").sum()
    code, folder = ran(tmp_path, "unsaid", f"company.folder={tmp_path / 'company'}")
    assert code == 2
    assert "company.lead_time_unit" in capsys.readouterr().err


@pytest.mark.parametrize(("days", "warned"), [(10, False), (100, True)])
def test_when_the_data_is_old_then_the_proposal_says_so(root, capsys, days, warned):
    release = registry_of(compose.load("replenish", [f"storage.root={root}"])).open("champion")
    last = date.fromisoformat(release.json("card.json")["origin"])
    moment = datetime(last.year, last.month, last.day, 2, tzinfo=UTC) + timedelta(days=days)
    told = [*FEW, f"storage.root={root}", f"run_id=aged{days}", f"inventory.table={root / 'items.csv'}"]
    assert exit_code("replenish", lambda settings: body(settings, moment), told) == 0
    notes = strict_json(root / "runs" / f"aged{days}" / "replenish.json")["notes"]
    assert [note for note in notes if f"{days} days ago" in note] == [
        f"The data ends on {last}, {days} days ago, and every date counts from then: load newer orders and train again "
        "before ordering"] * warned  # fmt: skip
    assert (f"{days} days ago" in " ".join(capsys.readouterr().out.split())) is warned


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,on_shelf,unit_cost\n,5,1\nS001,5,1\n,6,1\n", ("rows of the items have no item", "row 2", "row 4")),
        ("item,on_shelf,unit_cost\nS001,5,1\nS001,6,1\n", ("items are there twice", "S001", "Leave one row of each")),
        ("item,on_shelf,unit_cost\n", ("a header and no rows", "inventory.table")),
        (None, ("there is no such file", "Check inventory.table")),
    ],
    ids=["blank items", "an item twice", "no rows", "no file"],
)
def test_when_the_table_of_items_is_at_fault_then_it_is_said_and_nothing_is_written(root, tmp_path, capsys, text, said):
    table = tmp_path / "items.csv"
    if text is not None:
        table.write_text(text)
    code, folder = ran(root, tmp_path.name, f"inventory.table={table}")
    shown = capsys.readouterr().err
    assert (code, folder.exists()) == (2, False)
    assert all(words in shown for words in said), shown


def test_when_rows_are_no_items_of_the_release_then_they_are_named(root, tmp_path, capsys):
    table = tmp_path / "items.csv"
    table.write_text("item,on_shelf,unit_cost\nS001,5,1\nX9,5,1\n")
    code, folder = ran(root, "strange", f"inventory.table={table}")
    assert code == 0
    notes = strict_json(folder / "replenish.json")["notes"]
    assert "items.csv: 1 of 2 rows are items of the release; not in it: X9" in notes


DECIDED = ["quantity", "cost", "service", "cover_days", "daily_mean", "quantity_newsvendor"]


def test_when_another_item_takes_longer_to_come_then_what_is_decided_of_the_others_is_the_same(root, tmp_path):
    lines = ["item,on_shelf,unit_cost,lead_time_days", "S001,5,4,14", "S002,60,4,30"]
    found = []
    for k, more in enumerate(((), ("S004,5,4,200",), ("S004,5,4,14", "S005,1,4,90"))):
        (tmp_path / f"{k}.csv").write_text("\n".join([*lines, *more]))
        code, folder = ran(root, f"beside{k}", f"inventory.table={tmp_path / f'{k}.csv'}")
        assert code == 0
        found.append(pd.read_parquet(folder / "decisions.parquet").set_index("item").loc[["S001", "S002"], DECIDED])
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other, rtol=1e-12)  # sums of another order


def test_when_a_supplier_takes_longer_then_the_yarns_of_the_others_are_ordered_the_same(tmp_path):
    made = SyntheticSettings(styles=12, years=0.6, seed=3, end=date(2025, 8, 31))
    make_release(tmp_path, panel=replace(demo_panel(made), unit="yds"))
    tables = tmp_path / "company"
    write_company(tables, make_company(made, yarns=60, labels=100))
    found = []
    for k in range(2):
        code, folder = ran(tmp_path, f"yarns{k}", f"company.folder={tables}", "company.lead_time_unit=weeks")
        assert code == 0
        found.append(pd.read_parquet(folder / "decisions.parquet").set_index("item"))
        suppliers = pd.read_csv(tables / "suppliers.csv", dtype=str)
        slow = found[0]["supplier"].value_counts().index[0]
        suppliers.loc[suppliers["Supplier"].str.strip() == slow, "Lead_time"] = "40"
        suppliers.to_csv(tables / "suppliers.csv", index=False)
    same = found[0].index[(found[0]["supplier"] != slow) & (found[0]["status"] != "no_data")]
    moved = found[0].index[(found[0]["supplier"] == slow) & (found[0]["status"] != "no_data")]
    assert len(same) > 3
    pd.testing.assert_frame_equal(found[0].loc[same, DECIDED], found[1].loc[same, DECIDED], rtol=1e-12)
    assert (found[0].loc[moved, "window_days"] < found[1].loc[moved, "window_days"]).all()
    assert len(moved)
