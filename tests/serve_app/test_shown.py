"""Numbers as people read them: what rounds to nothing is 0, without sign or decimals."""

from __future__ import annotations

import pytest

from serve_app.dashboard.parts import pager
from serve_app.dashboard.shown import NOTHING, percent, quantity, ratio, share


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 0.0004, -0.0004])
def test_when_a_number_rounds_to_nothing_then_it_has_no_sign(value):
    assert percent(value) == percent(value, signed=True) == percent(value, signed=True, digits=0) == "0 %"
    assert share(value) == "0 %"
    assert (quantity(value), quantity(value, "yds"), ratio(value)) == ("0", "0 yds", "0")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (percent(-0.06, signed=True), "-0.1 %"), (percent(4, signed=True, digits=0), "+4 %"),
        (percent(1234.56), "1,234.6 %"), (percent(100, digits=0), "100 %"), (percent(10), "10.0 %"),
        (percent(None), NOTHING), (share(0.956), "96 %"), (share(-0.004), "0 %"), (share(None), NOTHING),
        (quantity(1_234_567.4), "1,234,567"), (quantity(84.24), "84.2"), (quantity(0.374), "0.37"),
        (quantity(-5.0, "yds"), "-5.00 yds"), (quantity(None), NOTHING), (ratio(0.5), "0.500"), (ratio(None), NOTHING),
    ],
)  # fmt: skip
def test_when_a_number_is_shown_then_its_precision_is_sensible(said, text):
    assert said == text


def told(total, offset, returned, limit=10):
    left = offset + returned
    page = {"total": total, "offset": offset, "limit": limit, "returned": returned,
            "next_offset": left if left < total else None}  # fmt: skip
    return [(one.text, one.before, one.after) for one in pager("/styles", page, order="name")]


def test_when_a_list_is_empty_then_no_rows_are_counted():
    assert told(0, 0, 0) == []


def test_when_a_list_is_long_then_the_pager_says_where_one_is():
    assert told(1200, 0, 10) == [("1 to 10 of 1,200", "", "/styles?order=name&offset=10")]
    assert told(12, 10, 2) == [("11 to 12 of 12", "/styles?order=name&offset=0", "")]
    assert told(12, 40, 0) == [("none of 12", "/styles?order=name&offset=30", "")]
