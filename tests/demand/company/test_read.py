"""Every quirk of the company's tables, read from small files written as the exports write them."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from demand.company.read import read_company
from demand.company.report import summary_lines
from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS
from demand.errors import CalendarError, DataError, SchemaError, StorageError

STOCK = (
    "\ufeffDesc#,Supplier,Description,Color,Beginning Balance,Theoretical Balance,On Order,Allocated,"
    "Planning Balance,Consumed,Cost/Pound,Reconcile Date,Misc\n"
    + """\
18884,Acme,1/150/48 POLY,NATURAL,0,"1,000.50","2,000.00","(500.50)","2,500.00",(12.00),$2.10,2025-08-01,
18885,Acme,30/1 COTTON,BLK,0,10.00,0.00,-20.00,-10.00,0.00,$0.00,Never,
18886,Best,2/30,WHT,0,5,5,0,99,0,$3.00,Never,
,,,,,,,,,,,,
18885,Acme,30/1 COTTON,BLK,0,10.00,0.00,-20.00,-10.00,0.00,$0.00,Never,
"""
)
BOM = """Style#,Desc#,BOM_Percent,unit
CF100/1,,,
CF100/1,18884,0.6,lbs
CF100/1,18885,0.25,lbs
CF100/1,18885,0.15,lbs
KB200/1,18886,0.26,lbs
"""


@pytest.fixture
def write(tmp_path):
    def _write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return str(path)

    return _write


def read(**keys):
    return read_company(CompanySettings(**keys))


def test_when_stock_is_read_then_blank_and_double_rows_are_counted_and_planning_is_the_sum(write):
    company = read(stock=write("a.csv", STOCK))
    stock, report = company.stock, company.reports["stock"]
    assert stock["yarn_id"].tolist() == ["18884", "18885", "18886"]
    assert stock["allocated_lb"].tolist() == [-500.5, -20.0, 0.0]
    assert stock["planning_lb"].tolist() == [2500.0, -10.0, 10.0]  # the last one is stated as 99
    assert report.facts["planning_is_not_the_sum"] == {"rows": 1, "first": ["18886"]}
    assert stock["cost_per_lb"].isna().tolist() == [False, True, False]
    assert report.facts["not_above_zero"] == {"Cost/Pound": 2}  # cells of the file, doubles too
    assert stock["reconciled"].notna().tolist() == [True, False, False]
    assert report.facts["words_in_dates"] == {"Reconcile Date": {"Never": 3}}
    assert (report.rows_in, report.used, report.left_out) == (5, 3, {"blank row": 1, "exact duplicate": 1})


def test_when_a_part_of_the_balance_is_not_known_then_the_files_balance_stands_and_is_told(write):
    text = "Desc#,Theoretical Balance,On Order,Allocated,Planning Balance\n1,10,,0,12\n2,1,1,0,2\n"
    company = read(stock=write("a.csv", text))
    assert company.stock["planning_lb"].tolist() == [12.0, 2.0]
    assert company.reports["stock"].facts["planning_not_checked"] == {"rows": 1, "first": ["1"]}


def test_when_a_yarn_has_several_stock_rows_then_they_are_summed_and_counted(write):
    text = "Desc#,Supplier,Theoretical Balance,On Order,Allocated,Planning Balance\n"
    text += "1,A,10,1,-2,9\n2,A,3,0,0,3\n1,B,5,0,0,5\n"
    company = read(stock=write("a.csv", text))
    assert company.stock["theoretical_lb"].tolist() == [15.0, 3.0]
    assert company.stock["planning_lb"].tolist() == [14.0, 3.0]
    report = company.reports["stock"]
    assert (report.used, report.merged) == (2, 1)


@pytest.mark.parametrize(
    ("repeats", "shares"), [("sum", {"18884": 0.6, "18885": 0.4}), ("first", {"18884": 0.6, "18885": 0.25})]
)
def test_when_a_yarn_comes_twice_in_a_base_then_the_key_says_what_counts(write, repeats, shares):
    company = read(bom=write("b.csv", BOM), bom_repeats=repeats)
    base = company.bom[company.bom["base"] == "CF100"]
    assert dict(zip(base["yarn_id"], base["share"].round(9), strict=True)) == shares
    report = company.reports["bom"]
    assert report.left_out["header row without yarn"] == 1
    assert report.facts["repeated_yarns_of_a_base"]["first"] == ["CF100: 18885"]
    assert report.facts["share_of_a_base"]["least"] == pytest.approx(0.26)


def test_when_repeats_are_to_be_refused_then_they_are_named(write):
    with pytest.raises(DataError, match=r"CF100: 18885.*bom_repeats=sum"):
        read(bom=write("b.csv", BOM), bom_repeats="error")


@pytest.mark.parametrize(("cells", "meant"), [(("60", "40"), 0.6), (("0.6", "0.4"), 0.6), (("60%", "40%"), 0.6)])
def test_when_percentages_are_written_either_way_then_the_column_tells(write, cells, meant):
    text = "Style#,Desc#,BOM_Percentage\nA/1,1,{}\nA/1,2,{}\n".format(*cells)
    assert read(bom=write("b.csv", text)).bom["share"].iloc[0] == pytest.approx(meant)


@pytest.mark.parametrize("cells", [("1.4", "0.6"), ("0.6", "0.3", "45"), ("60%", "40")])
def test_when_percentages_leave_it_open_then_the_key_is_named_and_settles_it(write, cells):
    path = write("b.csv", "Style#,Desc#,BOM_Percent\n" + "".join(f"A/1,{i},{c}\n" for i, c in enumerate(cells)))
    with pytest.raises(SchemaError, match=r"company\.shares=fraction"):
        read(bom=path)
    assert read(bom=path, shares="percent").bom["share"].max() < 1
    assert read(bom=path, shares="fraction").bom["share"].max() > 1


def test_when_a_base_has_several_versions_then_the_latest_is_used_and_the_others_are_counted(write):
    path = write("b.csv", "Style#,Desc#,BOM_Percent\nA/2,1,1\nA/10,2,1\nA/1,3,1\nB/1,1,1\n")
    company = read(bom=path)
    assert company.bom["yarn_id"].tolist() == ["2", "1"]
    assert company.reports["bom"].left_out == {"another version of the base": 2}
    assert read(bom=path, versions="first").bom["yarn_id"].tolist() == ["1", "1"]
    with pytest.raises(DataError, match="several versions"):
        read(bom=path, versions="error")


def test_when_numbers_hold_a_word_then_it_is_missing_and_counted(write):
    text = 'Supplier_ID,Supplier,Lead_time,MOQ,Type\n1,Acme,12,"2,000",A\n2,Best,Remove,Remove,B\n3,Core,4,500,A\n'
    company = read(suppliers=write("s.csv", text))
    assert company.suppliers["lead_time"].isna().tolist() == [False, True, False]
    assert company.suppliers["moq_lb"].tolist()[::2] == [2000.0, 500.0]
    assert company.reports["suppliers"].facts["words_in_numbers"] == {"Lead_time": {"Remove": 1}, "MOQ": {"Remove": 1}}
    assert "company.lead_time_unit" in " ".join(company.reports["suppliers"].notes)


def test_when_a_column_is_mostly_words_then_it_is_an_error(write):
    text = "Supplier_ID,Supplier,Lead_time\n1,A,Remove\n2,B,Remove\n3,C,5\n"
    with pytest.raises(SchemaError, match="Lead_time"):
        read(suppliers=write("s.csv", text))


def test_when_ordered_is_a_date_here_and_a_quantity_there_then_each_is_read_so(write):
    orders = "PO#,Desc#,Ordered,Requested,Quoted,Qty,Balance,Supplier,$/lb\n"
    orders += '77,1,08-13-25,9/1/2025,2025-09-20,"1,000",400,Acme,$2.50\n'
    sales = "Status,SO #,Style #,CSR,Unit Price,On Hold,UOM,Ordered,Picked/Shipped,Balance,Sold To,Ship To,Ship Date\n"
    hold = '"<input type=""checkbox"" checked>"'
    sales += f'Open,9,CF1/1 ,Ann,$4.00,{hold},YDS,"1,000",200,800,Shop,Shop,9/15/2025\n'
    sales += 'Open,10,CF2/1,Ann,$4.00,"<input type=""checkbox"">",Yd,10,0,10,Shop,Shop,\n'
    sales += "Cancelled,11,CF3/1,Ann,1,,YDS,5,0,5,Shop,Shop,\n"
    company = read(purchase_orders=write("p.csv", orders), open_orders=write("o.csv", sales))
    assert company.purchase_orders["ordered"].iloc[0] == pd.Timestamp("2025-08-13")
    assert company.open_orders["quantity"].tolist() == [1000.0, 10.0]
    assert company.open_orders["style"].tolist() == ["CF1/1", "CF2/1"]
    assert company.open_orders["unit"].tolist() == ["yds", "yds"]
    report = company.reports["open_orders"]
    assert report.facts["on_hold"] == {"rows": 1, "first": ["CF1/1"]}
    assert report.facts["without_ship_date"]["rows"] == 1
    assert report.left_out == {"cancelled": 1}


def test_when_names_of_people_and_partners_are_in_a_file_then_they_are_nowhere_in_what_is_read(write):
    text = "Status,SO #,Style #,CSR,UOM,Ordered,Balance,Sold To,Ship To,Notes,Ship Date\n"
    text += "Open,SO-4711,CF1,Ann Secret,YDS,10,5,Shop Secret,Port Secret,call Secret,9/15/2025\n"
    company = read(open_orders=write("o.csv", text))
    told = company.open_orders.to_csv() + json.dumps(company.reports["open_orders"].facts) + str(company.reports)
    assert "Secret" not in told
    assert "4711" not in told


def test_when_weeks_are_columns_then_they_become_rows_and_past_due_has_no_week(write):
    text = "Expected receipts,,,,,\nPO#,Desc#,Supplier,Past Due,2025-09-01,2025-09-08,2025-09-15,Later\n"
    text = text.replace(",,,,,\n", ",,,,,,,\n")
    text += "1,100,Acme,-50,,200,0,\n2,100,Acme,,300,,,70\n"
    company = read(receipts=write("r.csv", text))
    found = {(r.yarn_id, str(r.week)[:10]): r.quantity_lb for r in company.receipts.itertuples()}
    assert found == {("100", "NaT"): -50.0, ("100", "2025-09-08"): 200.0, ("100", "2025-09-01"): 300.0,
                     ("100", "2025-09-22"): 70.0}  # fmt: skip
    report = company.reports["receipts"]
    assert (report.rows_in, report.used, report.left_out) == (10, 4, {"nothing expected": 6})
    assert report.facts["past_due"]["rows"] == report.facts["below_zero"]["rows"] == 1


def test_when_weeks_have_numbers_only_then_the_day_of_the_snapshot_places_them(write):
    text = "PO#,Desc#,This Week,Week 37,Week 38,Week 39\n1,100,1,2,3,4\n"
    path = write("r.csv", text)
    with pytest.raises(SchemaError, match=r"company\.as_of"):
        read(receipts=path)
    weeks = read(receipts=path, as_of="2025-09-03").receipts["week"].astype(str).tolist()
    assert weeks == ["2025-09-01", "2025-09-08", "2025-09-15", "2025-09-22"]


def test_when_blocks_of_weeks_repeat_then_each_is_read_by_the_line_above_it(write):
    text = "Yarn Demand by Week 2025-09-03,,,,,,,,,,\n,Demand,,,,,Balance,,,,\n"
    text += "Desc#,This Week,Week 37,Week 38,Week 39,,Past Due,This Week,Week 37,Week 38,Week 39\n"
    text += "7,1,2,3,9,,4,1,(5),6,7\n8,,,,,,,,,,\n9,1,1,1,1,,1,1,1,1,1\n"
    company = read(yarn_weeks=write("w.csv", text))
    seven = company.yarn_weeks[company.yarn_weeks["yarn_id"] == "7"]
    assert seven["week"].astype(str).tolist() == ["2025-09-01", "2025-09-08", "2025-09-15", "2025-09-22", "NaT"]
    assert seven["demand_lb"].tolist()[:4] == [1.0, 2.0, 3.0, 9.0]
    assert seven["balance_lb"].tolist() == [1.0, -5.0, 6.0, 7.0, 4.0]
    assert seven["demand_lb"].isna().tolist() == [False] * 4 + [True]
    report = company.reports["yarn_weeks"]
    assert (report.rows_in, report.used, report.left_out) == (15, 10, {"no figure": 5})


def test_when_needs_by_style_are_read_then_percentages_are_shares_and_later_follows_the_last_week(write):
    text = "Style#,Desc#,Percentage,This Week,Week 37,Week 38,Week 39,Later\nA/1,7,60,1,0,2,,9\nA/1,8,40,,,,,\n"
    needs = read(yarn_needs=write("n.csv", text), as_of="2025-09-05").yarn_needs
    assert needs["share"].tolist() == [0.6, 0.6, 0.6]
    assert needs["quantity_lb"].tolist() == [1.0, 2.0, 9.0]
    assert needs["week"].astype(str).tolist() == ["2025-09-01", "2025-09-15", "2025-09-29"]


def test_when_a_table_decides_nothing_then_the_reader_is_told_and_of_the_others_it_is_not(write):
    receipts = "PO#,Desc#,2025-09-01,2025-09-08,2025-09-15\n1,7,1,2,3\n"
    needs = "Style#,Desc#,Percentage,2025-09-01,2025-09-08,2025-09-15\nA/1,7,60,1,2,3\n"
    weeks = "Yarn Demand by Week 2025-09-03,,,,,,,,,\n,Demand,,,,,Balance,,,\n"
    weeks += "Desc#,This Week,Week 37,Week 38,Week 39,,This Week,Week 37,Week 38,Week 39\n7,1,2,3,4,,5,6,7,8\n"
    company = read(receipts=write("r.csv", receipts), yarn_needs=write("n.csv", needs),
                   yarn_weeks=write("w.csv", weeks), stock=write("s.csv", STOCK))  # fmt: skip
    said = {name for name, report in company.reports.items() if any("for the record only" in n for n in report.notes)}
    assert said == {"receipts", "yarn_needs", "yarn_weeks"}
    assert "stock" in company.reports
    assert " ".join(summary_lines(company)).count("for the record only") == 3


def test_when_two_columns_are_one_week_then_it_is_refused(write):
    text = "PO#,Desc#,9/1/2025,09/01/2025,9/8/2025,9/15/2025\n1,7,1,2,3,4\n"
    with pytest.raises(SchemaError, match="same week"):
        read(receipts=write("r.csv", text))


def test_when_two_formats_fit_the_dates_then_another_column_or_the_key_decides(write):
    header = "PO#,Desc#,Ordered,Quoted,Qty\n"
    by_other = read(purchase_orders=write("a.csv", header + "1,1,03-04-25,03-14-25,5\n"))
    assert by_other.purchase_orders["ordered"].iloc[0] == pd.Timestamp("2025-03-04")
    path = write("b.csv", header + "1,1,03-04-25,05-06-25,5\n")
    with pytest.raises(CalendarError, match=r"company\.date_format"):
        read(purchase_orders=path)
    found = read(purchase_orders=path, date_format="%d-%m-%y").purchase_orders
    assert found["ordered"].iloc[0] == pd.Timestamp("2025-04-03")


def test_when_a_column_vanished_then_its_cells_are_not_known_and_that_is_told(write):
    text = "Style #,Order #,Start Date,Qty Ordered (lbs),Shipped (lbs),Machine\nA/1,1,2025-08-01,100,30,161\n"
    company = read(knit_orders=write("k.csv", text))
    assert company.knit_orders["quoted"].isna().all()
    assert company.knit_orders["balance_lb"].tolist() == [70.0]
    assert company.reports["knit_orders"].facts["columns_the_file_lacks"] == ["quoted", "balance_lb"]


def test_when_a_needed_column_is_missing_then_the_message_says_what_was_looked_for(write):
    with pytest.raises(SchemaError, match=r"no yarn stock.*theoretical_lb.*company\.stock"):
        read(stock=write("a.csv", "Desc#,On Order\n1,5\n"))


def test_when_labels_are_words_then_they_are_read_and_contradictions_are_left_out(write):
    text = "yarn_a,yarn_b,is_substitutable,date,reason\n1,2,approved,2025-01-05,\n1,2,no,2025-03-05,shade\n"
    text += "3,4,yes,,\n3,4,0,,\n5,6,maybe,,\n7,7,1,,\n8,9,1,,\n8,9,Yes,,again\n"
    company = read(labels=write("l.csv", text))
    labels = company.labels
    assert labels[["yarn_a", "yarn_b", "is_substitutable"]].values.tolist() == [["1", "2", 0], ["8", "9", 1]]
    report = company.reports["labels"]
    assert report.merged == 1
    assert report.left_out == {
        "label is neither yes nor no": 1, "a yarn with itself": 1, "a newer label of the pair": 1,
        "labels that contradict each other": 2,
    }  # fmt: skip


def test_when_a_folder_is_given_then_files_are_known_by_their_content_and_all_are_told_of(write, tmp_path):
    write("one.txt", STOCK)
    write("two.csv", BOM)
    write("three.csv", json.dumps([{"fStyle": "CF100/1 ", "gBase": "CF100", "gVer Created": "2025-01-31"}]))
    write("four.csv", "Invoice Date,fStyle#,Yds_ordered,Document\n01-31-25,CF100/1,5,1\n")
    write("note.csv", "\0\1\2\3\4\5\6")
    write("five.csv", "Style#,Yds/Lbs,Width\nCF100/1 ,2.5,60\nKB200/1,,58\n")
    company = read(folder=str(tmp_path))
    assert [table for table, _ in company.given()] == ["stock", "bom", "cross_reference", "style_master"]
    assert company.files["three.csv"] == "style cross-reference"
    assert company.files["four.csv"].startswith("not used: sales activity report")
    assert "note.csv" in company.files
    assert company.cross_reference["style"].tolist() == ["CF100/1"]
    assert company.style_master["yds_per_lb"].isna().tolist() == [False, True]
    assert company.missing(["stock", "labels", "suppliers"]) == ("substitution labels", "suppliers")


def test_when_two_files_are_one_table_then_both_are_named_and_a_key_chooses(write, tmp_path):
    write("old.csv", STOCK)
    write("new.csv", STOCK.replace("18884", "99999"))
    with pytest.raises(SchemaError, match=r"new\.csv.*old\.csv.*company\.stock"):
        read(folder=str(tmp_path))
    company = read(folder=str(tmp_path), stock=str(tmp_path / "new.csv"))
    assert "99999" in company.stock["yarn_id"].tolist()


def test_when_a_key_names_another_table_then_it_is_refused(write):
    with pytest.raises(SchemaError, match="this file is the bill of materials, not the yarn stock"):
        read(stock=write("b.csv", BOM))


def test_when_there_is_no_such_file_then_the_message_names_the_key_of_these_tables(tmp_path):
    with pytest.raises(StorageError, match=r"Check company\.folder"):
        read(folder=str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"Check company\.bom"):
        read(bom=str(tmp_path / "nowhere.csv"))
    with pytest.raises(StorageError, match="not storage"):
        read(folder="https://example.org/tables")


def test_when_decimals_have_commas_then_the_key_reads_them(write):
    text = "Desc#;Blend;Color;Cost_Pound\n1;100% COTTON;BLK;2,50\n2;100% COTTON;BLK;3,10\n"
    assert read(yarns=write("y.csv", text), decimal=",").yarns["cost_per_lb"].tolist() == [2.5, 3.1]


def test_when_the_encoding_is_named_then_the_file_is_read_in_it(tmp_path):
    path = tmp_path / "y.csv"
    path.write_bytes("Desc#,Blend,Color\n1,100% Wolle,GRÜN\n".encode("latin-1"))
    with pytest.raises(SchemaError):
        read(yarns=str(path))
    assert read(yarns=str(path), encoding="latin-1").yarns["color"].tolist() == ["GRÜN"]


def test_when_tables_are_read_then_their_types_are_those_of_the_nouns(write):
    company = read(stock=write("a.csv", STOCK), bom=write("b.csv", BOM))
    assert tuple(company.stock.columns) == COLUMNS["stock"]
    assert company.stock["reconciled"].dtype == np.dtype("datetime64[ns]")
    assert all(isinstance(yarn, str) for yarn in company.bom["yarn_id"])
    assert math.isnan(company.stock["cost_per_lb"].iloc[1])


def test_when_yarn_sizes_look_like_dates_then_they_stay_text(write):
    text = (
        "Desc#,Supplier,Description,Blend,Type,Color\n45301.0,A,1/150/48,55/45 cotton/poly,DTY,NAT\n0012,A,30/1,,,SD\n"
    )
    yarns = read(yarns=write("y.csv", text)).yarns
    assert yarns["yarn_id"].tolist() == ["45301", "0012"]
    assert yarns["description"].tolist() == ["1/150/48", "30/1"]
    assert yarns["blend"].tolist() == ["55/45 cotton/poly", ""]
