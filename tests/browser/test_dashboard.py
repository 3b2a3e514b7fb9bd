"""The pages in a real browser, on the real service over a real release: clicked through, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from demand.store import read_panel
from models.registry import Registry
from serve_app.dashboard.frame import pages
from tests.browser.chromium import CHROMIUM, DRIVER, Browser, browser
from tests.faults.processes import own_tree, start
from tests.models.tabular.made import business
from tests.serve_app.examples import tune
from tests.serve_app.looked import look_at, propose_at
from tests.serve_app.running import Served, serving
from tests.serve_app.test_substitutes import fitted_yarns
from tests.serve_app.test_substitutes import release as release_yarns

pytestmark = [
    pytest.mark.slow, pytest.mark.ray,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or its driver is not installed"),
]  # fmt: skip
HOSTILE = "<b>x</b>/1"
AXIS_TITLES = """return [...document.querySelectorAll('.chart')].map((chart) =>
  ['.xtitle', '.ytitle'].map((axis) => [...chart.querySelectorAll(axis)].map((title) => title.textContent).join()))"""
LISTS = ("/finetune", "/features")  # bars whose axis up is a list of names
DAYS = 200
TRAINED_S = 240.0


def export(path: Path, days: int) -> None:
    """A raw export of six styles, one of them with a name that breaks careless pages."""
    rng = np.random.default_rng(3)
    first, lines = date(2026, 1, 1), ["Invoice Date,fStyle#,Yds_ordered,UOM"]
    for k in range(days):
        day = (first + timedelta(days=k)).strftime("%m-%d-%y")
        for i, style in enumerate([HOSTILE, *(f"CF100{i}/1" for i in range(5))]):
            lines.append(f"{day},{style},{rng.poisson(40 + 20 * i + 10 * (k % 7 < 5))},yds")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, Path, list[str]]:
    """(source, storage root, arguments) of a fleet that was released once."""
    root = tmp_path_factory.mktemp("dashboard")
    source = root / "sales.csv"
    export(source, DAYS)
    arguments = ["experiment=smoke", f"source.path={source}", "default_forecast_horizon=30", "horizon=null"]
    with own_tree("first") as mark:
        run = ["-m", "jobs.pipeline", *arguments, f"storage.root={root / 's'}", "cluster.num_cpus=1"]
        assert start(run, mark, root / "pipeline.log").wait(TRAINED_S) == 0, (root / "pipeline.log").read_text()
    tune(root / "s")
    panel = read_panel(Registry(root / "s" / "registry").open("champion").path / "panel")
    propose_at(root / "s" / "registry", panel, "earlier", on_shelf=60.0)
    propose_at(root / "s" / "registry", panel)
    look_at(root / "s" / "registry", panel, days=35)
    release_yarns(root / "s", fitted_yarns())
    return source, root / "s", arguments


@pytest.fixture(scope="module")
def served(told, tmp_path_factory) -> Iterator[Served]:
    _, root, arguments = told
    with serving(root, tmp_path_factory.mktemp("log") / "log", *arguments) as found:
        yield found


@pytest.fixture(scope="module")
def window(served, tmp_path_factory) -> Iterator[Browser]:
    with browser(served.base, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_wrong(window):
    """No page complains in the console, and none asks anybody but the service."""
    yield
    assert window.faults() == []
    assert window.foreign() == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_when_every_page_is_opened_then_it_fits_and_its_charts_are_drawn(window, width, scheme):
    window.resize(width, 900)
    window.scheme(scheme)
    wrong: list[str] = []
    for page in pages():
        window.open(page.path + ("?id=CF1000/1" if page.path == "/style" else ""))
        assert window.find("h1").text
        assert window.width() <= width, page.path
        for chart in window.all(".chart"):
            window.find(f"#{chart.get_attribute('id')} .main-svg")
        for across, up in window.driver.execute_script(AXIS_TITLES):
            wrong += (
                []
                if across and (up or page.path in LISTS)
                else [f"{page.path}: an axis says nothing: {across!r}, {up!r}"]
            )
        wrong += [f"{page.path}: {one}" for one in window.overlaps()]
    assert not wrong, "\n".join(wrong)
    window.resize(1280, 900)
    window.scheme("light")


def test_when_the_keyboard_alone_is_used_then_the_content_and_every_page_are_reached(window):
    window.open("/")
    body = window.find("body")
    body.send_keys(Keys.TAB)
    assert window.driver.switch_to.active_element.text == "Skip to the content"
    window.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert window.driver.switch_to.active_element.get_attribute("id") == "main"
    links = [link.get_attribute("href") for link in window.all("nav a")]
    assert [link.removeprefix(window.base) for link in links] == [page.path for page in pages() if page.order]


def test_when_a_style_is_searched_and_opened_then_its_name_stays_a_name(window):
    window.open("/styles")
    with window.leaving():
        window.find("input[name=search]").send_keys("<B>", Keys.ENTER)
    assert window.texts("#t-styles tbody a") == [HOSTILE]
    with window.leaving():
        window.find("#t-styles tbody a").click()
    assert window.text("h1") == HOSTILE
    assert not window.all("h1 b")


def test_when_models_and_horizons_are_chosen_then_the_api_is_asked_for_them(window, served):
    window.open("/styles")
    Select(window.find("select[name=horizon]")).select_by_value("30")
    Select(window.find("select[name=model]")).select_by_value("arima")
    with window.leaving():
        window.find("#form-styles button").click()
    assert "30 days" in window.text("#t-styles thead")
    asked = served.get("/api/styles?horizon=30&model=arima&limit=1").json()["styles"][0]
    cells = window.texts("#t-styles tbody tr:first-child > *")
    assert cells[0] == asked["style"]
    assert float(cells[3].replace(",", "")) == pytest.approx(asked["forecast_30_days"], abs=0.51)


def test_when_a_what_if_is_asked_then_it_is_drawn_and_what_cannot_be_planned_is_not_asked_for(window):
    window.open("/style?id=CF1001/1")
    window.find("#form-what-if button").click()
    window.find("#form-what-if .answer .main-svg")
    assert "of release 1" in window.text("#form-what-if .answer")
    assert "Planned" not in window.text("#form-what-if")
    assert "columns.future" in window.text("#main")  # nothing was known ahead in this training


def test_when_a_file_is_checked_then_its_report_is_shown(window, told):
    window.open("/quality")
    window.find("#form-upload input[type=file]").send_keys(str(told[0]))
    window.find("#form-upload button").click()
    said = window.until("#form-upload .answer", ("status",), 60)
    assert "data id" in said
    assert not re.search(r'[{}"]|\d\.\d{3}', said), said  # words and figures, no JSON


def test_when_features_are_made_of_a_file_then_they_are_summed_up_and_can_be_fetched(window, served, tmp_path):
    path = tmp_path / "business.csv"
    business(120).to_csv(path, index=False)
    window.open("/custom")
    window.find("#form-custom input[type=file]").send_keys(str(path))
    window.find("#form-custom input[name=columns]").send_keys("revenue, engagement")
    window.find("#form-custom button").click()
    assert "21 features of 120 rows" in window.until("#form-custom .answer", ("21 features",), 60)
    link = window.find("#form-custom .answer a").get_attribute("href").removeprefix(window.base)
    header, *rows = served.get(link).text.splitlines()
    assert len(rows) == 120
    assert "revenue_rolling_mean_7" in header
    window.find("#form-custom input[name=date]").send_keys("days")
    window.find("#form-custom button").click()
    assert "days" in window.until("#form-custom .answer", ("Bad file",))
    (refused,) = window.faults()  # the browser notes every answer that is not 2xx
    assert "422" in refused


def test_when_fine_tuning_was_run_then_its_importances_are_charted(window):
    window.open("/finetune")
    window.find("#chart-importance .main-svg")
    assert "engagement has" in window.text("main")
    assert "Root mean squared error" in window.text("#t-measures tbody")


def test_when_orders_are_proposed_then_suppliers_items_and_simple_rules_are_shown(window):
    window.open("/orders")
    assert {"Mill A", "Mill B"} >= set(window.texts("#t-suppliers tbody tr td:first-child, #t-suppliers tbody th"))
    assert window.texts("#t-orders tbody tr")
    assert "newsvendor" in window.text("#t-costs tbody")
    assert "no data" in window.text(".cards").lower()


def test_when_an_earlier_proposal_is_chosen_then_it_is_shown_and_its_file_holds_all_of_its_orders(told, window, served):
    window.open("/orders")
    assert len(window.texts("#t-proposals tbody tr")) == 2
    newest = window.text("#t-orders tbody")
    with window.leaving():
        window.find("#t-proposals tbody tr:last-child a").click()
    assert "run=earlier" in window.driver.current_url
    assert window.text("#t-orders tbody") != newest
    file = window.find("ul.findings a").get_attribute("href")
    assert file == f"{window.base}/api/order-proposals/earlier"
    kept = (told[1] / "runs" / "earlier" / "proposal.csv").read_bytes()
    assert served.get("/api/order-proposals/earlier").content == kept
    assert len(kept.splitlines()) - 1 == len(window.texts("#t-orders tbody tr"))


def test_when_a_short_yarn_is_opened_then_its_candidates_and_why_are_shown_and_another_can_be_asked_for(window):
    window.open("/substitutes")
    link = window.find("#t-short tbody a")
    yarn = link.text
    with window.leaving():
        link.click()
    assert yarn in window.text("#t-candidates caption")
    chances = [float(cell) for cell in window.texts("#t-candidates tbody td:nth-child(2)")]
    assert chances == sorted(chances, reverse=True)
    field = window.find("#form-substitutes input[name=yarn]")
    field.clear()
    field.send_keys("no such yarn")
    with window.leaving():
        window.find("#form-substitutes button").click()
    assert "no such yarn" in window.text("main")
    (unknown,) = window.faults()  # the browser notes every answer that is not 2xx
    assert "404" in unknown


def test_when_training_is_started_then_it_is_followed_to_its_end_and_the_pages_change(window, told, served):
    export(told[0], DAYS + 40)
    window.open("/jobs")
    window.find("#form-retrain button").click()
    said = window.until("#form-retrain .answer", ("success", "partial", "failed"), TRAINED_S)
    assert said.startswith("success"), said
    assert served.registry.alias("champion") == 2
    window.until("#t-jobs tbody tr td", ("success",))
    window.open("/")
    assert "no. 2" in window.text(".cards")
    window.find("#t-changes")


def test_when_releases_are_compared_and_rolled_back_and_promoted_then_the_desk_does_it(window, served):
    window.open("/releases")
    assert window.texts("#t-releases tbody th") == ["2", "1"]
    reason = window.find("#form-rollback input[name=reason]")
    reason.send_keys("too high")
    window.find("#form-rollback button").click()
    window.driver.switch_to.alert.accept()
    assert "serves again" in window.until("#form-rollback .answer", ("Release",), 120)
    assert served.registry.alias("champion") == 1
    window.open("/releases")
    assert "too high" in window.text("#t-releases tbody tr.served")
    window.find("#form-promote input[name=force]").click()
    window.find("#form-promote button").click()
    window.driver.switch_to.alert.accept()
    window.until("#form-promote .answer", ("Promoted", "Release"), 120)
    assert served.registry.alias("champion") == 2


def test_when_a_table_is_sorted_then_its_rows_follow(window):
    window.open("/styles")
    window.find("#t-styles thead button")
    window.all("#t-styles thead button")[3].click()
    values = [float(cell.replace(",", "")) for cell in window.texts("#t-styles tbody tr td:nth-of-type(3)")]
    assert values == sorted(values)
