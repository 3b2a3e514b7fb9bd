"""Numbers as people read them: what rounds to nothing is 0, without sign or decimals."""

from __future__ import annotations

import pytest

from serve_app.dashboard.pages.quality import _flat
from serve_app.dashboard.pages.releases import _why
from serve_app.dashboard.pages.style import _what_if
from serve_app.dashboard.parts import changed, pager
from serve_app.dashboard.shown import NOTHING, out_of_100, percent, quantity, ratio, share


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


@pytest.mark.parametrize(("score", "text"), [(99.82, "99"), (100, "100"), (99.9999999999, "100"), (0.0, "0")])
def test_when_a_score_is_not_whole_then_it_is_never_rounded_up(score, text):
    assert out_of_100(score) == f"{text} of 100"


def test_when_the_cleaning_report_is_shown_then_it_is_in_words():
    report = {
        "data_hash": "ab", "rejected": {}, "amount_mismatches": None, "mapping": {"style": "Style #"},
        "files": [{"name": "a.csv", "rows": 1200}], "quality": [{"rule": "gap", "found": None, "passed": None}],
        "quantity_total": 3.863e7, "unit_counts": {"YD": 3, "LB": None}, "lists": {"a": [1.5, {"b_c": True}]},
    }  # fmt: skip
    assert dict(_flat(report)) == {
        "data_hash": "ab", "mapping": "style: Style #", "files": "name a.csv, rows 1,200", "quality": "rule gap",
        "quantity_total": "38,630,000", "unit_counts": "YD: 3", "lists": "a: 1.50, b c yes",
    }  # fmt: skip


def test_when_a_release_was_rolled_back_to_then_the_reason_is_about_the_one_that_was_left():
    row = {"reason": "orders doubled", "rolled_back_from": 2}
    assert _why(row) == "rolled back to, from 2: orders doubled"
    assert _why(row | {"reason": None}) == "rolled back to, from 2"
    assert _why(row | {"rolled_back_from": None}) == "orders doubled"
    assert _why({"reason": None, "rolled_back_from": None}) == ""


def test_when_two_releases_say_the_same_of_a_style_then_it_is_not_among_the_changes():
    same, moved, new = ({"before": a, "now": b} for a, b in ((1.0, 1.0), (1.0, 2.0), (None, 0.0)))
    assert changed([same, moved, new]) == [moved, new]


def test_when_nothing_was_known_ahead_then_no_plan_is_asked_for_and_why():
    def shown(*known):
        text, form = _what_if("A", {"known_ahead": [*known], "totals": [{"days": 30, "forecast": 1.0}]})
        return [one.name for one in form.fields if one.name.startswith("planned")], text.paragraphs[0]

    assert shown("price", "promo") == (["planned.price", "planned.promo"], shown("price")[1])
    names, said = shown()
    assert names == []
    assert "columns.future" in said


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
