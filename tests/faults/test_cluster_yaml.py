"""cluster.yaml is what Ray's own schema accepts, and says what must be said about who may come in."""

from __future__ import annotations

import shlex
import subprocess
import warnings
from copy import deepcopy

import pytest
import yaml

from tests.faults.processes import ROOT


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def accepted():
    """Ray's own check of a cluster's configuration."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.autoscaler._private.util import prepare_config, validate_config

    def check(config):
        prepared = prepare_config(deepcopy(config))
        validate_config(prepared)
        return prepared

    return check


@pytest.mark.slow
def test_when_ray_reads_cluster_yaml_then_its_schema_accepts_it_and_refuses_a_misspelt_key(config, accepted):
    prepared = accepted(config)
    (node,) = prepared["available_node_types"].values()
    assert node["max_workers"] == len(config["provider"]["worker_ips"])
    with pytest.raises(Exception, match="max_worker_count"):
        accepted({**config, "max_worker_count": 3})


def test_when_a_node_is_started_then_the_mode_is_explicit_and_the_dashboard_on_loopback(config):
    starts = [
        shlex.split(command)
        for name in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[name]
        if " start " in command
    ]
    assert len(starts) == 2
    for words in starts:
        assert "RAY_AUTH_MODE=token" in words
        assert any(word.startswith("RAY_AUTH_TOKEN_PATH=") for word in words)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert any("chmod 600 ~/.loomcast/ray_token" in command for command in config["setup_commands"])


def test_when_the_checkout_is_uploaded_then_environment_storage_and_demo_stay_at_home():
    ignored = (ROOT / ".gitignore").read_text().split()  # Ray leaves .git out by itself
    assert {".venv", "/storage/", "/demo/"} <= set(ignored)


def test_when_the_checkout_is_uploaded_then_every_source_and_setting_goes_with_it():
    rooms = ("conf", "demand", "features", "models", "evaluation", "jobs")
    needed = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    asked = subprocess.run(
        ["git", "check-ignore", "--stdin", "--no-index"],
        cwd=ROOT,
        input="\n".join(needed),
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert asked.returncode == 1, asked.stdout + asked.stderr  # 1: none is ignored
