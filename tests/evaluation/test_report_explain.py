"""The report's part on why: the stored figures and sentences, nothing else, and a sentence where there are none."""

import json
import re
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pytest

from demand.errors import ModelError
from evaluation import report_tables as tables
from evaluation.explain import explain
from evaluation.report import write_report
from evaluation.report_explain import explained_part
from features.groups import GROUPS
from models.drivers import Drivers, Reliance
from tests.evaluation.made import panel_of, report_data

HOSTILE = "</script><img src=x onerror=alert(1)>"
RELIANCE = Reliance("lstm", {"level": 0.41, "season": 1.25, "plans": 0.0}, 9)
PARAMETERS = {
    "arima": {"p": 2, "d": 1, "q": 2}, "lstm": {"time_steps": 30}, "tide": {"time_steps": 30},
    "xgboost": {"objective": "reg:squarederror"},
}  # fmt: skip


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    ids = [HOSTILE, *(f"S{i}" for i in range(8))]
    return report_data(panel_of({name: rng.poisson(50 - 5 * i, 90).astype(float) for i, name in enumerate(ids)}))


def drivers_of(data, link="sum"):
    rng = np.random.default_rng(3)
    n, base = len(data.live.ids), np.full(len(data.live.ids), 20.0)
    effects = np.zeros((n, len(GROUPS))) if link == "sum" else np.ones((n, len(GROUPS)))
    effects[:, :7] += rng.normal(0, 0.1, (n, 7))
    forecast = base + effects.sum(axis=1) if link == "sum" else base * effects.prod(axis=1)
    return Drivers("xgboost", data.live.ids, tuple(GROUPS), link, base, effects, forecast, (1, 4), 3.2e-7)


def explained(data, **found):
    return explain(data.live, "xgboost", None, {}, found, PARAMETERS, "yds")


def page_of(tmp_path, data):
    write_report(tmp_path / "report.html", data)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    payload = json.loads(re.search(r'id="payload">(.*?)</script>', page, re.S).group(1))
    return page[page.index('<section id="why"') : page.index('<section id="accuracy"')], payload


@pytest.mark.parametrize("link", ["sum", "product"])
def test_when_models_were_taken_apart_then_table_and_charts_hold_the_stored_figures(tmp_path, data, link):
    made = explained(data, xgboost=drivers_of(data, link), lstm=RELIANCE)
    facts = made.facts["models"]
    section, payload = page_of(tmp_path, replace(data, explanations=made))
    table = section[section.index('id="t-why-drivers"') :]
    shown = {
        unescape(name): (lstm, xgboost)
        for name, lstm, xgboost in re.findall(
            r'<th scope="row" data-v="[^"]*">([^<]*)</th>\s*<td data-v="([^"]*)"[^>]*>[^<]*</td>\s*'
            r'<td data-v="([^"]*)"', table,
        )
    }  # fmt: skip
    assert shown.keys() == set(GROUPS.values())
    for group, said in GROUPS.items():
        told = facts["lstm"]["change"].get(group)
        assert shown[said] == ("" if told is None else repr(told), repr(facts["xgboost"]["shares"][group]))
    for chart, (kind, name) in zip(payload["drivers"], (("lstm", "change"), ("xgboost", "shares")), strict=True):
        assert chart["title"].startswith(f"{kind}: ")
        stored = {GROUPS[group]: value for group, value in facts[kind][name].items()}
        assert chart["x"] == sorted(chart["x"], reverse=True)
        assert chart["x"] == pytest.approx([stored[said] for said in chart["names"]], rel=1e-3)
        assert chart["x"][0] == pytest.approx(max(stored.values()), rel=1e-3)
    sentences = unescape(section[section.index("How it was measured") :])
    assert f"Check: {'base + effects' if link == 'sum' else 'base x effects'} = forecast" in sentences
    assert "the largest gap is 3.2e-07 of 1 and all contributions, 1e-04 is allowed" in sentences
    assert "9 styles apart, at 2 of 7 steps ahead" in sentences
    assert "lstm: one input at a time is exchanged among 9 styles" in sentences


def test_when_a_model_is_in_the_table_then_what_it_looks_at_and_its_largest_drivers_are_said(data):
    part = explained_part(explained(data, xgboost=drivers_of(data), lstm=RELIANCE), data.live)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in part.models.rows}
    assert rows["lstm"][1:] == ["same season before 125.0 %, recent level 41.0 %", "permutation of the forecast"]
    assert rows["arima"] == [
        "This style's own past alone: ARIMA of order (2, 1, 2), seasonal part as far as it is long enough.",
        tables.NONE, "not measured",
    ]  # fmt: skip
    assert rows["xgboost"][1].count("%") == 3
    assert rows["xgboost"][2] == "TreeSHAP"


def test_when_styles_are_told_one_by_one_then_they_are_the_largest_with_their_stored_sentences(tmp_path, data):
    made = explained(data, xgboost=drivers_of(data))
    part = explained_part(made, data.live)
    total = dict(zip(data.live.ids.tolist(), data.live.mean.sum(axis=1), strict=True))
    assert [name for name, _ in part.styles] == sorted(total, key=lambda name: -total[name])[:5]
    stored = made.styles.set_index("unique_id")["words"]
    section, _ = page_of(tmp_path, replace(data, explanations=made))
    for name, said in part.styles:
        assert said == " ".join(stored[name])
        assert f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" in section.replace("&#34;", "&quot;").replace(
            "&#39;", "&#x27;"
        )
    assert "The same of 4 other styles is in explanations.parquet" in section


def test_when_a_style_or_a_cause_holds_html_then_it_is_only_text(tmp_path, data):
    made = explained(data, tide=ModelError(f"{HOSTILE} is odd"))
    section, _ = page_of(tmp_path, replace(data, explanations=made))
    assert "<img" not in section
    assert f"<dt>{escape(HOSTILE)}</dt>" in section
    assert f"tide could not be explained: {escape(HOSTILE)} is odd" in section


def test_when_a_check_failed_then_its_cause_stands_there_and_no_figure(tmp_path, data):
    made = explained(data, xgboost=ModelError("contributions do not add up to the prediction", violated=3))
    section, payload = page_of(tmp_path, replace(data, explanations=made))
    assert "xgboost could not be explained: contributions do not add up to the prediction" in unescape(section)
    assert "No model of this run was taken apart" in section
    assert payload["drivers"] == []
    assert "t-why-drivers" not in section


def test_when_nothing_moves_a_forecast_then_that_is_said_and_no_chart_is_drawn(tmp_path, data):
    still = replace(drivers_of(data), effects=np.zeros((len(data.live.ids), len(GROUPS))))
    section, payload = page_of(tmp_path, replace(data, explanations=explained(data, xgboost=still)))
    assert "nothing: no driver has any effect" in section
    assert payload["drivers"] == []
    assert "nan" not in section.lower()


def test_when_there_are_no_explanations_then_the_section_says_so(tmp_path, data):
    made = explained(data, xgboost=drivers_of(data))
    for without in (data, replace(data, explanations=made, live=None)):
        section, payload = page_of(tmp_path, without)
        assert "This run holds no explanations" in section
        assert "<table" not in section
        assert payload["drivers"] == []


def test_when_a_style_has_no_forecast_then_it_is_not_among_the_largest(data):
    mean = data.live.mean.copy()
    mean[0], mean[1] = np.nan, 1e6
    live = replace(data.live, mean=mean, made_by=np.where(np.arange(len(mean)) == 0, "", data.live.made_by))
    names = [name for name, _ in explained_part(explained(data), live).styles]
    assert names[0] == data.live.ids[1]
    assert data.live.ids[0] not in names
