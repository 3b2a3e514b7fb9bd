"""The golden prediction: what a release's models say of a few styles, to be said again before they may serve.

    golden/history/      the last known demand of these styles, as a model sees it
    golden/expected.npz  each model's rows for them, computed from the release's own files
    golden/golden.json   when they hold to the bit, and how far they were from what the trained models said

Loading and asking happens in a process of its own: a native parser that dies on a damaged file takes that down, not
the job.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from demand.errors import DemandError
from demand.panel import Floats, Panel
from demand.store import read_panel, write_panel
from models.base import Forecast
from models.catalog import load_fitted
from models.files import read_arrays, read_json, write_arrays, write_json

FOLDER = "golden"
LIMIT_S = 600.0
# Relative, where bits cannot be asked for: another processor or library sums in another order. Networks count in
# single precision.
TOLERANCE, LOOSER = 1e-6, {"lstm": 1e-4, "tide": 1e-4}
_LIBRARIES = ("numpy", "xgboost-cpu", "tensorflow-cpu", "keras", "statsmodels", "prophet")
Rows = dict[str, tuple[Floats, Floats]]  # kind -> mean [n, H], quantiles [n, H, Q]; NaN where it makes no row


def keep(folder: Path, history: Panel, live: Mapping[str, Forecast]) -> str:
    """Writes golden/ into a release in the making: what its files, loaded, say of the styles of `history`.

    live: what the trained models said of the same styles. Returns "" or why the files cannot be trusted: a model that
    cannot be loaded, or says something else than it did when it was trained. That is kept with them.
    """
    write_panel(history, folder / FOLDER / "history")
    facts: dict[str, Any] = {"styles": history.ids.tolist(), "made_on": _here(), "against_trained": {}, "fault": ""}
    found = _asked(folder)
    if isinstance(found, str):
        facts["fault"] = found
    else:
        write_arrays(folder / FOLDER / "expected.npz", _named(found))
        for kind, forecast in sorted(live.items()):
            made = np.flatnonzero(forecast.made)
            if kind in found and len(made):
                said = found[kind][0][made], found[kind][1][made]
                away = max(_away(forecast.mean[made], said[0]), _away(forecast.quantiles[made], said[1]))
                facts["against_trained"][kind] = away if np.isfinite(away) else None
                if not away <= _tolerance(kind):
                    facts["fault"] = f"{kind}, loaded from its files, does not say what it said when it was trained"
    write_json(folder / FOLDER / "golden.json", facts)
    return str(facts["fault"])


def ailment(folder: Path) -> str:
    """Why a release's models do not say again what they said; "" when they do, or none was kept.

    To the bit on the processor and libraries they were made with, else within TOLERANCE. The files must have been
    compared with the manifest before.
    """
    if not (folder / FOLDER).is_dir():
        return ""
    try:
        facts = read_json(folder / FOLDER / "golden.json")
        if facts["fault"]:
            return f"when it was made: {facts['fault']}"
        expected = _rows(read_arrays(folder / FOLDER / "expected.npz"))
    except (DemandError, KeyError, TypeError, ValueError) as error:
        return f"the golden prediction cannot be read: {error}"
    found = _asked(folder)
    if isinstance(found, str):
        return found
    exact = facts.get("made_on") == _here()
    for kind in sorted(expected.keys() | found.keys()):
        if kind not in found or kind not in expected:
            return f"{kind} is {'missing' if kind not in found else 'not part of the golden prediction'}"
        away = max(_away(a, b) for a, b in zip(expected[kind], found[kind], strict=True))
        if not away <= (0.0 if exact else _tolerance(kind)):
            asked = "to the bit" if exact else f"within {_tolerance(kind):g}, on another processor or other libraries"
            return f"{kind} does not repeat its golden prediction {asked}: {away:.3g} away"
    return ""


def is_kept(folder: Path) -> bool:
    """Whether a release has a golden prediction; those made before there was one have none."""
    return (folder / FOLDER / "golden.json").is_file()


def fault_when_made(folder: Path) -> str:
    """What `keep` found wrong with the models; "" when nothing, or when no golden prediction was kept."""
    return str(read_json(folder / FOLDER / "golden.json")["fault"]) if is_kept(folder) else ""


def answers(folder: Path) -> Rows:
    """What the models in `folder` say of the golden styles, loaded from their files; runs in the child."""
    history = read_panel(folder / FOLDER / "history")
    found: Rows = {}
    models = folder / "models"
    for kind in sorted(path.name for path in models.iterdir()) if models.is_dir() else ():
        rows: tuple[Floats, Floats] | None = None
        for part in sorted((models / kind).iterdir()):
            here = np.sort(history.index_of(read_arrays(part / "series.npz")["ids"]))
            here = here[here >= 0]
            if not len(here):
                continue
            forecast = load_fitted(part / "model").forecast(history.take(here))
            if rows is None:
                n, (_, h, q) = history.n_series, forecast.quantiles.shape
                rows = np.full((n, h), np.nan), np.full((n, h, q), np.nan)
            made = np.flatnonzero(forecast.made)
            rows[0][here[made]], rows[1][here[made]] = forecast.mean[made], forecast.quantiles[made]
        if rows is not None:
            found[kind] = rows
    return found


def _asked(folder: Path) -> Rows | str:
    """`answers` of a child process, or in words what became of it."""
    with TemporaryDirectory(prefix="loomcast-golden-") as scratch:
        out = Path(scratch) / "answers.npz"
        told = [sys.executable, "-m", "models.golden", str(folder.resolve()), str(out)]
        # One thread and no accelerator: what is compared to the bit must be summed in one order.
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        rooms = os.pathsep.join([str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)])
        alike = {**dict.fromkeys(threads, "1"), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3",
                 "PYTHONPATH": rooms}  # fmt: skip
        try:
            done = subprocess.run(
                told, env={**os.environ, **alike}, capture_output=True, text=True, errors="replace", timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return f"the models did not answer within {LIMIT_S:g} s"
        if done.returncode < 0:
            return f"the process that loaded the models was killed by signal {-done.returncode}"
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            return f"the models cannot be loaded: {last[0].strip()[:300] if last else 'no message'}"
        return _rows(read_arrays(out))


def _named(rows: Rows) -> dict[str, Floats]:
    return {f"{kind}.{name}": values for kind, pair in rows.items()
            for name, values in zip(("mean", "quantiles"), pair, strict=True)}  # fmt: skip


def _rows(arrays: Mapping[str, Floats]) -> Rows:
    kinds = sorted({name.rpartition(".")[0] for name in arrays})
    return {kind: (arrays[f"{kind}.mean"], arrays[f"{kind}.quantiles"]) for kind in kinds}


def _away(expected: Floats, found: Floats) -> float:
    """The largest difference relative to the largest expected number; infinite where one has a row and one has none."""
    if expected.shape != found.shape or not np.array_equal(np.isnan(expected), np.isnan(found)):
        return float("inf")
    if not np.isfinite(expected).any():
        return 0.0
    return float(np.nanmax(np.abs(expected - found))) / max(float(np.nanmax(np.abs(expected))), 1e-300)


def _tolerance(kind: str) -> float:
    return LOOSER.get(kind, TOLERANCE)


def _here() -> dict[str, Any]:
    """The processor and the libraries that decide in which order numbers are summed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {"machine": platform.machine(), "processor": _processor(), "python": platform.python_version(), **versions}


def _processor() -> str:
    """Name and instruction sets of the first processor, "" where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return ""
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    vectors = sorted(word for word in said.get("flags", "").split() if word.startswith(("avx", "fma", "sse", "amx")))
    return " ".join([said.get("model name", ""), *vectors]).strip()


if __name__ == "__main__":
    try:
        write_arrays(Path(sys.argv[2]), _named(answers(Path(sys.argv[1]))))
    except Exception as error:  # noqa: BLE001 - whatever a damaged file does, the parent hears it in one line
        print(f"{type(error).__name__}: {json.dumps(str(error), ensure_ascii=False)[1:-1]}", file=sys.stderr)
        sys.exit(1)
