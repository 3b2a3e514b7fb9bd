"""Any table, column by column: what its cells say decides what it is, and nothing is lost without a count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demand.business_table import read_business_table, typed
from demand.errors import CalendarError, SchemaError
from demand.sources import SourceSettings


def column(cells, **told):
    table = typed(pd.DataFrame({"c": cells, "row": range(len(cells))}), **told)
    return table.frame["c"], table.kinds["c"], table.unreadable.get("c", 0)


@pytest.mark.parametrize(
    ("cells", "kind", "values", "lost"),
    [
        ([" $7.45 ", "($2.50)", "1,200", ""], "number", [7.45, -2.5, 1200, np.nan], 0),
        (["1.5", "2", "", "nan"], "number", [1.5, 2, np.nan, np.nan], 0),
        (["1"] * 19 + ["Remove"], "number", [1.0] * 19 + [np.nan], 1),
        (["yes", "No", "", "YES"], "boolean", [1, 0, np.nan, 1], 0),
        ([True, False, True, True], "boolean", [1, 0, 1, 1], 0),
        ([1.0, np.inf, 3.0, 4.0], "number", [1, np.nan, 3, 4], 1),
        (["30/1", "1/150/48", "55/45", ""], "text", ["30/1", "1/150/48", "55/45", None], 0),
        (["a", " b ", None, "-"], "text", ["a", "b", None, None], 0),
        ([None, "", "n/a", "-"], "empty", [np.nan] * 4, 0),
        ([1, "x", 2.5, None], "text", ["1", "x", "2.5", None], 0),
    ],
)
def test_when_cells_are_read_then_the_column_has_one_kind(cells, kind, values, lost):
    found, found_kind, found_lost = column(cells)
    assert (found_kind, found_lost) == (kind, lost)
    assert found.dtype.kind == ("O" if kind == "text" else "f")
    pd.testing.assert_series_equal(found, pd.Series(values, dtype=found.dtype), check_names=False)


def test_when_dates_are_written_in_one_format_then_they_are_dates():
    found, kind, lost = column(["2024-01-05", "2024-02-29", "Never", None, "2024-03-01"])
    assert (kind, lost) == ("date", 1)
    assert found.dropna().dt.strftime("%m%d").tolist() == ["0105", "0229", "0301"]
    assert column(pd.to_datetime(["2024-01-05", None]))[1] == "date"
    with pytest.raises(CalendarError, match=r"two date formats.*columns\.date_format"):
        column(["01/02/2024", "03/04/2024"])
    assert column(["01/02/2024", "03/04/2024"], date_format="%d/%m/%Y")[0].dt.month.tolist() == [2, 4]


def test_when_rows_repeat_or_headers_do_then_it_is_counted_or_refused():
    frame = pd.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]})
    assert typed(frame).left_out == {"repeated row": 1}
    assert len(typed(frame, duplicates=False).frame) == 3
    with pytest.raises(SchemaError, match="same name"):
        typed(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_when_a_file_is_read_then_people_stay_out_unless_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Date,Customer,Notes,customer_count\n2024-01-01,Ann,x,3\n2024-01-02,Bob,y,4\n")
    table = read_business_table(SourceSettings(path=str(path)))
    assert (list(table.frame), table.personal) == (["Date", "customer_count"], ("Customer", "Notes"))
    assert list(read_business_table(SourceSettings(path=str(path)), keep=["Customer"]).frame)[1] == "Customer"
    (tmp_path / "u.csv").write_text(path.read_text())
    with pytest.raises(SchemaError, match="one table is read"):
        read_business_table(SourceSettings(path=str(tmp_path)))
