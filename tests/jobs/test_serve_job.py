"""`jobs.serve`: what it refuses before anything starts, with one clear message and exit code 2."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

import pytest

from jobs.entry import exit_code
from jobs.serve import body
from serve_app.tokens import TokenFile


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
