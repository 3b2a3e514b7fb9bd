"""The examples of cron and Kubernetes say what the jobs understand."""

from __future__ import annotations

import re

import pytest
import yaml

from jobs import compose
from jobs.due import Trigger
from jobs.own_folder import CONF

DEPLOY = CONF.parent / "deploy"


def test_when_cron_reads_its_example_then_the_line_is_a_trigger_and_the_command_a_job():
    lines = [line for line in (DEPLOY / "cron.example").read_text().splitlines() if line and not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]+=", line))
    (line,) = (line for line in lines if not re.match(r"[A-Z]+=", line))
    fields, command = line.split("  ", 2)[0], line.split("  ")[-1]
    assert Trigger.parse(fields).hours == frozenset(range(24))
    assert "python -m jobs.schedule once=true $TOLD" in command
    assert compose.load("schedule", ["once=true", *values["TOLD"].split()]).once


@pytest.fixture(scope="module")
def objects():
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kuberay-cron.yaml").read_text())}


def test_when_kubernetes_reads_its_example_then_a_cron_job_looks_at_the_schedule_of_one_cluster(objects):
    assert set(objects) == {"RayCluster", "CronJob"}
    cron = objects["CronJob"]["spec"]
    Trigger.parse(cron["schedule"])
    assert cron["concurrencyPolicy"] == "Forbid"
    (container,) = cron["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ["-m", "jobs.schedule"]
    settings = compose.load("schedule", container["args"])
    assert settings.once
    assert settings.cluster.address == f"{objects['RayCluster']['metadata']['name']}-head-svc:6379"


def test_when_the_pods_are_compared_then_they_see_one_storage_and_ask_for_a_token(objects):
    groups = objects["RayCluster"]["spec"]
    pods = [group["template"]["spec"] for group in (groups["headGroupSpec"], *groups["workerGroupSpecs"])]
    pods.append(objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"])
    for pod in pods:
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": "storage", "mountPath": "/srv/loomcast"}]
        assert pod["volumes"] == pods[0]["volumes"]
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
    assert groups["headGroupSpec"]["serviceType"] == "ClusterIP"
