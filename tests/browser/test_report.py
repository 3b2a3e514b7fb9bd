"""The report in a real browser: it draws, sorts, filters, escapes and fits a phone, without a network."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.report import write_report
from tests.evaluation.made import panel_of, report_data

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def browse(path, tmp_path, *options, script=""):
    """The page's DOM after its scripts ran, with `script` appended to them."""
    if script:
        page = path.read_text(encoding="utf-8")
        path = tmp_path / "driven.html"
        path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", *options, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    rng = np.random.default_rng(5)
    series = {f"S{i:02d}": rng.poisson(4 + i, 120).astype(float) for i in range(12)}
    data = report_data(panel_of(series | {HOSTILE: np.arange(120.0)}))
    long = data.board.iloc[[0]].assign(model="exponential_smoothing", bias_rel=-1.0, beats_baseline=True)
    write_report(path, replace(data, board=pd.concat([data.board, long], ignore_index=True)))
    return path


def test_when_the_page_is_opened_then_its_scripts_run_and_all_charts_are_drawn(report, tmp_path):
    dom = browse(report, tmp_path)
    assert 'data-ready="yes"' in dom
    assert len(re.findall(r'class="main-svg"', dom)) >= 3 * 9
    for name in ("trend", "weekday"):  # 120 days: no months to compare
        assert re.search(rf'<div class="chart js-plotly-plot" id="{name}"', dom)
    assert 'id="month"' not in dom
    assert "<title>Demand forecast" in dom  # the hostile name changed nothing
    assert "owned</title>" not in dom


def test_when_a_column_heading_is_pressed_then_rows_are_sorted_by_number(report, tmp_path):
    script = """
    const b = document.querySelector('#t-outcomes thead th:nth-child(7) button'); b.click(); b.click();
    document.body.dataset.found = [...document.querySelectorAll('#t-outcomes tbody tr')]
      .map((r) => r.children[6].dataset.v).join(',');"""
    found = re.search(r'data-found="([^"]*)"', browse(report, tmp_path, script=script)).group(1).split(",")
    values = [float(v) for v in found if v]
    assert values == sorted(values, reverse=True)
    assert len(values) == 13
    assert found[-1] == ""


def test_when_a_word_is_typed_then_only_matching_styles_are_left(report, tmp_path):
    script = """
    const i = document.querySelector('[data-filter]'); i.value = 'fell BACK'; i.dispatchEvent(new Event('input'));
    document.body.dataset.found = [...document.querySelectorAll('#t-outcomes tbody tr')].filter((r) => !r.hidden).length
      + ' ' + document.getElementById('t-outcomes-count').textContent;"""
    assert 'data-found="1 1 of 14"' in browse(report, tmp_path, script=script)


def test_when_another_style_is_picked_then_its_chart_is_drawn(report, tmp_path):
    script = """
    const p = document.getElementById('pick'); p.value = '4'; p.dispatchEvent(new Event('change'));
    const shown = document.getElementById('explorer').layout.title.text;
    document.body.dataset.found = shown + '|' + p.selectedOptions[0].text;"""
    title, name = re.search(r'data-found="([^"]*)"', browse(report, tmp_path, script=script)).group(1).split("|")
    assert title.startswith(name)


@pytest.mark.parametrize("width", [390, 1280])
def test_when_the_window_is_narrow_then_the_page_is_never_wider_than_it(report, tmp_path, width):
    script = f"""
    document.body.style.width = document.documentElement.style.width = '{width}px';
    window.dispatchEvent(new Event('resize'));
    const look = () => {{  // charts are drawn anew a while after the window changed
      const wide = [...document.querySelectorAll('section, .chart, .chart .main-svg')]
        .filter((e) => e.getBoundingClientRect().right > {width} + 1);
      document.body.dataset.found = wide.map((e) => e.id || e.tagName).join(' ') || 'nothing';
      if (wide.length) setTimeout(look, 200);
    }};
    setTimeout(look, 500);"""
    assert 'data-found="nothing"' in browse(report, tmp_path, f"--window-size={width},900", script=script)


def test_when_the_window_is_of_usual_width_then_the_models_table_shows_every_row_and_column(report, tmp_path):
    script = """
    const box = document.getElementById('t-board').parentElement;
    const names = [...document.querySelectorAll('#t-board tbody th')];
    document.body.dataset.found = [box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight,
      names.filter((e) => e.scrollWidth > e.clientWidth).length].join(' ');"""
    assert 'data-found="0 0 0"' in browse(report, tmp_path, "--window-size=1280,900", script=script)


def test_when_a_wide_table_is_scrolled_on_a_phone_then_its_first_column_stays(report, tmp_path):
    script = """
    document.body.style.width = document.documentElement.style.width = '390px';
    const box = document.getElementById('t-board').parentElement;
    box.scrollLeft = 300;
    const name = document.querySelector('#t-board tbody th').getBoundingClientRect();
    document.body.dataset.found = box.scrollLeft + ' ' + Math.round(name.left - box.getBoundingClientRect().left);"""
    assert 'data-found="300 1"' in browse(report, tmp_path, "--window-size=390,900", script=script)


def test_when_the_reader_prefers_dark_then_the_page_is_dark(report, tmp_path):
    script = "document.body.dataset.found = getComputedStyle(document.body).backgroundColor;"
    found = []
    for option in ("--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"):
        dom = browse(report, tmp_path, option, script=script)
        found.append(int(re.search(r'data-found="rgb\((\d+)', dom).group(1)))
    assert found[0] < 60
    assert found[1] > 200
