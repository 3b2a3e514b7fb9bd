"""The demo's company: seeded, read back as it was made with every quirk counted, labels by what yarns are."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from demand.company.demo import LABEL_NOISE, make_company
from demand.company.demo_files import FILES, NOISE, write_company
from demand.company.demo_yarns import compatible, strain
from demand.company.joins import explosion
from demand.company.read import read_company
from demand.company.settings import CompanySettings
from demand.company.tables import COLUMNS
from demand.fleet import SyntheticSettings

FLEET = SyntheticSettings(styles=60, years=1.0)


@pytest.fixture(scope="module")
def demo():
    return make_company(FLEET, yarns=200, labels=1500)


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory):
    path = tmp_path_factory.mktemp("company")
    return path, write_company(path, demo)


@pytest.fixture(scope="module")
def read(folder):
    return read_company(CompanySettings(folder=str(folder[0])))


@pytest.mark.parametrize("table", list(COLUMNS))
def test_when_the_demo_is_written_then_what_is_read_is_what_was_made(demo, read, table):
    made, found = getattr(demo.company, table), getattr(read, table)
    if table == "receipts":  # they come back week by week
        made, found = (one.sort_values(["yarn_id", "week", "quantity_lb"], ignore_index=True) for one in (made, found))
    pd.testing.assert_frame_equal(found, made, check_dtype=True, rtol=0, atol=1e-9)


def test_when_the_demo_is_read_then_every_quirk_is_counted(folder, read):
    quirks, reports = folder[1], read.reports
    for table in ("yarns", "stock"):
        assert reports[table].left_out["exact duplicate"] == quirks[table]["exact duplicate"]
        assert reports[table].left_out["blank row"] == quirks[table]["blank row"]
        assert "Cost" in next(iter(reports[table].facts["not_above_zero"]))
    assert reports["stock"].facts["planning_is_not_the_sum"]["rows"] == quirks["stock"]["planning is not the sum"] == 2
    assert quirks["stock"]["never reconciled"] == read.stock["reconciled"].isna().sum() > 0
    bom = reports["bom"]
    assert bom.left_out == {name: quirks["bom"][name] for name in bom.left_out}
    assert set(bom.left_out) == {"header row without yarn", "another version of the base"}
    assert bom.facts["repeated_yarns_of_a_base"]["pairs"] == bom.merged == quirks["bom"]["repeated yarn"] > 0
    assert bom.facts["share_of_a_base"] == {"least": pytest.approx(0.26), "most": pytest.approx(1.0)}
    assert reports["suppliers"].facts["words_in_numbers"] == {"Lead_time": {"Remove": 1}, "MOQ": {"Remove": 1}}
    orders = reports["open_orders"]
    assert orders.left_out["cancelled"] == quirks["open_orders"]["cancelled"]
    assert orders.facts["on_hold"]["rows"] == quirks["open_orders"]["on hold"]
    assert orders.facts["without_ship_date"]["rows"] == quirks["open_orders"]["without ship date"]
    receipts = reports["receipts"]
    assert receipts.facts["past_due"]["rows"] == quirks["receipts"]["past due"] > 0
    assert receipts.facts["below_zero"]["rows"] == quirks["receipts"]["below zero"] == 1
    assert reports["style_master"].facts["yards_a_pound_not_known"] == quirks["style_master"]["yards a pound not known"]
    assert read.files[NOISE].startswith("not used")


def test_when_the_demo_is_made_twice_then_the_bytes_are_the_same(demo, folder, tmp_path):
    write_company(tmp_path, make_company(FLEET, yarns=200, labels=1500))
    for name in (*FILES.values(), NOISE):
        assert (tmp_path / name).read_bytes() == (folder[0] / name).read_bytes(), name


def test_when_another_seed_is_given_then_the_yarns_are_others(demo):
    other = make_company(dataclasses.replace(FLEET, seed=7), yarns=200, labels=1500)
    assert not other.company.yarns.equals(demo.company.yarns)


def test_when_labels_are_made_then_they_say_what_the_yarns_are_but_for_the_stated_noise(demo, folder):
    at = {yarn: place for place, yarn in enumerate(demo.yarns.yarn_id)}
    labels = demo.company.labels
    a, b = (labels[name].map(at).to_numpy() for name in ("yarn_a", "yarn_b"))
    truth = compatible(demo.yarns, a, b)
    turned = float((truth != labels["is_substitutable"].astype(bool)).mean())
    assert turned == demo.flipped
    assert turned == pytest.approx(LABEL_NOISE, abs=0.02)
    assert 0.2 < truth.mean() < 0.5
    told = json.loads((folder[0] / NOISE).read_text())
    assert told == {"label_noise": 0.04, "accuracy_bound": 0.96, "flipped": demo.flipped}


def test_when_what_no_file_states_changes_then_labels_change_too(demo):
    """They come from the yarns, not from a limit on what the notation shows."""
    a, b = np.meshgrid(np.arange(200), np.arange(200))
    a, b = a.ravel(), b.ravel()
    blind = dataclasses.replace(demo.yarns, twist=np.zeros(200), dye=np.zeros(200))
    assert (compatible(blind, a, b) != compatible(demo.yarns, a, b)).sum() > 20
    assert strain(demo.yarns, np.arange(200), np.arange(200)).max() == 0


def test_when_orders_are_made_then_each_supplier_is_on_time_as_often_as_stated(demo):
    orders = demo.company.purchase_orders
    kept = (orders["quoted"] <= orders["requested"]).groupby(orders["supplier"]).mean()
    assert {name: share for name, (_, share) in demo.on_time.items()} == pytest.approx(kept.to_dict())
    assert sum(n < 5 for n, _ in demo.on_time.values()) == 2


def test_when_the_fleet_is_exploded_then_nearly_all_of_it_is_made_of_listed_yarns(demo, read):
    styles = read.style_master["style"].to_numpy(dtype=str)
    found = explosion(styles, np.ones(len(styles)), "yds", read, CompanySettings())
    assert found.matches[2].matched_share > 0.9
    assert set(found.yarn_ids) <= set(read.yarns["yarn_id"])
    assert 0.1 < found.assumed.mean() < 0.4
