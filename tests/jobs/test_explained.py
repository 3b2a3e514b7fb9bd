"""Explanations of a released forecast: written with it, the same whoever did the work, an error told as one."""

import json
import re
from html import unescape

import numpy as np
import pyarrow.parquet as pq

from demand.errors import ModelError
from features.groups import GROUPS
from jobs.explained import FACTS, TABLE, write_explanations
from jobs.fleet import registry_of
from jobs.publish import publish
from jobs.reporting import write_run_report
from jobs.tasks import drivers_or_why
from models.drivers import Drivers, write_drivers


def stored(fleet, kind, found):
    folder = sorted(fleet.run.path.glob(f"models/{kind}/*"))[0]
    write_drivers(folder, found)


def drivers_of(verdict) -> Drivers:
    ids, groups = verdict.live.ids, tuple(GROUPS)
    effects = np.tile(np.arange(len(groups), dtype=float), (len(ids), 1))
    base = np.arange(1.0, len(ids) + 1)
    return Drivers("arima", ids, groups, "sum", base, effects, base + effects.sum(axis=1), (1, 4), 1e-8)


def test_when_published_then_run_and_release_hold_the_same_explanations_of_every_style(judged):
    fleet, _, verdict, _ = judged
    stored(fleet, "arima", drivers_of(verdict))
    write_explanations(fleet.run.path, fleet, verdict)
    publish(*judged)
    release = registry_of(fleet.settings).open("champion")
    for name in (TABLE, FACTS):
        assert release.file(name).read_bytes() == fleet.run.file(name).read_bytes()
        assert name in release.manifest["files"]
    table = pq.read_table(release.file(TABLE)).to_pandas()
    assert table["unique_id"].tolist() == verdict.live.ids.tolist()
    effects = table[[f"effect_{group}" for group in GROUPS]].sum(axis=1)
    np.testing.assert_allclose(table["base"] + effects, table["forecast"])
    assert table["words"].map(len).min() >= 2
    assert any("arima starts from" in said for said in table["words"][0])


def test_when_no_model_was_taken_apart_then_columns_are_empty_and_words_say_so(judged, tmp_path):
    fleet, _, verdict, _ = judged
    write_explanations(tmp_path, fleet, verdict)
    table = pq.read_table(tmp_path / TABLE)
    assert table["effect_level"].null_count + np.isnan(table["effect_level"].to_pandas()).sum() >= len(table)
    assert "no model of it was taken apart" in table["words"][0].as_py()[-1]
    assert json.loads((tmp_path / FACTS).read_text())["models"]["arima"]["error"] is None


def test_when_contributions_did_not_add_up_then_the_error_is_on_record(judged, tmp_path):
    fleet, _, verdict, _ = judged
    stored(fleet, "arima", ModelError("contributions do not add up to the prediction", violated=3))
    write_explanations(tmp_path, fleet, verdict)
    told = json.loads((tmp_path / FACTS).read_text())["models"]["arima"]
    assert told["method"] == "none"
    assert "do not add up" in told["error"]


def test_when_a_model_cannot_be_explained_then_the_forecast_is_kept_and_the_cause_returned():
    class Odd:
        def drivers(self, history):
            raise ModelError("does not add up")

    assert str(drivers_or_why(Odd(), None)) == "does not add up"


def test_when_the_report_is_written_then_its_shares_and_sentences_are_the_stored_ones(judged):
    fleet, race, verdict, outcomes = judged
    stored(fleet, "arima", drivers_of(verdict))
    made = write_explanations(fleet.run.path, fleet, verdict)
    page = write_run_report(fleet, race, verdict, outcomes, explanations=made).read_text(encoding="utf-8")
    table = page[page.index('id="t-why-drivers"') :]
    shown = re.findall(r'<th scope="row" data-v="[^"]*">([^<]*)</th>\s*<td data-v="([^"]*)"', table)
    kept = json.loads(fleet.run.file(FACTS).read_text())
    shares = kept["models"]["arima"]["shares"]
    assert {name: float(value) for name, value in shown[: len(GROUPS)]} == {
        kept["groups"][key]: share for key, share in shares.items()
    }
    words = pq.read_table(fleet.run.file(TABLE)).to_pandas().set_index("unique_id")["words"]
    told = re.findall(r"<dt>(S\d+)</dt><dd>(.*?)</dd>", page[page.index('<section id="why"') :], re.S)
    assert [unescape(said) for _, said in told] == [" ".join(words[name]) for name, _ in told]
    assert len(told) == 5
