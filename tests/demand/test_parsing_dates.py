"""Text cells to days: formats, words, mixtures, and what must never be guessed."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.dates import DATE_FORMATS, ParsedDates, parse_dates, read_dates
from demand.errors import CalendarError, SettingsError


def parsed(cells: Sequence[str | None], date_format: str | None = None, preferred: str | None = None) -> ParsedDates:
    return parse_dates(pa.chunked_array([pa.array(cells, pa.string())]), "when", date_format, preferred)


@pytest.mark.parametrize(
    ("cells", "date_format", "first"),
    [
        (["2024-01-15"], "%Y-%m-%d", "2024-01-15"),
        (["2015/9/2", "2015/10/12"], "%Y/%m/%d", "2015-09-02"),
        (["01-15-24", "02-01-24"], "%m-%d-%y", "2024-01-15"),
        (["1/15/2024", "2/1/2024"], "%m/%d/%Y", "2024-01-15"),
        (["15.01.2024"], "%d.%m.%Y", "2024-01-15"),
        (["15-Jan-2024"], "%d-%b-%Y", "2024-01-15"),
        (["January 15, 2024"], "%b %d, %Y", "2024-01-15"),
        (["2024-01"], "%Y-%m", "2024-01-01"),
        (["2021-W01"], "%G-W%V", "2021-01-04"),
        (["2024-01-15T10:30:00Z"], "%Y-%m-%d", "2024-01-15"),
        (["2024-01-15 23:59:59.999"], "%Y-%m-%d", "2024-01-15"),
        (["2024-01-15T23:00:00-05:00"], "%Y-%m-%d", "2024-01-15"),
        (["  2024-01-15  "], "%Y-%m-%d", "2024-01-15"),
    ],
)
def test_when_one_format_fits_then_the_day_written_in_the_cell_is_read(
    cells: list[str | None], date_format: str, first: str
) -> None:
    found = parsed(cells)
    assert found.format == date_format
    assert str(found.days[0]) == first
    assert found.rate == 1.0


@given(
    st.lists(st.dates(datetime.date(1970, 1, 1), datetime.date(2068, 12, 31)), min_size=1, max_size=20),
    st.sampled_from([f for f in DATE_FORMATS if "%d" in f]),
)
def test_when_days_are_written_by_a_format_then_it_reads_them_as_strptime_does(
    days: list[datetime.date], date_format: str
) -> None:
    texts = [day.strftime(date_format) for day in days]
    expected = [datetime.datetime.strptime(text, date_format).date() for text in texts]
    assert [day.item() for day in read_dates(pa.array(texts), date_format)] == expected


@given(st.dates(datetime.date(1971, 1, 1), datetime.date(2069, 12, 31)))
def test_when_a_week_is_written_the_iso_way_then_its_monday_is_read(day: datetime.date) -> None:
    year, week, _ = day.isocalendar()
    read = read_dates(pa.array([f"{year}-W{week:02d}"]), "%G-W%V")[0].item()
    assert read == datetime.date.fromisocalendar(year, week, 1)


@pytest.mark.parametrize("text", ["2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "0001-01-01", "9999-12-31"])
def test_when_a_day_does_not_exist_or_is_absurd_then_it_is_not_read(text: str) -> None:
    found = parsed([text, "2024-01-15", "2024-02-29"])
    assert np.isnat(found.days).tolist() == [True, False, False]
    assert found.unread.tolist() == [True, False, False]


def test_when_a_week_does_not_exist_then_it_is_not_read() -> None:
    days = read_dates(pa.array(["2021-W53", "2020-W53", "2020-W00"]), "%G-W%V")
    assert np.isnat(days).tolist() == [True, False, True]


def test_when_words_stand_among_dates_then_they_are_missing_and_counted() -> None:
    found = parsed(["2024-01-15", "Never", "today", "", None, "2024-01-16", "2024-01-17"])
    assert found.words.tolist() == [False, True, True, False, False, False, False]
    assert found.blank.tolist() == [False, False, False, True, True, False, False]
    assert np.isnat(found.days).sum() == 4
    assert found.rate == 1.0


@pytest.mark.parametrize("word", ["now", "today", "Never", "Yes"])
def test_when_a_column_is_mostly_words_then_it_is_refused(word: str) -> None:
    with pytest.raises(CalendarError, match="cannot be read") as caught:
        parsed([word, word, "2024-01-01"])
    assert caught.value.facts["read"] == 1


def test_when_two_formats_fit_and_differ_then_the_error_names_the_key() -> None:
    with pytest.raises(CalendarError, match=r"columns\.date_format") as caught:
        parsed(["01-02-24", "03-04-24"])
    assert caught.value.facts["formats"] == ["%m-%d-%y", "%d-%m-%y"]


def test_when_two_formats_fit_then_the_setting_or_the_known_export_decides() -> None:
    assert str(parsed(["01-02-24"], "%d-%m-%y").days[0]) == "2024-02-01"
    assert str(parsed(["01-02-24"], None, "%m-%d-%y").days[0]) == "2024-01-02"


def test_when_two_formats_fit_and_agree_then_there_is_no_error() -> None:
    assert str(parsed(["02-02-24", "03-03-24"]).days[0]) == "2024-02-02"


def test_when_formats_are_mixed_then_the_error_says_how_many_cells() -> None:
    with pytest.raises(CalendarError, match="mixes formats") as caught:
        parsed(["2024-01-05"] * 50 + ["05/13/2024"] * 50)
    assert caught.value.facts["other_cells"] == 50


def test_when_one_cell_in_two_hundred_is_in_another_format_then_only_it_is_missing() -> None:
    found = parsed(["2024-01-05"] * 199 + ["05/13/2024"])
    assert np.isnat(found.days).sum() == 1
    assert found.unread[-1]
    assert found.rate == 199 / 200


@pytest.mark.parametrize(
    ("text", "hint"),
    [("20240105", "%Y%m%d"), ("45301", "excel"), ("1704412800", "epoch_s")],
)
def test_when_dates_are_plain_digits_then_they_are_read_only_when_declared(text: str, hint: str) -> None:
    with pytest.raises(CalendarError) as caught:
        parsed([text])
    assert f"columns.date_format='{hint}'" in caught.value.hint
    expected = {"20240105": "2024-01-05", "45301": "2024-01-10", "1704412800": "2024-01-05"}[text]
    assert str(parsed([text], hint).days[0]) == expected


def test_when_times_with_and_without_a_zone_are_mixed_then_they_are_refused() -> None:
    with pytest.raises(CalendarError, match="time zone"):
        parsed(["2024-01-05T10:00:00Z", "2024-01-06T10:00:00"])


def test_when_timestamps_have_a_zone_then_the_local_day_counts() -> None:
    utc = pa.array([datetime.datetime(2024, 1, 6, 2, tzinfo=datetime.UTC)])
    found = parse_dates(pa.chunked_array([utc.cast(pa.timestamp("us", "America/New_York"))]), "when", None)
    assert str(found.days[0]) == "2024-01-05"


def test_when_typed_dates_are_absurd_then_they_are_missing() -> None:
    days = pa.array([datetime.date(1, 1, 1), datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 2)])
    found = parse_dates(pa.chunked_array([days]), "when", None)
    assert np.isnat(found.days).tolist() == [True, False, True, False]
    assert found.unread.tolist() == [True, False, False, False]


@pytest.mark.parametrize("date_format", ["%Q", "%d", "%Y-%Y-%m", "%Y %d", "%V", "%Y-W%V"])
def test_when_a_format_cannot_name_a_day_then_the_setting_is_refused(date_format: str) -> None:
    with pytest.raises(SettingsError, match="date"):
        parsed(["2024-01-05"], date_format)
