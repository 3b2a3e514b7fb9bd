"""`python -m jobs.config`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import copy
import json
from datetime import datetime

import pytest
import yaml

from jobs import compose, config
from jobs.settings import Settings

MONDAY = datetime(2025, 9, 8, 12, 0)


@pytest.fixture(scope="module")
def plain():
    return compose.plain_values("config", [])


@pytest.fixture
def settings(plain, tmp_path):
    """Makes settings whose storage is a temporary folder; keys as `section.key`."""

    def make(**values):
        tree = copy.deepcopy(plain)
        tree["storage"]["root"] = str(tmp_path / "storage")
        for key, value in values.items():
            *sections, last = key.split("__")
            node = tree
            for section in sections:
                node = node[section]
            node[last] = value
        return Settings.from_mapping(tree)

    return make


def section(text, title):
    """The lines below a heading, up to the next blank line."""
    blocks = [block for block in text.split("\n\n") if block.startswith(title)]
    assert len(blocks) == 1, title
    return blocks[0]


def printed(settings, now=MONDAY):
    lines = list(config.lines(settings, now))
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


def test_when_all_is_well_then_the_report_has_every_part(settings):
    text = printed(settings())
    assert "0 errors, 0 warnings" in text
    assert "Enabled models: 15 of 15" in text
    assert "0.15" in section(text, "Targets")
    assert "none yet" in section(text, "Measured")
    schedule = section(text, "Schedule, UTC")
    assert "0 4 1,15 * *" in schedule
    assert "lstm, inventory_optimization" in schedule


def test_when_a_day_is_asked_for_then_that_day_is_shown_and_not_today(settings):
    today = section(printed(settings()), "Due on Monday 2025-09-08")
    asked = section(printed(settings(due_on="2025-09-02")), "Due on Tuesday 2025-09-02")
    assert "arima, prophet, xgboost, ensemble" in today
    assert asked.splitlines()[1].strip() == "xgboost"


def test_when_a_due_model_is_disabled_then_it_is_said(settings):
    due = section(printed(settings(due_on="2025-09-15", models__arima__enabled=False)), "Due on")
    listed, told = due.splitlines()[1], " ".join(due.splitlines()[2:])
    assert "arima" not in listed
    assert "inventory_optimization" in listed
    assert "arima" in told


def test_when_nothing_is_due_then_it_says_nothing(settings):
    text = printed(settings(due_on="2025-09-02", schedule__daily=[]))
    assert section(text, "Due on").splitlines()[1].strip() == "nothing"


def test_when_a_model_is_disabled_then_it_is_not_listed_as_enabled(settings):
    models = section(printed(settings(models__lstm__enabled=False)), "Enabled models: 14 of 15")
    assert "disabled: lstm" in models


def test_when_there_are_warnings_then_they_are_counted_and_shown(settings):
    text = printed(settings(max_parallel_jobs=10_000, models__arima__retrain_frequency_days=60))
    head = text.split("\n\n")[0]
    assert "0 errors, 2 warnings" in head
    assert "max_parallel_jobs is 10000" in head
    assert "models.arima.retrain_frequency_days is 60" in head


def stored_backtest(root, run_id, timestamp, **comparison):
    folder = root / "runs" / run_id
    folder.mkdir(parents=True)
    content = {"timestamp": timestamp, "summary": {"model_comparison": comparison}}
    (folder / "backtest.json").write_text(json.dumps(content))


def test_when_evaluations_are_stored_then_the_newest_is_shown_best_first(settings, tmp_path):
    root = tmp_path / "storage"
    row = {"mape": None, "rmse": 12.5, "r2": 0.25, "status": "success"}
    stored_backtest(root, "old", "2025-09-01T00:00:00Z", naive={"wape": 0.111, **row})
    stored_backtest(
        root, "new", "2025-09-02T00:00:00Z",
        naive={"wape": 0.9, **row}, arima={"wape": 0.625, **row}, zero={"wape": None, **row},
    )  # fmt: skip
    measured = section(printed(settings()), "Measured").splitlines()
    assert "run new, 2025-09-02T00:00:00Z, 2 evaluations stored" in measured[1]
    assert [line.split()[0] for line in measured[3:]] == ["arima", "naive", "zero"]
    assert measured[3].split() == ["arima", "0.625", "-", "12.500", "0.250", "success"]


@pytest.mark.parametrize("text", ["{", "[]", '{"timestamp": 1}'])
def test_when_a_stored_evaluation_is_damaged_then_it_is_named_and_the_report_goes_on(settings, tmp_path, text):
    folder = tmp_path / "storage" / "runs" / "bad"
    folder.mkdir(parents=True)
    (folder / "backtest.json").write_text(text)
    measured = section(printed(settings()), "Measured")
    assert "bad/backtest.json cannot be read" in measured
    assert "none yet" in measured


def test_when_it_ends_well_then_both_files_are_there_and_read_back(settings, tmp_path, capsys):
    made = settings(models__xgboost__hyperparameters={"max_depth": 3})
    assert config.report(made) == 0
    root = tmp_path / "storage"
    assert sorted(path.name for path in root.iterdir()) == ["config.json", "config.yaml"]
    content = json.loads((root / "config.json").read_text())
    assert set(content) == {"global", "models", "schedule", "benchmarks", "updated_at"}
    assert content["models"]["xgboost"]["hyperparameters"] == {"max_depth": 3}
    assert Settings.from_mapping(yaml.safe_load((root / "config.yaml").read_text())) == made
    assert "config.json, config.yaml" in capsys.readouterr().out


def test_when_one_model_is_asked_for_then_only_its_13_fields_are_printed_and_nothing_is_written(
    settings, tmp_path, capsys
):
    assert config.report(settings(show="lstm")) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert list(shown) == ["lstm"]
    assert len(shown["lstm"]) == 13
    assert shown["lstm"]["hyperparameters"]["units"] == [128, 64, 32]
    assert not (tmp_path / "storage").exists()


def test_when_the_settings_are_wrong_then_all_faults_are_told_and_the_exit_code_is_2(capsys):
    with pytest.raises(SystemExit) as ended:
        config.main(["horizon=0", "models.arima.validation_split=0.95"])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "horizon" in shown.err
    assert "validation_split + test_split" in shown.err
    assert shown.out == ""


def test_when_the_storage_cannot_be_written_then_the_exit_code_is_2(settings, tmp_path, capsys, monkeypatch):
    made = settings()
    (tmp_path / "storage").write_text("a file where the folder should be")
    monkeypatch.setattr(compose, "load", lambda job, argv: made)
    with pytest.raises(SystemExit) as ended:
        config.main([])
    assert ended.value.code == 2
    assert "StorageError" in capsys.readouterr().err
