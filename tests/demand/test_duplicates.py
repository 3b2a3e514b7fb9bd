"""Exact duplicates, found column after column, against pandas on whole rows."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.demand.files import ingested

LINE = st.tuples(
    st.sampled_from(["", "7", "8", "9"]),
    st.sampled_from(["2024-01-01", "2024-01-02"]),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["1", "1.0", "2"]),
    st.sampled_from(["", "x", " x"]),
)


@settings(max_examples=40)
@given(lines=st.lists(LINE, min_size=1, max_size=25), document=st.booleans())
def test_when_rows_come_twice_then_those_are_left_out_that_pandas_calls_duplicated(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, ...]], document: bool
) -> None:
    header = f"{'Document' if document else 'Lot'},Date,SKU,Qty,Remark\n"
    content = header + "".join(",".join(line) + "\n" for line in [*lines, ("6", "2024-01-03", "A", "5", "y")])
    raw = pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    twice = raw.duplicated()
    found = ingested(tmp_path_factory.mktemp("x"), content)
    assert found.report.duplicates["exact"] == int(twice.sum())
    assert found.panel.y.sum() == raw.loc[~twice, "Qty"].astype(float).sum()
