"""`jobs.monitor` on a published fleet: actuals arrive, are scored once, alarms are named, everything is kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest

from demand.panel import Panel
from jobs import monitor
from jobs.entry import FAILED, OK, REFUSED, exit_code
from jobs.fleet import registry_of
from jobs.publish import publish
from tests.acceptance.made import strict_json

pytestmark = pytest.mark.slow

ORIGIN = 20_300  # the newest day of the fleet's panel: 2025-07-31
SMOKE = ("horizon=7", "parallel_training=false", "progress=false", "log_level=WARNING")


class Desk:
    """A storage with one release and a source file that grows."""

    def __init__(self, judged, root):
        self.fleet, self.verdict, self.root, self.judged = judged[0], judged[2], root, judged
        self.registry = registry_of(self.fleet.settings)
        publish(*judged)
        self.source = root / "in" / "sales.parquet"
        self.source.parent.mkdir()
        self.brings(0)

    @property
    def panel(self) -> Panel:
        panel: Panel = self.fleet.panel
        return panel

    def brings(self, days, make=None, without=()):
        """`days` more days for every style: `make(i)` for the i-th, its mean as a rule."""
        frame = self.panel.to_frame()
        frame["unique_id"] = frame["unique_id"].astype(str)
        more = []
        for i, name in enumerate(self.panel.ids.tolist()):
            dates = self.panel.calendar.dates(ORIGIN + 1 + np.arange(days))
            y = np.full(days, self.panel.series(i).mean()) if make is None else make(i, days)
            more.append(pd.DataFrame({"unique_id": name, "ds": dates, "y": y}))
        whole = pd.concat([frame, *more], ignore_index=True)
        whole[~whole["unique_id"].isin(without)].to_parquet(self.source, index=False)
        return whole

    def look(self, *told, now=datetime(2026, 1, 1, tzinfo=UTC), **kwargs):
        argv = [*SMOKE, "monitoring.stale_after_days=null", f"source.path={self.source}", f"storage.root={self.root}"]
        last = {text.partition("=")[0]: text for text in (*argv, *told)}
        return exit_code("monitor", partial(monitor.body, now=now), list(last.values()))

    @property
    def latest(self):
        return strict_json(self.root / "monitoring" / "latest.json")

    def report(self, name="monitoring.json"):
        return strict_json(self.root / "monitoring" / self.latest["monitor_id"] / name)

    def table(self, name):
        return pd.read_parquet(self.root / "monitoring" / self.latest["monitor_id"] / f"{name}.parquet")

    def history(self):
        return [json.loads(line) for line in (self.root / "monitoring" / "history.jsonl").read_text().splitlines()]

    def serves(self, number, **facts):
        """Promotes a release unless it is the champion."""
        if self.registry.alias("champion") != number:
            self.registry.promote(number, expected=self.registry.alias("champion"), facts=facts)

    def promoted(self, *moments):
        """The promotions happened at these moments: the log says so, and what is derived from it is made anew."""
        at = -1
        for path in sorted((self.registry.root / "log").glob("*.json")):
            entry = json.loads(path.read_text())
            at += entry["kind"] == "promoted"
            entry["champion"]["at"] = moments[at]
            path.unlink()
            path.write_text(json.dumps(entry))
        (self.registry.root / "head.json").unlink(missing_ok=True)
        assert [pointer["at"] for pointer in self.registry.promotions()] == list(moments)


@pytest.fixture
def desk(judged, tmp_path):
    return Desk(judged, tmp_path)


def actuals_of(whole, live):
    """[N, days] of the new days, in the order of the forecast's styles."""
    return whole[whole["ds"] > "2025-07-31"].pivot(index="unique_id", columns="ds", values="y").loc[live.ids].to_numpy()


def test_when_nothing_has_come_yet_then_it_says_so_with_0_and_no_score(desk, capsys):
    assert desk.look() == OK
    printed = capsys.readouterr().out
    assert "nothing yet" in printed
    assert "no complete period after 2025-07-31" in printed
    report = desk.report()
    assert (report["status"], report["models"], report["degradation"], report["alerts"]) == ("no_data", [], None, [])
    assert desk.latest["wape"] is None
    assert [line["status"] for line in desk.history()] == ["no_data"]


def test_when_actuals_have_come_then_each_cell_is_scored_with_the_released_forecast(desk, capsys):
    whole = desk.brings(5)
    assert desk.look() == OK
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) <= 15
    assert all(len(line) <= 80 for line in printed[:-1])
    # By hand, from the release's own file and the source.
    live = desk.verdict.live
    actual = actuals_of(whole, live)
    error, sold = np.abs(live.median[:, :5] - actual).sum(), np.abs(actual).sum()
    report = desk.report()
    lead = report["models"][0]
    assert (lead["model"], lead["kind"]) == ("champion", desk.verdict.served)
    assert lead["wape"] == pytest.approx(error / sold)
    assert lead["bias_rel"] == pytest.approx((live.mean[:, :5] - actual).sum() / sold)
    assert (lead["n"], lead["n_styles"], lead["n_periods"]) == (24 * 5, 24, 5)
    members = {one["model"]: one for one in report["models"]}
    assert set(members) == {"champion", *desk.verdict.live_members}
    naive = desk.verdict.live_members["seasonal_naive"]
    assert lead["naive_wape"] == pytest.approx(np.abs(naive.median[:, :5] - actual).sum() / sold)
    assert members["seasonal_naive"]["wape"] == lead["naive_wape"]
    assert sum(one["n"] for one in lead["by_class"]) == lead["n"]
    steps = desk.table("by_step").query("model == 'champion'")
    assert steps["step"].tolist() == [1, 2, 3, 4, 5]
    assert (np.abs(live.median[:, :5] - actual).sum(axis=0) / np.abs(actual).sum(axis=0)) == pytest.approx(
        steps["wape"]
    )
    styles = desk.table("by_style").query("model == 'champion'").set_index("unique_id")
    assert styles.loc["S004", "mae"] == pytest.approx(np.abs(live.median[4, :5] - actual[4]).mean())
    assert desk.latest["evaluation_id"] == lead["evaluation_id"]
    assert desk.latest["wape"] == lead["wape"] == desk.history()[-1]["wape"]


def test_when_actuals_are_corrected_late_then_the_scores_and_their_id_follow_today_s_data(desk):
    desk.brings(5)
    desk.look()
    before = desk.latest
    desk.brings(5, lambda i, days: np.full(days, desk.panel.series(i).mean() + (i == 4)))
    desk.look()
    after = desk.latest
    assert after["evaluation_id"] != before["evaluation_id"]
    assert after["mae"] != before["mae"]
    desk.brings(5)
    desk.look()
    assert desk.latest["evaluation_id"] == before["evaluation_id"]
    assert len(desk.history()) == 3


def test_when_the_release_was_promoted_after_some_days_then_those_days_are_not_scored(desk):
    desk.brings(7)
    # In the afternoon of the fourth day: that day was still to come in part, the three before it were over.
    desk.promoted("2025-08-04T13:00:00Z")
    desk.look()
    lead = desk.report()["models"][0]
    assert lead["n_periods"] == 4
    assert desk.table("by_step").query("model == 'champion'")["step"].tolist() == [4, 5, 6, 7]
    assert desk.report()["terms"] == [
        {"release": 1, "origin": "2025-07-31", "first": "2025-08-04", "last": "2025-08-07"}
    ]  # fmt: skip


def test_when_today_is_not_over_then_its_actuals_do_not_count(desk):
    desk.brings(5)
    desk.look(now=datetime(2025, 8, 5, 20, tzinfo=UTC))
    assert (desk.report()["complete_to"], desk.report()["data_to"]) == ("2025-08-04", "2025-08-05")


def test_when_two_releases_served_then_each_day_is_scored_with_the_one_that_was_champion_before_it(desk):
    """The second release forecasts 0 for every style from the same origin; it took office on the fourth day."""
    live = desk.verdict.live
    fleet, race, verdict, outcomes = desk.judged
    zero = replace(live, mean=live.mean * 0, quantiles=live.quantiles * 0)
    publish(fleet, race, replace(verdict, live=zero), outcomes)
    desk.serves(2)
    desk.promoted("2025-07-31T02:00:00Z", "2025-08-04T02:00:00Z")
    whole = desk.brings(6)
    assert desk.look() == OK
    actual = actuals_of(whole, live)
    served = np.concatenate([live.median[:, :3], np.zeros((24, 3))], axis=1)
    lead = desk.report()["models"][0]
    assert lead["releases"] == [1, 2]
    assert lead["wape"] == pytest.approx(np.abs(served - actual).sum() / np.abs(actual).sum())
    # Rolled back on the sixth day: the first release answers again from then on.
    desk.serves(1, rolled_back_from=2)
    desk.promoted("2025-07-31T02:00:00Z", "2025-08-04T02:00:00Z", "2025-08-06T00:30:00Z")
    desk.look()
    served[:, 5] = live.median[:, 5]
    lead = desk.report()["models"][0]
    assert lead["wape"] == pytest.approx(np.abs(served - actual).sum() / np.abs(actual).sum())


def bad(desk, factor=3.0):
    """Days with another demand in every style, far from all that was forecast."""
    rng = np.random.default_rng(3)
    order = rng.permutation(desk.panel.n_series)
    return lambda i, days: rng.poisson(factor * desk.panel.series(int(order[i])).mean() + 1, days).astype(float)


def test_when_it_went_much_worse_than_promised_then_one_alert_names_the_cause_and_keeps_its_id(desk, capsys):
    desk.brings(7, bad(desk))
    told = ("monitoring.alert_on_drift=false", "monitoring.new_data_share=null")
    assert desk.look(*told) == OK
    (alert,) = desk.latest["alerts"]
    assert alert["cause"] == "degradation"
    assert alert["models"] == ["arima", "ensemble"]
    assert alert["facts"]["change"] > 0.1
    assert alert["facts"]["lower"] > 0
    assert "Alert     degradation: WAPE" in capsys.readouterr().out
    assert desk.look(*told) == OK
    assert [a["id"] for a in desk.latest["alerts"]] == [alert["id"]]
    assert desk.look(*told, "monitoring.fail_on_alert=true") == FAILED
    assert [line["alerts"][0]["id"] for line in desk.history()] == [alert["id"]] * 3


def test_when_a_release_followed_the_alert_then_what_the_old_one_did_is_not_alarmed_about_again(desk):
    desk.brings(6, bad(desk))
    told = ("monitoring.alert_on_drift=false", "monitoring.new_data_share=null", "monitoring.min_days=3",
            "monitoring.min_cells=50")  # fmt: skip
    desk.promoted("2025-07-31T02:00:00Z")
    desk.look(*told, now=datetime(2025, 8, 7, 3, tzinfo=UTC))
    assert [a["cause"] for a in desk.latest["alerts"]] == ["degradation"]
    publish(*desk.judged)
    desk.serves(2)
    desk.promoted("2025-07-31T02:00:00Z", "2025-08-07T04:00:00Z")
    desk.brings(7, bad(desk))
    desk.look(*told, now=datetime(2025, 8, 8, 3, tzinfo=UTC))
    worse = desk.report()["degradation"]
    assert (worse["degraded"], worse["since"]) == (None, "2025-08-07")
    assert "too little has matured" in worse["reason"]
    assert desk.latest["alerts"] == []


def test_when_track_performance_is_off_then_nothing_is_scored(desk):
    desk.brings(7, bad(desk))
    assert desk.look("monitoring.track_performance=false") == OK
    report = desk.report()
    assert (report["models"], report["degradation"], report["status"]) == ([], None, "no_data")
    assert "degradation" not in {alert["cause"] for alert in report["alerts"]}
    assert len(desk.table("by_style")) == 0


def test_when_alert_on_degradation_is_off_then_it_is_measured_but_not_alarmed(desk):
    desk.brings(7, bad(desk))
    desk.look("monitoring.alert_on_degradation=false")
    assert desk.report()["degradation"]["degraded"] is True
    assert "degradation" not in {alert["cause"] for alert in desk.latest["alerts"]}


def test_when_the_threshold_is_raised_then_the_same_rise_is_no_degradation(desk):
    desk.brings(7, bad(desk))
    desk.look()
    assert desk.report()["degradation"]["degraded"] is True
    desk.look("monitoring.degradation_threshold=50.0")
    assert desk.report()["degradation"]["degraded"] is False


def test_when_the_window_is_changed_then_the_table_holds_its_days(desk):
    desk.brings(7)
    found = []
    for days in (3, 5):
        desk.look(f"monitoring.performance_window_days={days}")
        window = desk.report()["window"]
        found.append((window["first"], window["last"], desk.latest["n_periods"]))
    assert found == [("2025-08-05", "2025-08-07", 3), ("2025-08-03", "2025-08-07", 5)]


def test_when_the_feed_dies_then_drift_is_alarmed_and_when_no_data_comes_then_that(desk):
    desk.brings(14, lambda i, days: np.zeros(days))
    desk.look("monitoring.new_data_share=null")
    causes = {alert["cause"]: alert for alert in desk.latest["alerts"]}
    assert "level" in causes["drift"]["facts"]["measures"]
    desk.brings(0)
    desk.look("monitoring.stale_after_days=7", now=datetime(2025, 8, 7, tzinfo=UTC))
    assert desk.latest["alerts"] == []
    desk.look("monitoring.stale_after_days=7", now=datetime(2025, 8, 8, tzinfo=UTC))
    (alert,) = desk.latest["alerts"]
    assert (alert["cause"], alert["models"]) == ("data_stale", [])
    desk.look("monitoring.stale_after_days=7", now=datetime(2025, 8, 12, tzinfo=UTC))
    assert desk.latest["alerts"][0]["id"] == alert["id"]


def test_when_enough_new_data_has_come_then_it_is_alarmed_once_a_window(desk):
    ids = []
    for days in (5, 20, 21, 35):
        desk.brings(days)
        desk.look("monitoring.alert_on_drift=false", "monitoring.alert_on_degradation=false")
        ids.append([alert["id"] for alert in desk.latest["alerts"] if alert["cause"] == "new_data"])
    assert ids[0] == []
    assert ids[1] == ids[2] != ids[3]
    assert len(ids[1]) == len(ids[3]) == 1


def test_when_there_is_a_challenger_then_the_trial_is_reported(desk):
    live = desk.verdict.live
    fleet, race, verdict, outcomes = desk.judged
    desk.brings(7, lambda i, days: np.zeros(days))
    zero = replace(live, mean=live.mean * 0, quantiles=live.quantiles * 0)
    publish(fleet, race, replace(verdict, live=zero), outcomes)
    desk.serves(1, rolled_back_from=2)
    desk.registry.point("challenger", 2)
    desk.brings(7)
    desk.look("monitoring.trial_min_days=2", "monitoring.trial_level=0.2")
    report = desk.report()["trial"]
    assert (report["champion"], report["challenger"], report["n_periods"]) == (1, 2, 7)
    assert report["outcome"] == "keep the champion"
    assert report["same_origin"] is True
    assert report["paired"]["n_units"] == 24
    assert desk.latest["trial"] == report["words"]


def test_when_nothing_was_released_or_the_data_is_another_fleet_s_then_it_is_refused(desk, tmp_path, capsys):
    assert desk.look(f"storage.root={tmp_path / 'none'}") == REFUSED
    assert "pipeline first" in capsys.readouterr().err
    frame = desk.brings(3)
    frame["unique_id"] = "other-" + frame["unique_id"]
    frame.to_parquet(desk.source, index=False)
    assert desk.look() == REFUSED
    assert not (desk.root / "monitoring").exists()


def test_when_a_style_is_gone_from_the_source_then_its_cells_are_unknown_not_zero(desk):
    desk.brings(5, without=("S004", "S010"))
    desk.look()
    lead = desk.report()["models"][0]
    assert lead["n_styles"] == 22
    gone = next(one for one in desk.report()["drift"]["measures"] if one["measure"] == "new_styles")
    assert (gone["n_new"], gone["n_gone"]) == (0, 2)


def test_when_the_same_look_is_taken_twice_then_all_but_its_name_and_time_are_the_same(desk):
    desk.brings(7)
    desk.look()
    first = desk.report()
    desk.look(now=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1))
    second = desk.report()
    apart = ("monitor_id", "at")
    for report in (first, second):
        for alert in report["alerts"]:
            alert.pop("at")
    assert {k: v for k, v in first.items() if k not in apart} == {k: v for k, v in second.items() if k not in apart}


def test_when_the_release_before_is_no_longer_kept_then_its_days_are_not_scored_and_a_note_says_so(desk):
    publish(*desk.judged)
    desk.serves(2)
    desk.promoted("2025-07-31T02:00:00Z", "2025-08-04T02:00:00Z")
    shutil.rmtree(desk.registry.root / "releases" / "000001")
    desk.brings(6)
    assert desk.look() == OK
    report = desk.report()
    assert report["notes"] == ["release 1 is no longer kept: its periods are not scored"]
    assert (report["models"][0]["releases"], report["models"][0]["n_periods"]) == ([2], 3)


def test_when_a_name_is_taken_then_nothing_of_the_earlier_look_changes(desk):
    desk.brings(3)
    assert desk.look("run_id=mine") == OK
    before = {path.name: path.read_bytes() for path in (desk.root / "monitoring" / "mine").iterdir()}
    lines = desk.history()
    desk.brings(5)
    assert desk.look("run_id=mine") == REFUSED
    assert {path.name: path.read_bytes() for path in (desk.root / "monitoring" / "mine").iterdir()} == before
    assert desk.history() == lines
    assert list((desk.root / "monitoring" / "staging").iterdir()) == []


def test_when_the_source_holds_weeks_then_whole_weeks_are_scored(tmp_path):
    from tests.serve_app.looked import look_at
    from tests.serve_app.made import fleet_panel, make_release

    panel = fleet_panel(6, "W-SUN")
    root = make_release(tmp_path, panel=panel)
    look_at(root, panel, days=3)
    report = strict_json(tmp_path / "monitoring" / "look" / "monitoring.json")
    assert report["window"] == {"days": 30, "periods": 4, "first": "2025-08-31", "last": "2025-09-21"}
    assert (report["models"][0]["n_periods"], report["models"][0]["n"]) == (3, 18)
