"""The rules of the tables beside slow twins: sums, versions, repeats and balances of whatever rows there are."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demand.company.read import read_table
from demand.company.settings import CompanySettings
from demand.layouts import Table

FEW = settings(max_examples=60, deadline=None)
BOM_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]), st.sampled_from(["1", "2", "10", ""]), st.sampled_from(["y1", "y2", ""]),
        st.sampled_from([0.25, 0.5, 0.125, None]), st.integers(0, 10**6),
    ),
    min_size=1, max_size=12,
)  # fmt: skip
POUNDS = st.one_of(st.none(), st.integers(-5000, 5000).map(lambda n: n / 4))
STOCK_ROWS = st.lists(
    st.tuples(st.sampled_from(["y1", "y2", "y3", ""]), POUNDS, POUNDS, POUNDS, POUNDS, st.integers(0, 10**6)),
    min_size=1, max_size=10,
)  # fmt: skip


def table(**columns):
    return Table("t.csv", pa.table({name.replace("_", " "): pa.array(cells) for name, cells in columns.items()}))


def text(value):
    return "" if value is None else f"{value}"


@FEW
@given(BOM_ROWS, st.sampled_from(["sum", "first"]), st.sampled_from(["latest", "first"]))
def test_when_any_bill_is_read_then_it_is_what_a_loop_makes_of_it(rows, repeats, versions):
    raw = table(**{
        "Style#": [f"{base}/{v}" if v else base for base, v, *_ in rows], "Desc#": [row[2] for row in rows],
        "BOM_Percent": [text(row[3]) for row in rows], "line": [str(at) for at in range(len(rows))],
    })  # fmt: skip
    told = CompanySettings(bom_repeats=repeats, versions=versions, shares="fraction")
    found, report = read_table("bom", raw, "t.csv", told)
    good = [(base, v, yarn, share) for base, v, yarn, share, _ in rows if yarn and share is not None]
    wanted: dict[tuple[str, str], float] = {}
    for base in {base for base, *_ in good}:
        named = [v for b, v, *_ in good if b == base]
        chosen = named[0] if versions == "first" else max(named, key=lambda v: int(v or -1))
        for b, v, yarn, share in good:
            if b == base and v == chosen:
                if (base, yarn) not in wanted:
                    wanted[base, yarn] = share
                elif repeats == "sum":
                    wanted[base, yarn] += share
    assert {(r.base, r.yarn_id): r.share for r in found.itertuples()} == pytest.approx(wanted)
    assert len(found) == len(wanted) == report.used
    assert report.rows_in == len(rows)


@FEW
@given(STOCK_ROWS)
def test_when_any_stock_is_read_then_planning_is_the_sum_or_what_is_stated(rows):
    raw = table(**{
        "Desc#": [row[0] for row in rows], "Theoretical Balance": [text(row[1]) for row in rows],
        "On Order": [text(row[2]) for row in rows], "Allocated": [text(row[3]) for row in rows],
        "Planning Balance": [text(row[4]) for row in rows], "line": [str(at) for at in range(len(rows))],
    })  # fmt: skip
    found, report = read_table("stock", raw, "t.csv", CompanySettings())
    wanted: dict[str, float | None] = {}
    broken = 0
    for yarn, shelf, order, held, stated, _ in rows:
        if not yarn:
            continue
        parts = None if None in (shelf, order, held) else shelf + order + held
        broken += parts is not None and stated is not None and abs(stated - parts) > 0.02
        planning = stated if parts is None else parts
        before = wanted.get(yarn, 0.0)
        wanted[yarn] = None if before is None or planning is None else before + planning
    told = {r.yarn_id: None if pd.isna(r.planning_lb) else r.planning_lb for r in found.itertuples()}
    assert told == wanted
    assert report.facts.get("planning_is_not_the_sum", {"rows": 0})["rows"] == broken
    assert (report.used + report.merged, report.rows_in) == (sum(bool(row[0]) for row in rows), len(rows))
