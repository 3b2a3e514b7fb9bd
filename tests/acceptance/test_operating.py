"""OPERATING.md as it is typed: every command of it, in its order, on one small storage with one real server."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from jobs.entry import OK, exit_code
from models.registry import Registry
from serve_app.product import build
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from tests.acceptance.made import SMALL, written
from tests.jobs.desk import DAYS, Desk, sales
from tests.serve_app.calls import Client
from tests.serve_app.running import DETAILED, Served, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.ray]
ROOT = Path(__file__).resolve().parents[2]
NAMES = {"s00": "A12", "s01": "A14"}  # styles that the page names
# Of the models only xgboost learns; no trigger fires, whatever day the test runs on.
DATA = (
    *SMALL,
    *(f"models.{kind}.enabled=false" for kind in ("arima", "prophet", "lstm", "tsb", "moving_average", "naive")),
    "schedule.triggers.weekly='0 3 29 2 *'", "schedule.triggers.daily='0 3 29 2 *'",
)  # fmt: skip


def commands() -> list[str]:
    """Every line of the page's bash blocks, in order, without its comment."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "OPERATING.md").read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s+# .*$", "", line).strip() for line in lines]


class Operator:
    """Types the page's lines in a folder that holds `storage` and `sales.csv`; the jobs run in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.left = [line for line in commands() if not line.startswith("$P -m jobs.serve")]

    @property
    def registry(self) -> Registry:
        return Registry(self.folder / "storage" / "registry")

    def job(self, name: str, *told: str, data: tuple[str, ...] = DATA) -> str:
        """What the job prints; it must end with 0."""
        last = {text.partition("=")[0]: text for text in (*data, *told)}
        code = exit_code(name, import_module(f"jobs.{name}").body, list(last.values()))
        said = self._capsys.readouterr()
        assert code == OK, (name, told, said)
        return said.out

    def next(self, begins: str, **replaced: str) -> str:
        """The page's next line, which must begin so, typed; what it said."""
        line = self.left.pop(0)
        assert line.startswith(begins), (line, begins)
        for text, other in replaced.items():
            line = line.replace(text, other)
        if not line.startswith("$P -m jobs."):
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, (line, done.stderr)
            return done.stdout
        name, *told = shlex.split(line.removeprefix("$P -m jobs."))
        return self.job(name, *told)


def champion_is(operator: Operator, number: int) -> None:
    """The state that a line is about: the page's lines are alternatives as often as steps."""
    registry = operator.registry
    if registry.alias("champion") != number:
        registry.promote(number, expected=registry.alias("champion"), facts={"reason": "the test's own"})


@pytest.fixture
def operator(tmp_path, monkeypatch, capsys):
    """Release 1 serves; 2 has a better xgboost, as 3, its copy, has; `sales.csv` holds ten days more than they knew."""
    monkeypatch.chdir(tmp_path)
    made = Operator(tmp_path, capsys)
    frame = sales()
    frame = frame.assign(unique_id=frame["unique_id"].replace(NAMES))
    frame.to_csv("sales.csv", index=False)
    written(frame[frame["ds"] < frame["ds"].min() + pd.Timedelta(days=DAYS)], tmp_path / "before.parquet")
    for name, trees, more in (("r1", 12, ()), ("r2", 40, ("only=[xgboost]", "force=true"))):  # few, then enough
        told = f"models.xgboost.hyperparameters.n_estimators={trees}"
        made.job("train", f"run_id={name}", "source.path=before.parquet", told, *more)
    Desk(tmp_path).forged(2, lambda folder: None)
    champion_is(made, 1)
    return made


def test_when_the_page_is_typed_line_by_line_then_each_command_does_what_it_says(operator):
    lines = [line for line in commands() if line.startswith("$P -m jobs.serve")]
    told = [text for line in lines for text in shlex.split(line.removeprefix("$P -m jobs.serve"))]
    # One server told all that the page tells servers, but for another storage, and at this machine's own address.
    ours = [text for text in told if not text.startswith(("serve.port", "serve.host", "storage", "source"))]
    with serving(operator.folder / "storage", operator.folder / "log", *DATA, *ours) as served:
        operator.next("curl http://localhost:8000/health/ready", **{"localhost:8000": f"127.0.0.1:{served.port}"})
        _tokens(operator, served)
        _desk(operator, served)
        _challenger(operator, served)
        answer = served.get(DETAILED).content
    _schedule(operator)
    assert "WAPE" in operator.next("$P -m jobs.monitor source.path=sales.csv")
    _restored(operator, answer)
    assert operator.left == []


def _tokens(operator: Operator, served: Served) -> None:
    said = operator.next("$P -m jobs.token name=erp role=read days=365")
    (secret,) = re.findall(r"^Token +(\S+)$", said, re.M)
    assert "erp" in operator.next("$P -m jobs.token")
    operator.left[:2] = operator.left[1::-1]  # the token is used before it ends
    there = f"--fail --silent --resolve forecast.example:{served.port}:127.0.0.1"
    replaced = {"curl": f"curl {there}", "example:8000": f"example:{served.port}", "TOKEN": secret}
    assert json.loads(operator.next("curl -H", **replaced))["status"] == "success"
    operator.next("$P -m jobs.token revoke=erp")
    assert served.get(DETAILED, headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def _desk(operator: Operator, served: Served) -> None:
    registry = operator.registry
    assert "champion" in operator.next("$P -m jobs.releases")
    operator.next("$P -m jobs.promote")
    assert registry.alias("champion") == 3
    until(lambda: served.champion_everywhere(3), 60)
    champion_is(operator, 1)
    operator.next("$P -m jobs.promote release=3 force=true")
    assert (registry.alias("champion"), registry.promotions()[-1]["facts"]["reason"]) == (3, "new season")
    champion_is(operator, 1)
    operator.next("$P -m jobs.promote model=xgboost")
    assert registry.alias("champion") == 4
    operator.next("$P -m jobs.promote 'styles=[A12,A14]' release=3")
    assert registry.alias("champion") == 5
    operator.next("$P -m jobs.rollback")
    assert registry.alias("champion") == 4
    until(lambda: served.champion_everywhere(4), 60)
    assert "WAPE" in operator.next("$P -m jobs.evaluate release=3 source.path=sales.csv")


def _challenger(operator: Operator, served: Served) -> None:
    styles = [row["style"] for row in served.get(DETAILED).json()["forecast_details"]]

    def releases() -> set[tuple[int, ...]]:
        """Who answered each style, four times over."""
        asked = ([served.get(f"{DETAILED}?style={style}").json()["release"] for style in styles] for _ in range(4))
        return {tuple(found) for found in asked}

    operator.next("$P -m jobs.promote alias=challenger release=2")
    until(lambda: len(found := releases()) == 1 and {*found.pop()} == {2, 4}, 60)  # every replica says the same
    assert served.get(DETAILED).json()["release"] == 4
    assert 'side="challenger"' in served.get("/metrics").text
    operator.next("$P -m jobs.rollback alias=challenger")
    until(lambda: releases() == {(4,) * len(styles)}, 60)


def _schedule(operator: Operator) -> None:
    seen = operator.folder / "storage" / "jobs" / "schedule.json"
    thread = threading.Thread(target=_stopped_when, args=(seen.is_file,), daemon=True)
    thread.start()
    assert "Stop it with" in operator.next("$P -m jobs.schedule source.path=sales.csv")
    thread.join(10)
    assert "nothing is due" in operator.next("$P -m jobs.schedule source.path=sales.csv once=true")
    assert "Fires next" in operator.next("$P -m jobs.schedule dry=true")


def _stopped_when(ready: Callable[[], bool]) -> None:
    """Stops the service that runs in this process, as systemd does, once it is ready."""
    while not ready():
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)


def _restored(operator: Operator, answer: bytes) -> None:
    for begins in ("tar -C storage -cf", "tar -C storage -rf", "mkdir restored"):
        operator.next(begins)
    assert "champion" in operator.next("$P -m jobs.releases storage=restored")
    state = State(Config(ServeSettings(), str(operator.folder / "restored"), "registry"))
    state.following.look()
    assert make_client(state).get(DETAILED).content == answer


def make_client(state: State) -> Client:
    async def compute(_: object) -> dict[str, object]:
        raise AssertionError("nothing is computed here")

    return Client(build(state, compute))
