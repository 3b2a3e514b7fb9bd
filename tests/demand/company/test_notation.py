"""Yarn notation: what the trade writes is read, what it leaves open stays open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from demand.company.fibres import BlendReader
from demand.company.notation import FILAMENT, PROCESSES, SPUN, UNKNOWN, normal_colors, read_size, read_yarns
from jobs.own_folder import CONF

TABLE = yaml.safe_load((CONF / "substitution" / "default.yaml").read_text(encoding="utf-8"))
READER = BlendReader.of(TABLE["fibers"])


def read(description, blend="", kind="", color=""):
    series = (pd.Series([text], dtype=object) for text in (description, blend, kind, color))
    return read_yarns(*series, TABLE["colors"], TABLE["fibers"])


@pytest.mark.parametrize(
    ("text", "construction", "ply", "fineness", "filaments", "total"),
    [
        ("1/150/48", FILAMENT, 1, 150, 48, 150),
        ("150/1/48", FILAMENT, 1, 150, 48, 150),
        ("150/48/1", FILAMENT, 1, 150, 48, 150),
        ("1/300/144", FILAMENT, 1, 300, 144, 300),
        ("2/150/48", FILAMENT, 2, 150, 48, 300),
        ("150/48", FILAMENT, 1, 150, 48, 150),
        ("75/72 DTY", FILAMENT, 1, 75, 72, 75),
        ("30/1", SPUN, 1, 30, np.nan, 30),
        ("30/2", SPUN, 2, 30, np.nan, 15),
        ("18.5/1 RING SPUN", SPUN, 1, 18.5, np.nan, 18.5),
        ("2/30 COMBED", SPUN, 2, 30, np.nan, 15),
        ("40D SPANDEX", FILAMENT, 1, 40, np.nan, 40),
        ("70 DENIER", FILAMENT, 1, 70, np.nan, 70),
        ("30S OE", SPUN, 1, 30, np.nan, 30),
        ("NE 24 CARDED", SPUN, 1, 24, np.nan, 24),
        (" 1 / 150 / 48 ", FILAMENT, 1, 150, 48, 150),
    ],
)
def test_when_a_size_is_written_as_the_trade_does_then_it_is_read(text, construction, ply, fineness, filaments, total):
    size = read_size(text)
    assert (size.construction, size.why) == (construction, "")
    assert np.array_equal(size[1:5], [ply, fineness, filaments, total], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("POLY DTY", "no size"),
        ("", "no size"),
        ("2/30", "ply and count"),
        ("150/100/48", "not one alone"),
        ("1/2/48", "not one alone"),
        ("1/150/48/2", "more than three"),
        ("1/150/48 + 40D", "several sizes"),
        ("30/1 DTY", "says filament"),
        ("150/48 RING SPUN", "says spun"),
        ("30/0", "no yarn"),
        ("30/1.5", "no yarn"),
    ],
)
def test_when_a_size_is_open_or_contradicts_itself_then_it_is_null_with_the_reason(text, why):
    size = read_size(text)
    assert size.construction == UNKNOWN
    assert np.isnan(size[1:5]).all()
    assert why in size.why


@pytest.mark.parametrize(
    ("text", "family", "share"),
    [
        ("55/45 cotton/poly", "cotton", 55),
        ("60% Cotton 40% Polyester", "cotton", 60),
        ("COT/POLY 55/45", "cotton", 55),
        ("POLY/COT 65/35", "polyester", 65),
        ("100% COTTON", "cotton", 100),
        ("100%COTTON", "cotton", 100),
        ("COTTON 100%", "cotton", 100),
        ("60 COTTON 40 POLY", "cotton", 60),
        ("Cotton 60% / Poly 40%", "cotton", 60),
        ("50%COT/25%RAY/25%PES", "cotton", 50),
        ("50/25/25 poly/cotton/rayon", "polyester", 50),
        ("100% Recycled Polyester", "polyester", 100),
        ("52/48 Organic Cotton/Recycled Poly", "cotton", 52),
        ("95% viscose, 5% lycra", "rayon", 95),
        ("60% COTTON 40% PIMA", "cotton", 100),
        ("40/60 cotton/poly", "polyester", 60),
        ("33/33/34 cotton/poly/rayon", "rayon", 34),
        ("50/50 POLY/COTTON", "cotton", 50),
    ],
)
def test_when_a_blend_is_spelt_anyhow_then_its_main_fibre_and_share_are_read(text, family, share):
    blend = READER.read(text)
    assert (blend.family, blend.share, blend.why) == (family, share, "")


@pytest.mark.parametrize(
    ("text", "family", "why"),
    [
        ("COTTON", "cotton", "share is not stated"),
        ("COTTON/POLY", "", "without percentages"),
        ("60% COTTON 30% POLY", "", "do not add up"),
        ("60% 40% COTTON", "", "do not pair"),
        ("MYSTERY 100%", "", "no fibre"),
        ("", "", "no blend"),
        ("PETAL", "", "no fibre"),
    ],
)
def test_when_a_blend_leaves_something_open_then_that_is_null_with_the_reason(text, family, why):
    blend = READER.read(text)
    assert blend.family == family
    assert np.isnan(blend.share)
    assert why in blend.why


def test_when_shares_stand_beside_a_size_then_neither_is_taken_for_the_other():
    one = read("30/1 55/45 COTTON/POLY RING SPUN")
    assert (one.construction[0], one.total[0], one.family[0], one.share[0]) == (SPUN, 30, "cotton", 55)
    other = read("1/70/34 80/20 NYLON/SPANDEX")
    assert (other.construction[0], other.total[0], other.family[0], other.share[0]) == (FILAMENT, 70, "nylon", 80)


def test_when_cotton_is_written_ply_first_then_its_fibre_says_that_it_is_a_count():
    assert read("2/30", "100% COTTON").total[0] == 15
    assert np.isnan(read("2/30", "100% POLYESTER").total[0])


def test_when_processes_are_named_in_any_column_then_they_are_seen():
    one = read("30/1 Combed Ring Spun", "100% Organic Cotton", "RS yarn")
    seen = {name for name, so in zip(PROCESSES, one.processes[0], strict=True) if so}
    assert seen == {"ring_spun", "combed", "organic"}
    two = read("1/150/48 RPET", "100% POLYESTER", "DTY")
    assert {name for name, so in zip(PROCESSES, two.processes[0], strict=True) if so} == {"textured", "recycled"}
    assert not read("30/1 SCARDED STRINGS", "100% COTTON").processes.any()


@pytest.mark.parametrize(
    ("text", "normal"),
    [("NAT", "NATURAL"), ("Natural", "NATURAL"), ("SEMI-DULL", "NATURAL"), ("S.D.", "NATURAL"), ("blk", "BLACK"),
     ("WHT", "WHITE"), ("Nat SD", "NATURAL"), ("Heather 12", "HEATHER12"), ("", ""), ("BLACK/WHITE", "BLACKWHITE")],
)  # fmt: skip
def test_when_colours_are_written_in_dialects_then_the_table_decides(text, normal):
    assert normal_colors(pd.Series([text]), TABLE["colors"]).tolist() == [normal]


def test_when_texts_repeat_then_each_yarn_has_its_own_reading_and_all_are_counted():
    texts = pd.Series(["30/1", "oops", "30/1", "1/150/48"], dtype=object)
    blends = pd.Series(["100% COTTON", "", "100% COTTON", "100% POLY"], dtype=object)
    found = read_yarns(
        texts, blends, pd.Series([""] * 4), pd.Series(["", "BLK", "", ""]), TABLE["colors"], TABLE["fibers"]
    )
    assert np.array_equal(found.total, [30, np.nan, 30, 150], equal_nan=True)
    counts = found.counts()
    assert (counts["yarns"], counts["sizes_read"], counts["blends_read"], counts["colors_stated"]) == (4, 3, 3, 1)
    assert counts["size: no size in the text"] == 1
    assert (
        found.words()[1] == "size not read: no size in the text; fibres not read: no fibre that is known; colour BLACK"
    )
    assert found.words()[3] == "1 ply of 150 denier, 48 filaments; 100 % polyester"


def test_when_there_are_no_yarns_then_there_are_no_readings():
    nothing = pd.Series([], dtype=object)
    assert len(read_yarns(nothing, nothing, nothing, nothing, TABLE["colors"], TABLE["fibers"])) == 0


@given(st.text(max_size=40), st.text(max_size=40))
def test_when_any_text_comes_then_nothing_fails_and_what_is_null_has_a_reason(description, blend):
    found = read(description, blend)
    assert np.isnan(found.total[0]) == (found.size_why[0] != "") == (found.construction[0] == UNKNOWN)
    assert (found.family[0] == "") <= (found.blend_why[0] != "")
    assert np.isnan(found.share[0]) == (found.blend_why[0] != "")


@given(st.integers(1, 6), st.integers(15, 900), st.integers(7, 300))
def test_when_three_numbers_have_one_small_one_then_its_place_does_not_matter(ply, denier, filaments):
    for text in (f"{ply}/{denier}/{filaments}", f"{denier}/{ply}/{filaments}", f"{denier}/{filaments}/{ply}"):
        size = read_size(text)
        assert (size.ply, size.fineness, size.filaments, size.total) == (ply, denier, filaments, ply * denier)


@pytest.mark.parametrize(
    ("description", "color", "normal"),
    [
        ("30/1 COTTON NATURAL", "", "NATURAL"), ("1/150/48 DTY SD", "", "NATURAL"), ("30/1 cotton blk", "", "BLACK"),
        ("30/1 COTTON NATURAL", "BLK", "BLACK"), ("30/1 BLACK/WHITE TWIST", "", ""), ("30/1 NATURALLY SOFT", "", ""),
        ("1/150/48 SD NATURAL", "", "NATURAL"), ("30/1 COTTON", "", ""),
    ],
)  # fmt: skip
def test_when_the_colour_has_no_cell_then_the_description_may_name_it_and_only_one(description, color, normal):
    assert read(description, color=color).color.tolist() == [normal]
