"""Settings that could not act are refused before any work."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from demand.errors import SettingsError
from jobs import compose
from jobs.backtest import body
from jobs.checks import check, check_inner, check_lengths
from jobs.entry import OK
from jobs.forecast import refuse_others
from jobs.settings import FoldSettings
from models.release import read_config


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ({"query": "select 1"}, "source.query"),
        ({"table": "t"}, "source.table"),
        ({"path": "sqlite:///x.db", "table": "t", "sheet": "s"}, "source.sheet"),
    ],
)
def test_when_a_source_key_cannot_act_on_this_kind_of_source_then_it_is_refused(smoke, told, key):
    with pytest.raises(SettingsError) as error:
        check(replace(smoke, source=replace(smoke.source, **told)))
    assert error.value.facts["key"] == key


def test_when_a_cluster_is_named_but_not_used_then_it_is_refused(smoke):
    cluster = replace(smoke.cluster, address="127.0.0.1:6379")
    check(replace(smoke, cluster=cluster, parallel_training=True))
    with pytest.raises(SettingsError, match=r"cluster\.address"):
        check(replace(smoke, cluster=cluster, parallel_training=False))


def test_when_a_country_is_unknown_then_it_is_refused_with_the_nearest_codes(smoke):
    for country in ("", "US", "DE"):
        check(replace(smoke, features=replace(smoke.features, country=country)))
    with pytest.raises(SettingsError, match=r"features\.country.*Nearest: .*ZA"):
        check(replace(smoke, features=replace(smoke.features, country="ZZ")))


def test_when_a_length_is_beyond_the_longest_history_then_both_numbers_are_told(smoke):
    check_lengths(replace(smoke, season=40), 40, 12)
    check_lengths(replace(smoke, season=52), 40, 52)  # a yearly season in a young fleet
    check_lengths(replace(smoke, season=None), 3, 52)  # the calendar's season stands with a short history
    for settings in (replace(smoke, season=41), replace(smoke, folds=replace(smoke.folds, gap=41))):
        with pytest.raises(SettingsError, match=r"found=41, longest_history=40"):
            check_lengths(settings, 40, 12)


def test_when_no_inner_origin_fits_then_a_gap_is_refused_and_a_short_history_is_not(caplog):
    check_inner(FoldSettings(), 0)
    assert not caplog.records
    check_inner(FoldSettings(inner=500), 3)
    assert "room for 3 inner origins, not 500" in caplog.text
    with pytest.raises(SettingsError, match=r"folds\.gap"):
        check_inner(FoldSettings(gap=20), 0)


def test_when_a_backtest_is_to_validate_only_then_nothing_is_written(smoke, tmp_path, capsys):
    days = pd.date_range("2026-01-01", periods=40).strftime("%Y-%m-%d")
    pd.DataFrame({"Date": days, "Style": "a", "Qty": range(1, 41)}).to_csv(tmp_path / "s.csv", index=False)
    storage = replace(smoke.storage, root=str(tmp_path / "storage"))
    source = replace(smoke.source, path=str(tmp_path / "s.csv"))
    assert body(replace(smoke, source=source, storage=storage, validate=True)) == OK
    assert "nothing was trained" in capsys.readouterr().out
    assert not (tmp_path / "storage").exists()


def test_when_a_forecast_is_asked_for_what_the_release_decides_then_another_value_is_refused(tmp_path):
    class Stored:
        number = 3

        def config(self):
            return read_config(tmp_path)

    (tmp_path / "config.yaml").write_text(
        "models: {}\nonly: [naive]\nconfidence_level: 0.9\nconfidence_intervals: true\n"
    )
    card = {"horizon": 7, "season": 7, "levels": [0.1, 0.5, 0.9]}
    for told in ([], ["horizon=7", "only=[naive]", "confidence_level=0.9"]):
        refuse_others(compose.load("forecast", told), Stored(), card)
    for told in ("horizon=500", "only=[arima]", "confidence_level=0.5", "levels=[0.2,0.5]", "season=4"):
        with pytest.raises(SettingsError, match="the release decides this") as error:
            refuse_others(compose.load("forecast", [told]), Stored(), card)
        assert error.value.facts["key"] == told.split("=")[0]
