"""Decimal commas and the separator of the fields: neither is taken for the other, and none is read wrong in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from demand.errors import SchemaError
from tests.demand.files import ingested

NUMBERS = ("1.234,50", "12,5", "7,25", "1.234", "3")


def table(numbers: tuple[str, ...], separator: str = ";", titles: str = "") -> str:
    rows = [
        f"2026-{m:02d}-{d:02d}{separator}A{separator}{numbers[d % len(numbers)]}" for m in (1, 2) for d in range(1, 29)
    ]
    return titles + separator.join(("Date", "Style", "Qty")) + "\n" + "\n".join(rows) + "\n"


def total(numbers: dict[str, float]) -> float:
    return 2 * sum(list(numbers.values())[d % len(numbers)] for d in range(1, 29))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("titles", ["", "Sales of the year\n", "Sales, all of them\n\n"])
@pytest.mark.parametrize(
    "numbers",
    [{"1.234,50": 1234.5}, {"12,5": 12.5}, {"1.234,50": 1234.5, "12,5": 12.5, "1.234": 1234.0, "3": 3.0}],
)
def test_when_decimals_have_commas_then_the_separator_is_found_and_the_numbers_are_read(
    tmp_path: Path, separator: str, titles: str, numbers: dict[str, float]
) -> None:
    content = table(tuple(numbers), separator, titles)
    found = ingested(tmp_path, content, columns={"decimal": ","})
    assert found.panel.y.sum() == pytest.approx(total(numbers))


@pytest.mark.parametrize("numbers", [NUMBERS, ("12,5",), ("1.234", "1.234", "2.345", "1", "12,5"), ("1.234,50",)])
@pytest.mark.parametrize("named", [{}, {"quantity": "Qty"}])
def test_when_decimal_commas_are_not_announced_then_the_error_names_the_setting(
    tmp_path: Path, numbers: tuple[str, ...], named: dict[str, str]
) -> None:
    with pytest.raises(SchemaError, match=r"columns\.decimal=','"):
        ingested(tmp_path, table(numbers), columns=named)


def test_when_one_cell_has_a_decimal_comma_then_it_is_a_bad_cell_like_others(tmp_path: Path) -> None:
    found = ingested(tmp_path, table(("2",)) + "2026-03-01;A;12,5\n2026-03-01;A;1\n")
    assert found.report.missing["unreadable"] == 1
    points = ingested(tmp_path, table(("2.5",)) + "2026-03-01;A;12,5\n2026-03-02;A;12,5\n2026-03-03;A;1\n")
    assert points.report.missing["unreadable"] == 2


def test_when_a_field_holds_other_separators_then_the_comma_still_separates(tmp_path: Path) -> None:
    rows = "".join(f"2026-01-{d:02d},A,{d},S;M;L;XL;XXL\n" for d in range(1, 29))
    assert ingested(tmp_path, "Date,Style,Qty,Sizes\n" + rows).panel.y.sum() == sum(range(1, 29))


@pytest.mark.parametrize(
    ("cells", "columns"), [("soon", {}), ("2026.01", {}), ("2026-01-{d:02d}", {"date_format": "%d.%m.%Y"})]
)
def test_when_the_dates_do_not_fit_then_the_error_speaks_of_the_column_and_its_format(
    tmp_path: Path, cells: str, columns: dict[str, str]
) -> None:
    rows = "".join(f"{cells.format(d=d)},A,{d}\n" for d in range(1, 29))
    with pytest.raises(
        SchemaError, match=r"(?s)date column cannot be read as dates.*column='Date'.*columns\.date_format"
    ):
        ingested(tmp_path, "Date,Style,Qty\n" + rows, columns=columns)
