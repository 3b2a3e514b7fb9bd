"""Every route declares its role; every failure has one shape; a request uses one book."""

from __future__ import annotations

import json

import pytest
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from demand.errors import HorizonError
from serve_app.app import make_app, state_of
from serve_app.auth import role
from serve_app.problems import Refused
from serve_app.settings import ServeSettings
from serve_app.state import Config, State
from serve_app.tokens import Role
from tests.serve_app import calls


def router() -> APIRouter:
    """Routes that end in every way a route can."""
    found = APIRouter()

    @found.get("/book", dependencies=[role("read")])
    async def book(request: Request, days: int = 30) -> dict[str, int]:
        return {"release": state_of(request).book().number, "days": days}

    @found.get("/fail/{how}", dependencies=[role("read")])
    async def fail(how: str) -> None:
        raise {
            "refused": Refused(404, "unknown style", "no such style", "style", ["A"]),
            "ours": HorizonError("more steps than the release has", asked=9),
            "bug": ZeroDivisionError("a bug"),
        }[how]

    return found


def test_when_the_routes_are_walked_then_each_declares_a_role_and_few_are_open(tmp_path):
    app = make_app(calls.state_of(tmp_path), [router()])
    assert all(isinstance(route, APIRoute) for route in app.router.routes)
    open_to_all = {
        route.path
        for route in app.router.routes
        if any(getattr(one.call, "role", None) is Role.open for one in route.dependant.dependencies)
    }
    assert open_to_all == {"/health", "/health/ready", "/session", "/session/style.css"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_when_a_route_declares_no_role_or_an_open_one_changes_something_then_the_app_is_not_made(tmp_path, method):
    bad = APIRouter()
    getattr(bad, method)("/x", dependencies=[role("open")] if method == "post" else [])(lambda: None)
    with pytest.raises(TypeError, match="/x"):
        make_app(calls.state_of(tmp_path), [bad])


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/book?days=x", 400, "days"),
        ("/fail/refused", 404, "style"),
        ("/fail/ours", 409, None),
        ("/fail/bug", 500, None),
        ("/nowhere", 404, None),
        ("/book/", 404, None),
    ],
)
def test_when_a_request_fails_then_the_answer_has_the_one_shape_and_the_name_of_the_request(
    tmp_path, path, status, named
):
    answer = calls.client_of(calls.state_of(tmp_path), [router()]).get(path, headers={"x-request-id": "mine-1"})
    said = answer.json()
    assert (answer.status_code, said["status"], said["request_id"]) == (status, "error", "mine-1")
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["cache-control"] == "no-store"
    assert said["error"]
    assert said["detail"]
    assert said.get("parameter") == named
    assert "a bug" not in answer.text  # of a fault of ours only the log tells more


def test_when_a_method_does_not_exist_then_405_says_which_do(tmp_path):
    answer = calls.client_of(calls.state_of(tmp_path), [router()]).post("/book")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_when_nothing_is_released_then_503_says_no_data_and_the_next_step(tmp_path):
    client = calls.client_of(calls.state_of(tmp_path, calls.Shelf(None)), [router()])
    answer = client.get("/book")
    assert (answer.status_code, answer.json()["status"]) == (503, "no_data")
    assert "jobs.pipeline" in answer.json()["reason"]
    assert client.get("/health").status_code == 200
    assert client.get("/health/ready").status_code == 503


def test_when_a_request_id_could_forge_a_line_of_a_log_then_a_new_one_is_given(tmp_path):
    client = calls.client_of(calls.state_of(tmp_path))
    for given in ("a\r\nb", "x" * 65, "ä", ""):
        answer = client.get("/health", headers={"x-request-id": given.encode()})
        assert len(answer.headers["x-request-id"]) == 32
    json.loads(answer.text)


@pytest.mark.parametrize(
    "path", ["/book%0A", "/api/leaderboard%0A", "/api/styles/S000%0A", "/api/styles/S0%0A00", "/health%0A"]
)
def test_when_a_path_ends_with_a_line_then_it_is_another_path(registry_root, tmp_path, path):
    state = State(Config(ServeSettings(), str(tmp_path), str(registry_root)))
    state.following.look()
    client = calls.client_of(state, [router()])
    assert client.get("/api/styles/S000").status_code == 200
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_path")


@pytest.mark.parametrize(
    ("path", "accept", "is_page"),
    [
        ("/nowhere", "text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("/%3Cscript%3Ealert(1)%3C/script%3E", "text/html", True),
        ("/apis", "text/html", True),
        ("/nowhere", "*/*", False),
        ("/nowhere", "application/json", False),
        ("/api/nowhere", "text/html", False),
        ("/api", "text/html", False),
    ],
)
def test_when_nothing_is_there_then_a_browser_gets_a_page_with_the_way_back_and_a_program_json(
    tmp_path, path, accept, is_page
):
    answer = calls.client_of(calls.state_of(tmp_path), [router()]).get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert answer.headers["content-type"].startswith("text/html") == is_page
    if is_page:
        assert 'href="/styles"' in answer.text
        assert "<script>alert" not in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    else:
        assert answer.json()["error"] == "unknown_path"
