"""A user's own folder of YAML: checked as text, before Hydra reads a byte of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from demand.errors import SettingsError
from demand.settings import nearest_name

CONF = Path(__file__).resolve().parent.parent / "conf"  # the shipped files
MAX_BYTES = 64 * 1024  # a file
MAX_FILES = 200
MAX_DEPTH = 12
_PATTERNS = ("*.y*ml", "*/*.y*ml", "*/*/*.y*ml")
# References can be chained so that each doubles the one before; this many cannot grow beyond a few hundred copies.
MAX_REFERENCES = 16


def own_files(folder: Path, shipped: Path = CONF) -> dict[str, str]:
    """The text of every YAML file in a user's folder, by its place in it (source/erp.yaml), checked.

    Raises SettingsError unless each is small, plain and at a place where it acts: where `shipped` has a file of the
    same name, or a group (sub-folder) of the same name.
    """
    if not folder.is_dir():
        raise SettingsError("the folder of --config-dir does not exist", found=str(folder))
    files = [path for pattern in _PATTERNS for path in sorted(folder.glob(pattern)) if path.is_file()]
    if not files:
        raise SettingsError("the folder of --config-dir has no .yaml file", found=str(folder))
    if len(files) > MAX_FILES:
        raise SettingsError("too many files in the folder of --config-dir", found=len(files), limit=MAX_FILES)
    groups = [path.name for path in shipped.iterdir() if path.is_dir()]
    primaries = [path.name for path in shipped.glob("*.yaml")]
    texts: dict[str, str] = {}
    for path in files:
        place = path.relative_to(folder).as_posix()
        parent, _, name = place.rpartition("/")
        known = groups if parent else primaries
        if path.suffix == ".yml" or (parent or name) not in known:
            near = nearest_name(parent or name, known)
            raise SettingsError(
                "a file in the folder of --config-dir has no effect there", file=place, nearest=near,
                groups=", ".join(sorted(groups)), hint="Put it at <group>/<name>.yaml, or name it as a job's own file",
            )  # fmt: skip
        texts[place] = _checked_text(path, place)
    references = sum(text.count("${") for text in texts.values())
    if references > MAX_REFERENCES:
        raise SettingsError("too many ${..} references", found=references, limit=MAX_REFERENCES)
    return texts


def _checked_text(path: Path, place: str) -> str:
    """The text of one file, when YAML's readers may see it. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("a settings file cannot be read", file=place, cause=str(error)) from None
    if len(raw) > MAX_BYTES:
        raise SettingsError("a settings file is too large", file=place, limit_bytes=MAX_BYTES)
    depth = 0
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken | yaml.TagToken | yaml.DirectiveToken):
                # A few aliases of aliases expand to gigabytes; tags name types. Settings need neither.
                raise SettingsError(
                    "anchors, aliases and tags are not allowed", file=place, line=token.start_mark.line + 1
                )
            opens = yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken
            opens_flow = yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken
            closes = yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken
            depth += isinstance(token, (*opens, *opens_flow)) - isinstance(token, closes)
            if depth > MAX_DEPTH:
                raise SettingsError("settings are nested too deeply", file=place, limit=MAX_DEPTH)
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError("a settings file is not YAML", file=place, cause=" ".join(str(error).split())) from None
    if content is not None and not isinstance(content, dict):
        raise SettingsError("a settings file holds keys and values", file=place, found=type(content).__name__)
    package = next((line for line in text.splitlines() if line.startswith("# @package")), "")
    if "hydra" in package or _names_hydra(content):
        raise SettingsError("settings of Hydra itself cannot be changed", file=place)
    return text


def _names_hydra(content: Any) -> bool:
    """Whether a file sets `hydra` keys, or chooses hydra's own groups in its defaults."""
    if not isinstance(content, dict):
        return False
    defaults = content.get("defaults") or []
    chosen = [str(key) for item in defaults for key in (item if isinstance(item, dict) else [item])]
    return "hydra" in content or any("hydra" in name for name in chosen)
