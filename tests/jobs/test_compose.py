"""Arguments and YAML files to settings, through Hydra; a user's own folder is read as hostile text first."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from demand.errors import SettingsError
from jobs import compose
from jobs.own_folder import CONF, MAX_BYTES, MAX_DEPTH, MAX_FILES, MAX_REFERENCES, own_files
from jobs.settings import Settings
from models.catalog import LEARNED
from models.tabular.settings import FineTuneSettings

ROOT = CONF.parent
JOBS = ("pipeline", "ingest", "train", "backtest", "forecast", "config", "releases", "rollback", "promote", "evaluate",
        "serve", "token", "retrain", "schedule", "monitor", "finetune", "substitutes", "replenish", "tune",
        "automl")  # fmt: skip
OWN = {
    "pipeline": {"decisions": False, "tuned": None},
    "config": {"show": None, "due_on": None},
    "rollback": {"release": None, "promoted_model": None, "reason": None, "alias": "champion"},
    "promote": {"release": None, "promoted_model": None, "styles": None, "reason": None, "alias": "champion"},
    "evaluate": {"release": "champion"},
    "backtest": {"release": None, "tuned": None},
    "token": {"name": None, "role": None, "days": 90, "revoke": None},
    "train": {"due": None, "tuned": None},
    "retrain": {"job": None},
    "schedule": {"once": False, "dry": False, "until": None},
    "substitutes": {"yarn": None, "top": 10},
    "tune": {
        "defaults": [
            "base", *({f"space@tuning.space.{one}": one} for one in LEARNED), "_self_", {"experiment": None},
        ],
        "folds": {"inner": 3},
    },
    "automl": {
        "defaults": [
            "base", *({f"space@tuning.space.{one}": one} for one in LEARNED), "_self_", {"experiment": None},
        ],
        "budget": None,
        "folds": {"inner": 4},
    },
    "finetune": {"finetune": {
        **{one.name: list(one.default) if isinstance(one.default, tuple) else one.default
           for one in fields(FineTuneSettings)},
        "min_training_samples": "${min_training_samples}", "max_training_samples": "${max_training_samples}",
        "random_state": "${seed}",
    }},
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """Writes a file into an own folder and returns the folder."""

    def write(place, text):
        path = tmp_path / "own conf" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "own conf"

    return write


def test_when_a_job_is_asked_bare_then_its_settings_are_valid():
    assert compose.load("train", []).folds.n == 5
    shared = {"defaults": ["base", "_self_", {"experiment": None}]}
    for job in JOBS:  # composing each takes half a second; what they say is the same
        said = yaml.safe_load((CONF / f"{job}.yaml").read_text(encoding="utf-8"))
        assert said == shared | OWN.get(job, {})


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_when_an_experiment_is_chosen_then_its_settings_are_valid_and_its_values_are_there(experiment):
    settings = compose.load("pipeline", [f"experiment={experiment}"])
    wanted = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8"))
    alone = {key: value for key, value in wanted.items() if not isinstance(value, dict)}
    for key, value in alone.items():
        found = getattr(settings, key)
        assert (list(found) if isinstance(found, tuple) else found) == value


def test_when_keys_are_set_then_hydras_grammar_is_understood_and_no_folder_is_touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = compose.load(
        "train",
        ["only=[arima,xgboost]", "cluster=auto", "cross_validation_folds=1",
         "models.arima.hyperparameters.p=1", "models.arima.training_params.max_history=90",
         "~models.lstm",
         "cleaning.unit_table={KG: 2.2}", "columns.style=Style #", "columns.date=Invoice Date", "experiment=smoke",
         "source.path=postgresql://u:p@h/db?x=1", "folds.inner=0"],
    )  # fmt: skip
    assert settings.only == ("arima", "xgboost")
    assert (settings.folds.n, settings.folds.inner) == (1, 0)
    assert settings.models["arima"].hyperparameters["p"] == 1
    assert settings.models["arima"].training_params["max_history"] == 90  # in no file, but known to the recipe
    assert "lstm" not in settings.models
    assert settings.cluster.address == "auto"
    assert settings.cleaning.unit_table == {"KG": 2.2}
    assert (settings.columns.style, settings.columns.date) == ("Style #", "Invoice Date")
    assert settings.source.path == "postgresql://u:p@h/db?x=1"
    assert (Path.cwd(), list(tmp_path.iterdir())) == (tmp_path, [])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["hoziron=3"], "Did you mean horizon?"),
        (["~foldz"], "Did you mean folds?"),
        (["models.xgbost.hyperparameters.max_depth=3", "models.arima.hyperparameters.pp=3"], "did you mean 'xgboost'"),
        (["folds=holdout", "folds.n=2"], "a holdout has one origin"),
        (["cleaning.outlier_action=cap", "cleaning.outlier_method=isolation_forest"], "iqr or zscore"),
        (["experiment=smok"], "nearest='smoke'"),
        (["+experiment=smoke"], "Leave out the"),
        (["due_on=2025-09-15"], "jobs.config"),
        (["release=1"], "jobs.rollback"),
        (["role=read"], "jobs.token"),
        (["+models.arima._target_=os.system"], "never name code"),
        (["source.path=${nope}", "~models.tsb"], "nope"),
    ],
)
def test_when_a_setting_does_not_fit_then_it_is_refused_with_the_next_step(arguments, named):
    with pytest.raises(SettingsError) as caught:
        compose.load("train", arguments)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("found", "nearest"),
    [
        ("lag_periods", "features.lag_periods"),
        ("features.lag_period", "features.lag_periods"),
        ("retries", "schedule.retries"),
        ("schedul", "schedule"),
        ("sed", "seed"),
        ("zzzz", None),
    ],
)
def test_when_a_key_is_unknown_then_the_nearest_is_found_by_its_whole_path_or_its_last_part(found, nearest):
    known = ("seed", "features.lag_periods", "features.rolling_windows", "schedule.retries", "schedule.daily")
    hint = compose.unknown_key(found, known).hint
    assert hint == (f"Did you mean {nearest}?" if nearest else "See --help")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["only=arima,prophet"], "A list is"),
        (["horizon=range(1,5)"], "one value a key"),
        (["only=[arima"], "cannot be read"),
        (["horizon"], "cannot be read"),
        ([""], "cannot be read"),
        (["a=" + "[" * 300], "cannot be read"),
        (["a=" + "x" * 5000], "too long"),
        (["hydra.run.dir=/"], "Hydra itself"),
        (["+hydra.run.dir=/"], "Hydra itself"),
        (["hydra/launcher=x"], "Hydra itself"),
        (["hydra={run: {dir: /}}"], "Hydra itself"),
        (["hydra.searchpath=[/]"], "Hydra itself"),
        (["--model", "xgboost"], "only="),
        (["--verbose"], "log_level=DEBUG"),
        (["--multirun"], "--help"),
        (["--config-dir"], "one folder"),
        (["--config-dir", "nowhere-at-all"], "does not exist"),
    ],
)
def test_when_an_argument_is_no_setting_of_ours_then_it_is_refused_before_hydra_composes(arguments, named):
    with pytest.raises(SettingsError) as caught:
        compose.load("train", arguments)
    assert named in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"[+~]*[a-z.@/]{1,6}=[\[\]{}(),'\"$:a-z0-9=#]{0,12}", fullmatch=True))
def test_when_any_text_is_given_then_it_is_read_or_refused_but_never_crashes(text):
    try:
        read = compose._read(text, "train")
    except SettingsError:
        return
    assert "=" in read or read.startswith("~")


@pytest.mark.slow
@profile(max_examples=25)
@given(
    st.sampled_from(["horizon", "models", "source", "folds", "only", "folds.n", "schedule.triggers", "+x", "~models"]),
    st.sampled_from(["", "null", "3", "-1", "[]", "{}", "{a: {b: 1}}", "${horizon}", "${a.b}", "???", "x y", "1e999"]),
)
def test_when_any_value_meets_any_key_then_there_are_settings_or_one_clear_error(key, value):
    with suppress(SettingsError):
        assert isinstance(compose.load("train", [f"{key}={value}"]), Settings)


# ---- an own folder --------------------------------------------------------------------------------------------------


def test_when_an_own_file_has_a_shipped_name_then_it_takes_its_place(own):
    text = (CONF / "model" / "xgboost.yaml").read_text(encoding="utf-8")
    folder = own("model/xgboost.yaml", re.sub(r"max_depth: \d+", "max_depth: 3", text))
    settings = compose.load("train", ["--config-dir", str(folder)])
    assert settings.models["xgboost"].hyperparameters["max_depth"] == 3
    assert settings.models["arima"].hyperparameters["p"] == 2


def test_when_an_own_file_is_added_then_it_can_be_chosen(own):
    own("experiment/mine.yaml", "# @package _global_\nhorizon: 11\n")
    folder = own("source/erp.yaml", "path: exports\n")
    settings = compose.load("train", [f"--config-dir={folder}", "experiment=mine", "source=erp"])
    assert (settings.horizon, settings.source.path) == (11, "exports")


@pytest.mark.slow
def test_when_an_own_file_has_an_unknown_key_then_the_nearest_is_named(own):
    folder = own("folds/rolling.yaml", "n: 3\nstp: 1\n")
    with pytest.raises(SettingsError, match="did you mean 'step'"):
        compose.load("train", ["--config-dir", str(folder)])


@pytest.mark.slow
def test_when_an_own_experiment_has_no_package_line_then_the_message_says_so(own):
    folder = own("experiment/mine.yaml", "horizon: 11\n")
    with pytest.raises(SettingsError, match="@package _global_"):
        compose.load("train", ["--config-dir", str(folder), "experiment=mine"])


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("place", "text", "named"),
    [
        ("source/erp.yaml", BOMB, "aliases"),
        ("source/erp.yaml", "path: !!python/object/apply:os.system [ls]\n", "tags"),
        ("source/erp.yaml", "path: " + "x" * MAX_BYTES, "too large"),
        ("source/erp.yaml", "path: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested"),
        ("source/erp.yaml", "path: [", "not YAML"),
        ("source/erp.yaml", "path: a\n\tb: c", "not YAML"),
        ("source/erp.yaml", "- path", "keys and values"),
        ("source/erp.yaml", b"path: \xff\xfe", "cannot be read"),
        ("source/erp.yaml", b"path: a\x00b", "not YAML"),
        ("source/erp.yaml", "a: ${b}${b}\n" * MAX_REFERENCES, "references"),
        ("source/erp.yaml", "path: x\nhydra: {run: {dir: /}}\n", "Hydra itself"),
        ("source/erp.yaml", "# @package hydra\nrun: x\n", "Hydra itself"),
        ("train.yaml", "defaults:\n  - base\n  - override hydra/job_logging: none\n", "Hydra itself"),
        ("train.yaml", "defaults: [base, _self_]\nhydra: {searchpath: [/]}\n", "Hydra itself"),
        ("sorce/erp.yaml", "path: x\n", "nearest='source'"),
        ("tran.yaml", "path: x\n", "nearest='train.yaml'"),
        ("source/erp.yml", "path: x\n", "no effect"),
        ("source/deep/erp.yaml", "path: x\n", "no effect"),
        ("notes.txt", "path: x\n", "no .yaml file"),
    ],
)
def test_when_an_own_file_is_hostile_or_without_effect_then_it_is_refused_before_hydra_reads_it(
    own, place, text, named
):
    with pytest.raises(SettingsError) as caught:
        own_files(own(place, text))
    assert named in str(caught.value)


@pytest.mark.parametrize("values", [{"source": {"_target_": "os.system"}}, {"a": [{"b": {"_partial_": True}}]}])
def test_when_any_value_names_code_then_it_is_refused_wherever_it_stands(values):
    with pytest.raises(SettingsError, match="never name code"):
        compose._refuse_targets(values, "")


def test_when_there_are_too_many_own_files_then_they_are_refused(own):
    for k in range(MAX_FILES + 1):
        folder = own(f"source/s{k}.yaml", "path: x\n")
    with pytest.raises(SettingsError, match="too many files"):
        own_files(folder)


def test_when_the_shipped_folder_itself_is_given_then_it_passes():
    assert own_files(CONF)["base.yaml"] == (CONF / "base.yaml").read_text(encoding="utf-8")


@given(st.text(max_size=60))
def test_when_an_own_file_is_any_text_then_it_passes_or_is_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("own")
    (folder / "source").mkdir()
    (folder / "source" / "erp.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(SettingsError):
        assert list(own_files(folder)) == ["source/erp.yaml"]


# ---- the shipped files, the help, a new process ---------------------------------------------------------------------


def test_when_the_shipped_files_are_searched_then_none_names_code_and_none_is_absolute():
    for path in CONF.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "_target_" not in text
        assert not re.search(r":\s+/", text), path


@pytest.mark.slow
def test_when_help_is_asked_then_every_key_is_listed_within_80_columns():
    jobs = ("config", "promote", "token", "train", "retrain", "schedule", "finetune", "substitutes", "pipeline", "tune",
            "automl")  # fmt: skip
    text = "\n".join(map(compose.help_text, jobs))
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    hints = get_type_hints(Settings)
    for name in hints.keys() - {"models", "benchmarks"}:
        keys = [key.name for key in fields(hints[name])] if is_dataclass(hints[name]) else [name]
        for key in set(keys) - {"triggers", "colors", "fibers", "space"}:
            said = {"promoted_model": "model"}.get(key, key)
            assert f" {said}=" in words, f"{name}.{key}"


@pytest.mark.slow
def test_when_a_file_is_edited_then_a_new_process_sees_it(own):
    text = (CONF / "model" / "xgboost.yaml").read_text(encoding="utf-8")
    seen = []
    for depth in (6, 3):
        folder = own("model/xgboost.yaml", re.sub(r"max_depth: \d+", f"max_depth: {depth}", text))
        command = [sys.executable, "-m", "jobs.config", "--config-dir", str(folder), "show=xgboost"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        seen.append(yaml.safe_load(done.stdout)["xgboost"]["hyperparameters"]["max_depth"])
    assert seen == [6, 3]


@pytest.mark.slow
def test_when_one_model_is_named_then_it_is_promoted_and_other_jobs_say_how_they_are_told() -> None:
    assert compose.load("promote", ["model=xgboost"]).promoted_model == "xgboost"
    with pytest.raises(SettingsError) as caught:
        compose.load("train", ["model=xgboost"])
    assert caught.value.facts["found"] == "model"
    assert caught.value.hint == "It is one of jobs.promote and rollback; which models run is said by only=[MODEL]"
    assert compose.load("promote", ["release=previous"]).release == "previous"
    for wrong in ("release=0", "release=-1", "release=newest", "release=1.5", "release=true"):
        with pytest.raises(SettingsError, match="the number of a release, or champion, challenger, previous"):
            compose.load("promote", [wrong])


def test_when_storage_is_a_folder_then_it_is_the_root() -> None:
    assert compose.load("config", ["storage=some/place"]).storage.root == "some/place"
    assert compose.load("config", ["storage=default"]).storage.root == "storage"


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (["hörizon=3"], "Did you mean horizon?"),
        (["horizon=3", "horizon=4"], "more than once"),
        (["~source", "source.path=x"], "cannot be removed"),
        (["cluster.num_cpus=0"], "auto or a whole number"),
        (["only=[]"], "no model is asked for"),
        (["storage.training_registry=registry"], "folders of their own"),
        (["storage.training_registry=registry/runs"], "folders of their own"),
        (["storage.registry_url=http://host/releases"], "storage.registry_url"),
        (["storage.registry_url=s3://bucket/../other"], "storage.registry_url"),
        (["storage.cache=s3://bucket/cache"], "must name a folder"),
    ],
)
def test_when_a_setting_cannot_act_as_it_is_said_then_it_is_refused_in_plain_words(told, sentence):
    with pytest.raises(SettingsError) as error:
        compose.load("train", told)
    assert sentence in str(error.value)
    assert "literal[" not in str(error.value)
