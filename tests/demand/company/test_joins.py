"""Style -> base -> yarns and yards -> pounds, beside a slow twin; nothing is matched by guess."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.company.joins import base_of, bases_by_style, explosion, lead_times, pounds_per_unit
from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS, Company
from demand.errors import DataError, SettingsError

SETTINGS = CompanySettings()


def frame(table, *rows):
    return pd.DataFrame([dict(zip(COLUMNS[table], row, strict=True)) for row in rows], columns=list(COLUMNS[table]))


def company(bom=(), cross=(), master=(), suppliers=()):
    dated = [(style, base, pd.Timestamp(day) if day else pd.NaT) for style, base, day in cross]
    return Company(
        bom=frame("bom", *[(*row, "lbs") for row in bom]), cross_reference=frame("cross_reference", *dated),
        style_master=frame("style_master", *master), suppliers=frame("suppliers", *suppliers),
    )  # fmt: skip


def test_when_a_style_is_exploded_then_units_versions_and_shares_are_worked_out_by_hand():
    tables = company(
        bom=[("A", "y1", 0.75), ("A", "y2", 0.25), ("B", "y2", 0.5)],
        cross=[("A9/1", "OLD", "2024-01-01"), ("A9/1", "A/2", "2025-01-01"), ("B9", "B", None), ("C9", "C", None)],
        master=[("A9/1", 2.0), ("B9", np.nan)],
    )
    styles = np.array(["A9/1", "B9", "C9", "D9"])
    found = explosion(styles, np.array([100.0, 32.0, 5.0, 7.0]), "yds", tables, SETTINGS)
    needed = dict(zip(found.yarn_ids, found.of(np.array([100.0, 32.0, 5.0, 7.0])), strict=True))
    assert needed == pytest.approx({"y1": 100 / 2 * 0.75, "y2": 100 / 2 * 0.25 + 32 * 5.5 / 16 * 0.5})
    assert found.assumed.tolist() == [False, True, True, True]
    crossed, made = found.matches[1:]
    assert (crossed.rows, crossed.matched_rows, crossed.volume, crossed.matched_volume) == (4, 3, 144.0, 137.0)
    assert crossed.unmatched == ("D9",)
    assert (made.matched_rows, made.matched_volume, made.unmatched) == (2, 132.0, ("C", "D9"))
    assert made.matched_share == pytest.approx(132 / 144)


def test_when_two_spellings_are_near_then_neither_is_taken_for_the_other():
    tables = company(bom=[("ABC1234", "y1", 1.0)], cross=[("ABC1234/1", "ABC1234", None)])
    found = explosion(np.array(["ABC1234-1", "ABC1234/1"]), np.ones(2), "lbs", tables, SETTINGS)
    assert found.style_at.tolist() == [1]
    assert found.matches[1].unmatched == ("ABC1234-1",)


def test_when_a_style_has_several_bases_then_the_key_chooses():
    tables = company(cross=[("S", "first", "2023-05-01"), ("S", "newest", "2025-05-01"), ("S", "undated", None)])
    assert bases_by_style(tables, SETTINGS) == {"S": "newest"}
    assert bases_by_style(tables, CompanySettings(versions="first")) == {"S": "first"}
    with pytest.raises(DataError, match=r"first=\['S'\]"):
        bases_by_style(tables, CompanySettings(versions="error"))


@pytest.mark.parametrize(
    ("unit", "pounds"), [("lbs", 1.0), ("kg", 2.2046226218), ("yds", 0.25), ("m", 0.2734033246), ("each", np.nan)]
)
def test_when_units_have_a_weight_then_it_is_that_of_the_style(unit, pounds):
    found, assumed = pounds_per_unit(np.array(["S"]), unit, company(master=[("S", 4.0)]), SETTINGS)
    assert found == pytest.approx([pounds], nan_ok=True)
    assert not assumed.any()


def test_when_the_weight_of_a_yard_is_assumed_then_the_key_sets_it():
    found, assumed = pounds_per_unit(np.array(["S"]), "yds", company(), CompanySettings(assumed_ounces_per_yard=8.0))
    assert (found.tolist(), assumed.tolist()) == ([0.5], [True])


def test_when_lead_times_have_no_unit_then_the_key_is_named():
    tables = company(suppliers=[("Acme", "1", 4.0, 100.0, ""), ("Best", "2", np.nan, 1.0, ""), ("C", "3", 14.0, 1, "")])
    with pytest.raises(SettingsError, match=r"company\.lead_time_unit.*least=4\.0.*most=14\.0"):
        lead_times(tables, SETTINGS)
    assert lead_times(tables, CompanySettings(lead_time_unit="weeks")) == {"Acme": 28.0, "C": 98.0}
    assert lead_times(tables, CompanySettings(lead_time_unit="days")) == {"Acme": 4.0, "C": 14.0}


def test_when_a_table_is_missing_then_the_message_names_it():
    with pytest.raises(DataError, match=r"bill of materials.*company\.bom"):
        explosion(np.array(["S"]), np.ones(1), "yds", Company(), SETTINGS)


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["y1", "y2", "y3"]), st.floats(0, 1)), max_size=8),
    st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.sampled_from(["A/1", "B", "C/9", "D"])), max_size=6),
    st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3", "s4"]), st.floats(0, 1e4)), min_size=1, max_size=6),
)
def test_when_anything_is_exploded_then_the_yarns_are_those_of_a_slow_twin(bom, cross, sold):
    tables = company(bom=bom, cross=[(s, b, None) for s, b in cross])
    styles, quantity = np.array([s for s, _ in sold]), np.array([q for _, q in sold])
    found = explosion(styles, quantity, "lbs", tables, SETTINGS)
    slow: dict[str, float] = {}
    for style, pounds in sold:
        bases = [b for s, b in cross if s == style]
        for base, yarn, share in bom:
            if bases and base_of(bases[-1]) == base:
                slow[yarn] = slow.get(yarn, 0.0) + pounds * share
    assert dict(zip(found.yarn_ids, found.of(quantity), strict=True)) == pytest.approx(slow)
    steps = found.of(np.stack([quantity, 2 * quantity], axis=1))
    assert steps[:, 1] == pytest.approx(2 * steps[:, 0])
