"""What is said to Ray before it starts, and what its errors become."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from serve_app.deployment import HAPROXY_PORTS, state_environment, through
from serve_app.problems import Refused
from serve_app.settings import ServeSettings


def told(monkeypatch, tmp_path, ingress, **before):
    """The environment after it was stated; this process keeps its own."""
    monkeypatch.setattr(os, "environ", {**before})
    state_environment(ServeSettings(ingress=ingress), tmp_path)
    return os.environ


def test_when_haproxy_is_the_ingress_then_its_own_ports_are_free_ones_that_differ(monkeypatch, tmp_path):
    ports = {int(told(monkeypatch, tmp_path, "haproxy")[name]) for name in HAPROXY_PORTS}
    assert len(ports) == 2
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_when_an_operator_has_chosen_the_ports_then_they_stay(monkeypatch, tmp_path):
    chosen = dict.fromkeys(HAPROXY_PORTS, "12345")
    assert told(monkeypatch, tmp_path, "haproxy", **chosen).items() >= chosen.items()


def test_when_ray_s_own_proxy_is_the_ingress_then_nothing_is_said_of_haproxy(monkeypatch, tmp_path):
    assert not [name for name in told(monkeypatch, tmp_path, "proxy") if "HAPROXY" in name or "HA_PROXY" in name]


def fault():
    return RayTaskError("predict", "a trace", KeyError("weights")).as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [(fault(), 500, "internal_fault"), (ActorDiedError(), 503, "no_models"),
     (BackPressureError(1, 1), 503, "busy")],
    ids=["a bug", "a process that died", "no place"],
)  # fmt: skip
def test_when_the_models_process_fails_then_a_bug_is_told_as_a_bug(error, status, word, caplog):
    class Handle:
        class predict:
            @staticmethod
            async def remote(request):
                raise error

    with pytest.raises(Refused) as told_:
        asyncio.run(through(Handle())({"style": "A"}))
    assert (told_.value.status_code, told_.value.error) == (status, word)
    if status == 500:
        assert "KeyError" in told_.value.detail
        assert "a trace" in caplog.text
