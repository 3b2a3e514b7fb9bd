"""jobs.train with labels and jobs.substitutes, from the generated exports to what is written and said."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demand.company.demo import LABEL_NOISE, make_company
from demand.company.demo_files import write_company
from demand.errors import DataError
from demand.fleet import SyntheticSettings
from demand.moments import now_utc, stamp
from features.yarn_pairs import FEATURES
from jobs import backtest, compose, releases, rollback, substitutes, train
from jobs.decisions import Apart, due_apart, without_decisions
from jobs.entry import exit_code
from jobs.settings import Settings
from jobs.substitutes import ranked_frame
from jobs.supervised import Ended
from jobs.trained import all_fingerprints, outcome
from jobs.yarns import labelled_pairs, read_yarn_tables, with_model
from models.decision_release import decision_registry
from models.job import Ask, Job
from models.substitutes import open_substitutes
from models.yarn_substitution import KIND
from tests.jobs.conftest import embedded

pytestmark = pytest.mark.slow
ONLY = "only=[yarn_substitution]"
SERIAL = ("parallel_training=false", "progress=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The exports of a generated company: 200 yarns and 1,500 labels."""
    where = tmp_path_factory.mktemp("company")
    write_company(where, make_company(SyntheticSettings(styles=30, years=1), yarns=200, labels=1_500))
    return where


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A storage in which the classifier was trained."""
    storage = tmp_path_factory.mktemp("storage")
    told = [ONLY, f"company.folder={folder}", f"storage.root={storage}", "run_id=t", *SERIAL,
            f"substitution.label_noise={LABEL_NOISE}"]  # fmt: skip
    assert exit_code("train", train.body, told) == 0
    return storage


@pytest.fixture
def root(trained, tmp_path):
    """A copy of it for one test: what a test does to it concerns no other."""
    return Path(shutil.copytree(trained, tmp_path / "trained"))


@cache
def shipped():
    return compose.plain_values("train", [])


def settings_of(root, **values) -> Settings:
    """The shipped settings with others at dotted keys ("." written as "__")."""
    tree = copy.deepcopy(shipped())
    tree["storage"]["root"] = str(root)
    for path, value in values.items():
        *sections, last = path.split("__")
        node = tree
        for section in sections:
            node = node[section]
        node[last] = value
    return Settings.from_mapping(tree)


def registry(root):
    return decision_registry(str(root / "registry"), root / "cache", KIND)


def ask(root, folder, *told):
    return exit_code(
        "substitutes", substitutes.body, [f"company.folder={folder}", f"storage.root={root}", *SERIAL, *told]
    )


def read(root, run, name):
    return json.loads((root / "runs" / run / name).read_text(encoding="utf-8"))


def test_when_releases_are_listed_then_the_models_apart_are_there_with_what_they_measured(root, capsys):
    capsys.readouterr()
    assert exit_code("releases", releases.body, [f"storage.root={root}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    report = read(root, "t", "evaluation.json")
    (row,) = (line.split() for line in lines if line.startswith("1 "))
    assert row[2:] == ["champion", KIND, f"{report['accuracy']:.3f}", f"{report['target']:.3f}", "met"]
    assert f"rollback model={KIND}" in " ".join(lines)
    assert any(line.endswith("release 1 promoted") for line in lines)


def test_when_labels_are_given_then_a_judged_model_is_released_and_serves(root):
    report, summary = read(root, "t", "evaluation.json"), read(root, "t", "summary.json")
    assert report["accuracy"] >= 0.9
    assert report["target_met"]
    assert report["rule"]["accuracy"] < report["accuracy"] <= report["bound"] + 0.02
    assert report["majority"]["accuracy"] < report["rule"]["accuracy"]
    assert report["calibration_error"] < 0.05
    released = registry(root).open(summary["release"])
    assert registry(root).promotions()[0]["release"] == summary["release"] == 1
    (entry,) = registry(root).history()
    assert (
        entry["metrics"]["accuracy"] == report["accuracy"] == released.manifest["models"][KIND]["metrics"]["accuracy"]
    )
    assert [name for name, _ in entry["top_features"]] != []
    assert set(entry["feature_columns"]) == set(FEATURES)
    assert sum(report["labels"][name] for name in report["labels"] if name != "labels") == report["labels"]["labels"]
    assert not (root / "registry" / "releases").exists()  # the fleet's own registry is not touched


def test_when_the_training_was_asked_for_then_its_job_ends_with_what_changed(root, folder):
    settings = settings_of(root, company__folder=str(folder))
    ask_ = Ask((KIND,), only=(KIND,), force=True)
    job = Job("000001-00000000", ask_, "running", "", stamp(now_utc()), stamp(now_utc()), run_id="t")
    done = outcome(job, settings, Ended(0, False, ()), {})
    assert (done.status, done.release, done.models_retrained) == ("success", 1, (KIND,))
    assert done.metrics["action_accuracy"] == read(root, "t", "evaluation.json")["accuracy"]
    same = outcome(job, settings, Ended(0, False, ()), all_fingerprints(settings))
    assert (same.status, same.models_retrained) == ("partial", ())
    both = replace(job, ask=replace(ask_, only=("arima", KIND)))
    part = outcome(both, settings, Ended(1, False, ()), {})
    assert part.status == "partial"
    assert part.errors == ("arima: it was not trained",)


def test_when_it_is_only_scored_then_the_figures_are_the_same_and_nothing_is_released(root, folder, capsys):
    told = [ONLY, f"company.folder={folder}", f"storage.root={root}", "run_id=scored", *SERIAL]
    assert exit_code("backtest", backtest.body, told) == 0
    assert "Accuracy  0.9" in capsys.readouterr().out
    assert (
        read(root, "scored", "evaluation.json")["evaluation_id"] == read(root, "t", "evaluation.json")["evaluation_id"]
    )
    assert registry(root).numbers() == [1]


def test_when_all_that_are_short_are_asked_for_then_the_table_the_files_and_the_release_agree(root, folder, capsys):
    assert ask(root, folder, "run_id=all", "top=3") == 0
    told = capsys.readouterr().out
    assert max(map(len, (line for line in told.splitlines() if "/" not in line))) <= 80
    frame = pd.read_parquet(root / "runs" / "all" / "substitutes.parquet")
    facts = read(root, "all", "substitutes.json")
    n = facts["yarns"]
    assert n["in"] == n["with_candidates"] + n["without"] + n["not_readable"]
    assert n["with_candidates"] == frame["yarn"].nunique()
    enough = frame[frame["recommended"] & (frame["stock_lb"] >= frame["shortage_lb"])]["yarn"].nunique()
    assert n["with_enough_of_it"] == enough <= n["with_a_recommended_one"]
    assert frame.groupby("yarn")["rank"].apply(lambda rank: list(rank) == list(range(1, len(rank) + 1))).all()
    assert frame["rank"].max() <= 3
    assert (frame["made_by"] == KIND).all()
    assert frame["probability"].between(0, 1).all()
    assert (frame["stock_lb"] > 0).all()
    assert set(FEATURES) <= set(frame.columns)
    as_text = pd.read_csv(root / "runs" / "all" / "substitutes.csv", dtype={"yarn": str, "substitute": str})
    assert as_text["substitute"].tolist() == frame["substitute"].tolist()
    champion = registry(root).open("champion")
    assert champion.number == 2
    assert champion.manifest["models"] == registry(root).open(1).manifest["models"]
    assert len(registry(root).history()) == 1  # nothing was trained


def test_when_one_yarn_is_asked_for_then_its_candidates_are_told_and_nothing_is_released(root, folder, capsys):
    assert ask(root, folder, "run_id=whole") == 0
    before = registry(root).numbers()
    whole = pd.read_parquet(root / "runs" / "whole" / "substitutes.parquet")
    yarn = whole["yarn"].iloc[0]
    capsys.readouterr()
    assert ask(root, folder, f"yarn={yarn}", "top=2", "run_id=one") == 0
    told = capsys.readouterr().out
    assert f"Yarn      {yarn}:" in told
    assert "short by" in told
    frame = pd.read_parquet(root / "runs" / "one" / "substitutes.parquet")
    assert frame["substitute"].tolist() == whole.loc[whole["yarn"] == yarn, "substitute"].tolist()[:2]
    assert registry(root).numbers() == before


def test_when_there_is_no_model_then_the_rule_answers_and_signs(folder, tmp_path, capsys):
    assert ask(tmp_path, folder, "run_id=r") == 0
    assert "Signed    rule" in capsys.readouterr().out
    frame = pd.read_parquet(tmp_path / "runs" / "r" / "substitutes.parquet")
    assert (frame["made_by"] == "rule").all()
    assert frame["probability"].isna().all()
    assert registry(tmp_path).open("champion").manifest["served"] == "rule"


def test_when_enable_ml_is_false_then_the_rule_answers_though_there_is_a_model(root, folder):
    assert ask(root, folder, "enable_ml=false", "run_id=off", "yarn=18003") == 0
    assert (pd.read_parquet(root / "runs" / "off" / "substitutes.parquet")["made_by"] == "rule").all()


def test_when_the_rule_ranks_once_then_the_trained_classifier_is_kept_and_ranks_in_the_next_run(root, folder, tmp_path):
    shutil.copytree(root, tmp_path / "s")
    trained = registry(root).open("champion").manifest["models"]
    assert ask(tmp_path / "s", folder, "enable_ml=false", "run_id=ruled") == 0
    ruled = registry(tmp_path / "s").open("champion")
    assert (ruled.manifest["served"], ruled.manifest["models"]) == ("rule", trained)
    assert open_substitutes(ruled).made_by == "rule"
    assert ask(tmp_path / "s", folder, "run_id=again") == 0
    assert (pd.read_parquet(tmp_path / "s" / "runs" / "again" / "substitutes.parquet")["made_by"] == KIND).all()
    again = registry(tmp_path / "s").open("champion")
    assert (again.manifest["served"], again.manifest["models"]) == (KIND, trained)
    assert open_substitutes(again).made_by == KIND


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["yarn=nobody"], "no such yarn"),
        (["company.folder=null"], "no_data: there are no yarns"),
        (["substitution.weight_close=0.1"], "weight_band"),
    ],
)
def test_when_substitutes_cannot_be_found_then_the_code_is_2_and_nothing_is_written(
    folder, tmp_path, capsys, told, said
):
    if told[0].startswith("company.folder"):
        assert exit_code("substitutes", substitutes.body, [f"storage.root={tmp_path}", *SERIAL]) == 2
    else:
        assert ask(tmp_path, folder, *told) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("labels", "told", "code", "said"),
    [
        (None, [], 2, "no_data: nothing to learn from"),
        ("yarn_a,yarn_b,is_substitutable\nx,y,1\n", [], 2, "no label is about two yarns"),
        ("yarn_a,yarn_b,is_substitutable\n18001,18002,1\n18003,18001,0\n", [], 1, "Insufficient data"),
        (None, ["models.yarn_substitution.enabled=false"], 2, "disabled"),
    ],
)
def test_when_nothing_can_be_learned_then_it_is_said_and_nothing_serves(
    folder, tmp_path, capsys, labels, told, code, said
):
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("yarn_master.csv", "yarn_stock.csv"):
        (tables / name).write_bytes((folder / name).read_bytes())
    if labels is not None:
        (tables / "labels.csv").write_text(labels, encoding="utf-8")
    arguments = [ONLY, f"company.folder={tables}", f"storage.root={tmp_path / 's'}", *SERIAL, *told]
    assert exit_code("train", train.body, arguments) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert registry(tmp_path / "s").alias("champion") is None
    failed = [entry["status"] for entry in registry(tmp_path / "s").history()]
    assert failed == (["failed"] if code == 1 else [])


def test_when_a_model_was_trained_then_it_is_not_due_before_its_time_unless_it_is_forced(root, folder):
    told = settings_of(root, only=["yarn_substitution"], company__folder=str(folder))
    idle = due_apart(told, now_utc())
    assert idle.train == ()
    assert "force=true" in idle.idle[KIND]
    assert KIND in due_apart(settings_of(root, company__folder=str(folder), force=True), now_utc()).train
    assert due_apart(settings_of(root, company__folder=str(folder), due=[KIND]), now_utc()).train == (KIND,)
    assert due_apart(settings_of(root, company__folder=str(folder), due=["arima"]), now_utc()).train == ()
    assert due_apart(settings_of(root), now_utc()) == Apart()  # no tables, not asked for
    assert without_decisions(told) is None
    assert without_decisions(settings_of(root, only=["arima", KIND])).only == ("arima",)


def test_when_a_training_was_held_back_then_the_next_is_due_when_its_time_has_come(folder, tmp_path):
    settings, now = settings_of(tmp_path, company__folder=str(folder)), datetime(2025, 9, 10, tzinfo=UTC)
    entry = {"model_type": KIND, "trained_at": stamp(now - timedelta(days=1))}
    registry(tmp_path).append_history([entry | {"status": "failed"}])
    assert KIND in due_apart(settings, now).train
    registry(tmp_path).append_history([entry | {"status": "success", "release": 1, "promotion": {"passed": False}}])
    assert "trained on 2025-09-09" in due_apart(settings, now).idle[KIND]
    assert KIND in due_apart(settings, now + timedelta(days=40)).train


def test_when_a_key_of_substitution_changes_then_so_does_what_is_ranked(folder, tmp_path):
    bare = settings_of(tmp_path, company__folder=str(folder), parallel_training=False)

    def frame_of(**more):
        settings = settings_of(tmp_path, company__folder=str(folder), parallel_training=False,
                               **{f"substitution__{name}": value for name, value in more.items()})  # fmt: skip
        answering = with_model(read_yarn_tables(settings), settings, None)
        return ranked_frame(answering, np.arange(len(answering.yarns)), settings)[0]

    assert bare.substitution.max_candidates == 100
    plain = frame_of()
    for more in (
        {"colors": {"X": []}}, {"fibers": {"cotton": []}}, {"weight_close": 0.85}, {"weight_match": 0.91},
        {"weight_band": 0.5}, {"material_points": 30}, {"available_lb": 5000}, {"min_stock_lb": 2000},
        {"on_time_prior": 0.5}, {"min_orders": 15}, {"max_candidates": 1}, {"rule_threshold": 0.99},
        {"rule_color": 0.9},
    ):  # fmt: skip
        assert not frame_of(**more).equals(plain), more


def test_when_yarns_are_rolled_back_then_the_release_before_answers_and_the_fleet_is_untouched(root, folder, capsys):
    assert ask(root, folder) == 0  # the yarns as they are today are a release of their own
    champion = registry(root).alias("champion")
    told = [f"storage.root={root}", "model=yarn_substitution", "release=1", "reason=odd"]
    assert exit_code("rollback", rollback.body, told) == 0
    assert registry(root).alias("champion") == 1 != champion
    assert exit_code("rollback", rollback.body, [f"storage.root={root}", "model=arima"]) == 2
    assert "as a whole" in capsys.readouterr().err


@pytest.mark.ray
def test_when_batches_run_on_ray_then_the_table_is_that_of_one_process(root, folder, monkeypatch):
    assert ask(root, folder, "run_id=serial") == 0
    monkeypatch.setattr(substitutes, "YARNS_AT_ONCE", 7)
    monkeypatch.setattr(substitutes, "cluster", embedded)
    assert exit_code("substitutes", substitutes.body, [
        f"company.folder={folder}", f"storage.root={root}", "run_id=ray", "cluster.num_cpus=2", "max_parallel_jobs=2",
    ]) == 0  # fmt: skip
    one, other = (pd.read_parquet(root / "runs" / run / "substitutes.parquet") for run in ("serial", "ray"))
    pd.testing.assert_frame_equal(one, other)
    assert np.isfinite(one["score"]).all()


def test_when_rows_of_the_tables_are_left_out_then_the_terminal_says_how_many_and_why(folder, tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("yarn_master.csv", "yarn_stock.csv"):
        (tables / name).write_bytes((folder / name).read_bytes())
    (tables / "labels.csv").write_text("yarn_a,yarn_b,is_substitutable\n1,2,yes\n1,3,perhaps\n2,3,no\n4,5,maybe\n")
    found = read_yarn_tables(settings_of(tmp_path, company__folder=str(tables)))
    said = found.lost_lines("labels", "purchase_orders")
    assert said == ["Read      substitution labels: 2 of 4 rows left out (label is neither yes nor no: 2)"]


UNFIT = {  # of the labels' file -> the words of the one message
    "no answer": (lambda labels: labels.assign(is_substitutable="maybe"), "neither yes nor no: "),
    "both answers": (
        lambda labels: pd.concat([labels.assign(is_substitutable=word) for word in ("yes", "no")]), "contradict"),
    "one yarn twice": (lambda labels: labels.assign(yarn_b=labels["yarn_a"]), "left_out"),
    "strangers": (lambda labels: labels.assign(yarn_a="X1"), "X1 and "),
    "no such column": (lambda labels: labels.drop(columns="is_substitutable"), "substitution_labels.csv: not used"),
    "header only": (lambda labels: labels.iloc[:0], "substitution_labels.csv: the file has a header and no rows"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_when_no_label_can_be_used_then_the_message_says_what_became_of_them(what, folder, tmp_path):
    where = Path(shutil.copytree(folder, tmp_path / "company"))
    change, words = UNFIT[what]
    change(pd.read_csv(where / "substitution_labels.csv", dtype=str)).to_csv(
        where / "substitution_labels.csv", index=False
    )
    settings = settings_of(tmp_path, company__folder=str(where))
    with pytest.raises(DataError) as caught:
        labelled_pairs(read_yarn_tables(settings), settings)
    assert words in str(caught.value.facts)
    assert caught.value.hint
    assert "yarn_a', 'yarn_b'" not in str(caught.value.facts)


def test_when_the_stock_file_is_empty_then_the_message_names_it(folder, tmp_path, capsys):
    where = Path(shutil.copytree(folder, tmp_path / "company"))
    (where / "yarn_stock.csv").write_text("")
    assert ask(tmp_path, where) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "missing_table: - yarn stock" in said
    assert "yarn_stock.csv: the file is empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["company"]
