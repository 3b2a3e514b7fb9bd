"""`jobs.serve`: what it refuses before anything starts, with one clear message and exit code 2."""

from __future__ import annotations

import os
import shlex
import socket
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest

from jobs import serve
from jobs.entry import exit_code
from jobs.kept import INSIDE
from jobs.serve import body
from serve_app import deployment
from serve_app.state import State
from serve_app.tokens import TokenFile
from tests.acceptance.test_operating import commands


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs the job and returns what it said; it must end with code 2 and print nothing else."""

    def run(*told: str):
        assert exit_code("serve", body, [f"storage.root={tmp_path / 's'}", *told]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "Traceback" not in shown.err
        return shown.err

    return run


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_when_others_could_call_and_there_is_no_token_then_it_does_not_start(refused, tmp_path, host):
    said = refused(f"serve.host='{host}'")
    assert "there is no token" in said
    assert "jobs.token" in said
    TokenFile(tmp_path / "s").make("old", "read", 1, now=datetime.now(UTC) - timedelta(days=2))
    assert "there is no token" in refused(f"serve.host='{host}'")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("serve.host=example.com", "serve.allowed_hosts"),
        ("serve.host=1.2.3", "must be an address"),
        ("serve.port=0", "port"),
        ("serve.port=70000", "port"),
        ("serve.replicas=0", "replicas"),
        ("serve.ingress=nginx", "ingress"),
        ("serve.cache_ttl_hours=0", "cache_ttl_hours"),
        ("serve.rate_per_second=-1", "auto or a number above 0"),
        ("serve.follow_seconds=5", "follow_seconds"),
        ("serve.require_token=true", "there is no token"),
        ("cluster.address=127.0.0.1:1", "Ray does not answer"),
    ],
)
def test_when_a_setting_cannot_be_then_it_is_refused_by_name(refused, told, said):
    assert said in refused(told)


def test_when_the_port_is_in_use_then_it_says_so_before_ray_starts(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        assert "cannot listen there" in refused(f"serve.port={taken.getsockname()[1]}")


def test_when_haproxy_is_to_run_on_another_cluster_then_it_is_refused(refused):
    assert "cluster of its own" in refused("serve.ingress=haproxy", "cluster.address=127.0.0.1:1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_when_the_storage_cannot_be_written_then_it_is_refused(refused, tmp_path):
    (tmp_path / "s").mkdir(mode=0o500)
    assert "cannot be written" in refused()


LINES = [line.removeprefix("$P -m jobs.serve") for line in commands() if line.startswith("$P -m jobs.serve")]


@pytest.mark.parametrize("line", LINES)
def test_when_a_line_of_the_operating_page_is_typed_then_that_service_is_started(line, tmp_path, monkeypatch, capsys):
    """Up to the moment where Ray would listen: what it would be told, and that its state opens."""
    monkeypatch.chdir(tmp_path)
    TokenFile(tmp_path / "storage").make("erp", "read", 1)
    (tmp_path / "sales.csv").write_text("date,style,quantity\n2025-01-01,A,1\n")
    started = []
    monkeypatch.setenv(INSIDE, "0")
    monkeypatch.setattr(serve, "_refuse_taken", lambda *given, **more: None)
    monkeypatch.setattr(serve, "cluster", lambda settings: nullcontext())
    monkeypatch.setattr(serve.Asked, "wait", lambda self, seconds: True)
    monkeypatch.setattr(deployment, "state_environment", lambda *given: None)
    monkeypatch.setattr(deployment, "start", lambda config, *more: started.append(config))
    monkeypatch.setattr(deployment, "stop", lambda: None)
    told = shlex.split(line)
    assert exit_code("serve", body, told) == 0
    (config,) = started
    state = State(config)
    state.close()
    settings, shown = config.serve, capsys.readouterr().out
    assert config.storage_root == str(tmp_path / ("restored" if "storage=restored" in told else "storage"))
    assert settings.port == (5006 if "serve.port=5006" in told else 8000)
    assert (settings.host == "0.0.0.0") is settings.needs_token is ("serve.host=0.0.0.0" in told)
    assert ("Authorization" in shown) is settings.needs_token
    assert (settings.allowed_hosts == ("forecast.example",)) is settings.needs_token
    assert (settings.a_b_testing, settings.challenger_share == 0.5) == (("serve.a_b_testing=true" in told),) * 2
    assert [text for text in config.arguments if text.startswith("serve.")] == []
    assert f":{settings.port}" in shown


def test_when_the_operating_page_is_read_then_it_starts_services_in_five_ways():
    assert len(LINES) == 5
