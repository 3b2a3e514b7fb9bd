"""From a job's arguments to its Settings; Hydra and OmegaConf are used here and nowhere else."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demand.errors import SettingsError
from demand.settings import nearest_name
from jobs.checks import check
from jobs.own_folder import CONF, own_files
from jobs.run_folder import RunFolder
from jobs.settings import Settings
from jobs.stored_run import FRESH, changed_keys, stored_settings
from jobs.summaries import summaries
from models.tabular.settings import FineTuneSettings

MAX_ARGUMENT = 4_000  # characters
_OF_ONE_JOB = {
    "show": "config", "due_on": "config", "release": "rollback, promote and evaluate", "reason": "rollback and promote",
    "promoted_model": "promote and rollback", "styles": "promote", "name": "token", "role": "token", "days": "token",
    "revoke": "token", "due": "train", "job": "retrain", "once": "schedule", "dry": "schedule", "until": "schedule",
    "decisions": "pipeline",
    "tuned": "train, backtest and pipeline", "budget": "automl",
    "finetune": "finetune", "alias": "rollback and promote", "yarn": "substitutes", "top": "substitutes",
}  # fmt: skip
_OPEN = r"(models\.\w+\.(hyperparameters|training_params)|tuning\.space\.\w+)\."  # sections of any key, checked later
_SHARED = {"min_training_samples", "max_training_samples"}  # keys of every job, which jobs.finetune refers to
_SAID = {"promoted_model": "model"}  # key -> how it is said on the command line
_OF_TUNE = {"model": "model", "trials": "tuning_iterations", "method": "tuning_method", "sample": "sample"}
# Options of the earlier commands and of habit -> how the same is said here.
_EARLIER = {
    "--model": "'only=[MODEL]'", "--data-path": "source.path=PATH", "--verbose": "log_level=DEBUG",
    "--force": "force=true", "--plot": "plot=true", "--test-size": "folds.test_size=N",
    "--save-results": "nothing: results are always saved", "--schedule": "python -m jobs.schedule",
}  # fmt: skip


def load(job: str, argv: Sequence[str]) -> Settings:
    """The checked settings of `job` from its arguments: key=value (Hydra's grammar) and --config-dir DIR.

    Files of DIR take the place of the shipped ones of the same name. Raises SettingsError for every fault.
    """
    values = plain_values(job, argv)
    _refuse_targets(values, "")
    if "experiment" in values:
        raise SettingsError("an experiment's first line must be: # @package _global_", found=values["experiment"])
    settings = Settings.from_mapping(values)
    check(settings)
    if settings.resume:
        _refuse_changes(job, argv, values, settings)
    return settings


def _refuse_changes(job: str, argv: Sequence[str], values: Mapping[str, Any], settings: Settings) -> None:
    """A resumed run keeps its settings. Raises SettingsError when the arguments say another value than it began with.

    What the arguments say: the keys they name, and those that a file they choose (folds=holdout) changes.
    """
    own, overrides = _arguments(argv, job)
    bare = dict(leaves(_composed(job, own, [])))
    named = {_key_of(text) for text in overrides}
    said = [
        path for path, value in leaves(values)
        if path not in bare or bare[path] != value or any(f"{path}.".startswith(f"{key}.") for key in named)
    ]  # fmt: skip
    run = RunFolder.existing(Path(settings.storage.root) / settings.storage.training_registry, str(settings.resume))
    changed = changed_keys(settings, stored_settings(run), said)
    if changed:
        raise SettingsError(
            "a resumed run keeps the settings it began with", resume=run.run_id, changed=changed,
            hint=f"Leave them out or start a new run; only these may be said anew: {', '.join(FRESH)}",
        )  # fmt: skip


def plain_values(job: str, argv: Sequence[str]) -> dict[str, Any]:
    """What the files and arguments say, as plain containers, not yet typed or checked for meaning."""
    own, overrides = _arguments(argv, job)
    return _composed(job, own, overrides)


def help_text(job: str) -> str:
    """What the job can be told, with the defaults, at 80 columns."""
    values = _composed(job, None, [])
    kinds = ", ".join(values.pop("models"))
    values.pop("benchmarks")
    sections = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    alone = {_SAID.get(name, name): value for name, value in values.items() if name not in sections}
    groups = sorted(path for path in CONF.iterdir() if path.is_dir())
    choices = {group.name: ", ".join(sorted(path.stem for path in group.glob("*.yaml"))) for group in groups}
    lines = [
        *([said, ""] if (said := summaries().get(job)) else []),
        f"python -m jobs.{job} [--config-dir DIR] [key=value ..]",
        "",
        "  --config-dir DIR  your own YAML files: each takes the place of the one of the same name in conf/",
        "  --help            this text",
        "",
        "Keys and their defaults (quote a list for the shell: 'only=[xgboost]'):",
        f"  {_pairs(alone)}",
        "",
        "Keys with a section, as in source.path=data:",
        *[f"  {name}: {_pairs(dict(leaves(section)))}" for name, section in sections.items()],
        "",
        f"  models.MODEL.FIELD: the 13 fields of {kinds}; see python -m jobs.config show=MODEL",
        "",
        "Files to choose from (group=name):",
        *[f"  {group}: {names}" for group, names in choices.items() if group not in ("model", "space")],
    ]
    return "\n".join(part for line in lines for part in _folded(line))


def leaves(values: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key and its value; an empty section is a leaf."""
    for key, value in values.items():
        path = f"{where}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def _arguments(argv: Sequence[str], job: str) -> tuple[Path | None, list[str]]:
    own: Path | None = None
    overrides: list[str] = []
    rest = iter(argv)
    for argument in rest:
        option, _, value = argument.partition("=")
        if option == "--config-dir":
            value = value or next(rest, "")
            if not value or own:
                raise SettingsError("--config-dir takes one folder, once", found=argument)
            own = Path(value).expanduser().resolve()
        elif argument.startswith("-"):
            now = _EARLIER.get(option)
            raise SettingsError(
                "unknown option", found=option, known="--config-dir DIR, --help, key=value",
                hint=f"Say {now}" if now else "Settings are given as key=value",
            )  # fmt: skip
        else:
            overrides.append(_promoted_model(_storage_root(_of_tune(job, _of_finetune(job, argument)))))
    keys = [text.split("=")[0].lstrip("+~") for text in overrides]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise SettingsError("a key is given more than once", keys=twice, hint="Say each key once")
    return own, overrides


def _storage_root(argument: str) -> str:
    """`storage=DIR` says the storage root, unless DIR is the name of a file in conf/storage."""
    key, _, value = argument.partition("=")
    if key != "storage" or not value or (CONF / "storage" / f"{value}.yaml").is_file():
        return argument
    return f"storage.root={value}"


def _of_finetune(job: str, argument: str) -> str:
    """In jobs.finetune its own keys may be said without their section: `target=revenue`, `features=custom`.

    The name of a file in a group of the same name chooses that file, as everywhere.
    """
    key, _, value = argument.partition("=")
    own = job == "finetune" and key in {one.name for one in fields(FineTuneSettings)} - _SHARED
    return f"finetune.{argument}" if own and not (CONF / key / f"{value}.yaml").is_file() else argument


def _of_tune(job: str, argument: str) -> str:
    """In the searches some keys may be said in short: `model=xgboost`, `trials=20`, `method=grid`, `sample=100`."""
    key, _, value = argument.partition("=")
    return f"tuning.{_OF_TUNE[key]}={value}" if job in ("tune", "automl") and key in _OF_TUNE else argument


def _promoted_model(argument: str) -> str:
    """`model=NAME` says which model is promoted: Hydra would look for a file of conf/model instead."""
    key, _, value = argument.partition("=")
    return f"promoted_model={value}" if key == "model" else argument


def _composed(job: str, own: Path | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Plain containers, references resolved."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    overrides = [_read(text, job) for text in overrides]
    try:
        with _files(own) as folder, initialize_config_dir(str(folder), version_base="1.3"):
            values: Any = OmegaConf.to_container(compose(job, overrides=overrides), resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, YAMLError, RecursionError, ValueError) as error:
        raise _explained(error, job, overrides) from None
    plain: dict[str, Any] = values
    return plain


@contextmanager
def _files(own: Path | None) -> Iterator[Path]:
    """The folder Hydra reads: the shipped one, or a copy of it with the user's files in place. Raises SettingsError.

    What was checked is what is written there: an own file that changes meanwhile changes nothing.
    """
    if own is None:
        yield CONF
        return
    texts = own_files(own)
    with TemporaryDirectory(prefix="loomcast-conf-") as scratch:
        together = Path(scratch) / "conf"
        shutil.copytree(CONF, together)
        for place, text in texts.items():
            (together / place).write_text(text, encoding="utf-8")
        yield together


def _read(text: str, job: str) -> str:
    """One setting as Hydra is to read it. Raises SettingsError when it is no single key=value of ours.

    A value outside Hydra's grammar is text as it stands (a header such as Style #), unless it starts like a list or a
    section. A section given as {..} and the parameters of a model may bring keys that no file holds: the typed tree and
    the model's recipe refuse those they do not know.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if len(text) > MAX_ARGUMENT:
        raise SettingsError("a setting is too long", found=text, limit=MAX_ARGUMENT)
    key, equals, value = text.partition("=")
    parser = OverridesParser.create()
    try:
        override = parser.parse_override(text)
    except (HydraException, RecursionError) as error:
        cause = str(error).splitlines()[-1]
        if re.fullmatch(r"[\w.]+", key) and not key.isascii():  # no key of ours
            raise unknown_key(key, _known_keys(job)) from None
        if not (re.fullmatch(r"[\w.]+", key) and equals) or value.lstrip().startswith(("[", "{", "'", '"')):
            raise SettingsError(
                "a setting cannot be read", found=text, cause=cause,
                hint="Write key=value; quote lists for the shell: 'only=[arima,prophet]'",
            ) from None  # fmt: skip
        text = f"{key}={_quoted(value)}"
        override = parser.parse_override(text)
    if re.match(r"hydra\b", override.get_key_element().lstrip("+~")):
        raise SettingsError("settings of Hydra itself cannot be changed", found=text)
    if override.is_sweep_override():
        raise SettingsError("one value a key", found=text, hint="A list is key=[a,b], quoted for the shell")
    is_open = isinstance(override.value(), dict) or re.match(_OPEN, text)
    return f"++{text}" if is_open and re.match(r"\w", text) else text


def _explained(error: Exception, job: str, overrides: Sequence[str]) -> SettingsError:
    """The one clear message for what Hydra or OmegaConf found wrong."""
    text = str(error)
    absent = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if absent:
        group, name = absent.groups()
        known = re.findall(r"^\t(\w+)$", text, re.MULTILINE)
        return SettingsError(
            "no such file in this group", group=group, found=name, nearest=nearest_name(name, known),
            known=", ".join(known),
        )  # fmt: skip
    removed = [text for text in overrides if text.startswith("~") and not text.startswith("~models.")]
    if removed and _known_of(removed, job):
        return SettingsError(
            "a section or key that every job needs cannot be removed", found=removed,
            hint="Set it to another value; ~models.MODEL removes a model",
        )  # fmt: skip
    culprit = next((key for key in map(_key_of, overrides) if f"'{key}'" in text), None)
    if culprit is not None and ("Could not override" in text or "does not exist" in text):
        return unknown_key(culprit, _known_keys(job))
    if "Multiple values for" in text or "Could not append" in text:
        return SettingsError("this key exists already", setting=list(overrides), hint="Leave out the +")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return SettingsError("the settings cannot be composed", cause="; ".join(lines[:3]), settings=list(overrides))


def unknown_key(found: str, known: Sequence[str]) -> SettingsError:
    """Names the nearest known key: one that ends alike, else one that is spelt alike."""
    if found in _OF_ONE_JOB:
        hint = f"It is one of jobs.{_OF_ONE_JOB[found]}"
        if found == "promoted_model":
            hint += "; which models run is said by only=[MODEL]"
        return SettingsError("unknown key in this job's settings", found=_SAID.get(found, found), hint=hint)
    sections = {key.rsplit(".", depth)[0] for key in known for depth in range(1, key.count(".") + 1)}
    places = {path.rpartition(".")[2]: path for path in sorted([*known, *sections], key=lambda path: -path.count("."))}
    if "." in found:
        nearest = nearest_name(found, [*known, *sorted(sections)])
    else:
        near = nearest_name(found, places)
        nearest = places[near] if near else None
    return SettingsError(
        "unknown key in the settings", found=found, hint=f"Did you mean {nearest}?" if nearest else "See --help"
    )


def _known_of(removed: Sequence[str], job: str) -> bool:
    """Whether all that is to be removed is there."""
    known = _known_keys(job)
    return all(any(f"{path}.".startswith(f"{_key_of(text)}.") for path in known) for text in removed)


@cache
def _known_keys(job: str) -> tuple[str, ...]:
    return tuple(key for key, _ in leaves(_composed(job, None, [])))


def _key_of(override: str) -> str:
    return override.split("=")[0].lstrip("+~").split("@")[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refuse_targets(value: Any, where: str) -> None:
    """A file never names code: `_target_` and its like are refused wherever they stand."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if re.fullmatch(r"_\w+_", str(key)):
                raise SettingsError("settings never name code", key=f"{where}{key}", found=item)
            _refuse_targets(item, f"{where}{key}.")
    elif isinstance(value, list):
        for item in value:
            _refuse_targets(item, where)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return "[" + ",".join(map(_shown, value)) + "]"
    return repr(value) if value == "" or " " in str(value) else str(value)


def _pairs(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _folded(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent="      ", break_on_hyphens=False) or [""]
