"""Who may call: tokens, roles, foreign pages and hosts, forms, the audit log."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import APIRouter, Depends, Form, Request

from demand.errors import SettingsError, VersionUnreadable
from serve_app.app import make_app
from serve_app.audit import UNHEARD
from serve_app.auth import GUESSES_PER_MINUTE, SESSION, check_csrf, csrf_token, nonce, role
from serve_app.tokens import Role, TokenFile
from tests.serve_app import calls

OTHERS = {"host": "0.0.0.0"}


def router() -> APIRouter:
    found = APIRouter()
    for name in ("read", "operate", "admin"):
        found.add_api_route(f"/{name}", lambda: {"ok": True}, methods=["GET", "POST"], dependencies=[role(name)])

    @found.get("/form", dependencies=[role("read")])
    async def form(request: Request) -> dict[str, str]:
        return {"csrf": csrf_token(request), "nonce": nonce(request)}

    @found.post("/form", dependencies=[role("operate"), Depends(check_csrf)])
    async def sent(word: str = Form()) -> dict[str, str]:
        return {"word": word}

    return found


@pytest.fixture
def here(tmp_path):
    """On loopback: nobody needs a token."""
    return calls.client_of(calls.state_of(tmp_path), [router()])


@pytest.fixture
def elsewhere(tmp_path):
    """Open to others: everybody needs one."""
    return calls.client_of(calls.state_of(tmp_path, **OTHERS), [router()])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# ---- on this machine ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_when_called_on_this_machine_by_its_name_then_no_token_is_needed(here, host):
    assert here.post("/admin", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Host": "10.0.0.1:8000"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_when_a_foreign_page_or_name_calls_then_403_on_every_route(here, tmp_path, headers):
    app = make_app(calls.state_of(tmp_path), [router()])
    for route in app.router.routes:
        for method in route.methods:
            path = route.path.replace("{style:path}", "A")
            assert here.request(method, path, headers=headers).status_code == 403, (method, path)


def test_when_our_own_page_calls_then_it_may_and_a_link_from_elsewhere_opens_it(here):
    ours = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert here.post("/operate", headers=ours).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert here.get("/read", headers=link).status_code == 200
    assert here.post("/operate", headers=link).status_code == 403


def test_when_a_wrong_token_is_sent_on_loopback_then_401_and_an_old_cookie_does_no_harm(here):
    assert here.get("/read", headers=bearer("lc_wrong")).status_code == 401
    assert here.get("/read", headers={"Authorization": "Basic YTpi"}).status_code == 401
    assert here.get("/read", headers={"Cookie": f"{SESSION}=lc_of_another_service"}).status_code == 200


# ---- tokens ---------------------------------------------------------------------------------------------------------


def test_when_open_to_others_then_every_route_but_the_listed_few_refuses_without_a_token(elsewhere, tmp_path):
    for route in make_app(calls.state_of(tmp_path, **OTHERS), [router()]).router.routes:
        for method in route.methods:
            path = route.path.replace("{style:path}", "A")
            open_to_all = path.startswith("/health") or path in ("/session", "/session/style.css")
            answer = elsewhere.request(method, path)
            assert (answer.status_code == 401) is not open_to_all, (method, path, answer.text)
    assert elsewhere.get("/nowhere").status_code == 401
    assert elsewhere.get("/read").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("name", "may"), [("read", 1), ("operate", 2), ("admin", 3)])
def test_when_a_role_is_too_small_then_403_and_what_it_may_is_what_the_ones_before_may(elsewhere, tmp_path, name, may):
    token = TokenFile(tmp_path).make("erp", name, 1)
    found = [elsewhere.post(f"/{one}", headers=bearer(token)).status_code for one in ("read", "operate", "admin")]
    assert found == [200] * may + [403] * (3 - may)


def test_when_a_token_is_made_then_only_its_hash_is_kept_and_the_file_is_its_owners(tmp_path):
    file = TokenFile(tmp_path)
    token = file.make("erp", "read", 30)
    assert len(token) > 40
    assert token not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert len(file.secret()) == 32
    assert file.secret() == TokenFile(tmp_path).secret()
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_when_a_token_ends_or_is_revoked_and_made_anew_then_the_running_service_knows(elsewhere, tmp_path):
    file = TokenFile(tmp_path)
    old = file.make("old", "read", 1, now=datetime.now(UTC) - timedelta(days=2))
    one = file.make("erp", "read", 1)
    file.revoke("erp")
    two = file.make("erp", "read", 1)
    other = file.make("other", "read", 1)
    assert [elsewhere.get("/read", headers=bearer(t)).status_code for t in (old, one, two, other)] == [
        401, 401, 200, 200]  # fmt: skip
    file.revoke("erp")
    assert elsewhere.get("/read", headers=bearer(two)).status_code == 401
    assert {entry["name"] for entry in file.valid()} == {"other"}


def test_when_tokens_are_guessed_then_429_comes_soon_and_never_for_a_right_one(elsewhere, tmp_path):
    right = TokenFile(tmp_path).make("erp", "admin", 1)
    codes = [elsewhere.get("/read", headers=bearer(f"lc_{i}")).status_code for i in range(GUESSES_PER_MINUTE + 5)]
    assert codes == [401] * GUESSES_PER_MINUTE + [429] * 5
    assert elsewhere.get("/read", headers=bearer(right)).status_code == 200
    assert elsewhere.get("/read", headers={"Cookie": f"{SESSION}={right}"}).status_code == 200
    assert elsewhere.post("/session", data={"token": right}).status_code == 303
    answer = elsewhere.get("/read", headers=bearer("lc_one_more"))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("told", "named"),
    [(("", "read", 1), "name"), (("a b", "read", 1), "name"), (("a", "root", 1), "role"), (("a", "open", 1), "role"),
     (("a", "read", 0), "days"), (("a", "read", float("nan")), "days")],
)  # fmt: skip
def test_when_a_token_cannot_be_then_it_is_refused(tmp_path, told, named):
    with pytest.raises(SettingsError) as caught:
        TokenFile(tmp_path).make(*told)
    assert caught.value.facts["key"] == named
    assert not (tmp_path / "tokens.json").exists()


def test_when_the_file_of_tokens_is_damaged_then_nobody_comes_in(elsewhere, tmp_path):
    token = TokenFile(tmp_path).make("erp", "admin", 1)
    (tmp_path / "tokens.json").write_text('{"tokens": [{"name": "erp"}]}')
    with pytest.raises(VersionUnreadable):
        TokenFile(tmp_path).entries()
    assert elsewhere.get("/read", headers=bearer(token)).status_code == 503


# ---- a browser ------------------------------------------------------------------------------------------------------


def test_when_a_person_signs_in_then_a_cookie_that_no_script_reads_opens_the_pages(elsewhere, tmp_path):
    token = TokenFile(tmp_path).make("anna", "operate", 1)
    page = {"Accept": "text/html"}
    assert elsewhere.get("/read", headers=page).headers["location"] == "/session"
    assert "password" in elsewhere.get("/session", headers=page).text
    wrong = elsewhere.post("/session", data={"token": "lc_<b>"})
    assert wrong.status_code == 401
    assert "<b>" not in wrong.text
    right = elsewhere.post("/session", data={"token": token})
    said = right.headers["set-cookie"]
    assert right.status_code == 303
    assert "HttpOnly" in said
    assert "SameSite=strict" in said
    cookie = {"Cookie": said.partition(";")[0]}
    assert elsewhere.get("/read", headers=cookie).status_code == 200
    form = elsewhere.get("/form", headers=cookie).json()["csrf"]
    assert elsewhere.post("/form", headers=cookie, data={"word": "x", "csrf": form}).status_code == 200
    assert elsewhere.post("/form", headers=cookie, data={"word": "x"}).status_code == 403
    end = elsewhere.post("/session/end", headers={**cookie, "X-CSRF-Token": form})
    assert 'loomcast_session=""' in end.headers["set-cookie"]


def test_when_a_browser_sends_a_form_then_it_carries_our_word_and_a_program_needs_none(here):
    browser = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    word = here.get("/form").json()["csrf"]
    assert here.post("/form", data={"word": "x"}).status_code == 200
    assert here.post("/form", data={"word": "x"}, headers=browser).status_code == 403
    assert here.post("/form", data={"word": "x", "csrf": "0" * 64}, headers=browser).status_code == 403
    assert here.post("/form", data={"word": "x", "csrf": word}, headers=browser).status_code == 200
    assert here.post("/form", data={"word": "x"}, headers={**browser, "X-CSRF-Token": word}).status_code == 200


def test_when_a_route_takes_a_form_without_the_check_then_the_app_is_not_made(tmp_path):
    def sent(word: str = Form()) -> None: ...

    bad = APIRouter()
    bad.add_api_route("/bad", sent, methods=["POST"], dependencies=[role("operate")])
    with pytest.raises(TypeError, match="check_csrf"):
        make_app(calls.state_of(tmp_path), [bad])


def test_when_anything_is_answered_then_it_carries_the_headers_that_keep_browsers_safe(here):
    for path in ("/read", "/nowhere", "/docs", "/health"):
        headers = here.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    answer = here.get("/form")
    assert f"'nonce-{answer.json()['nonce']}'" in answer.headers["content-security-policy"]


# ---- the audit log --------------------------------------------------------------------------------------------------


def test_when_something_may_change_then_who_and_how_it_ended_is_noted_and_never_a_token(elsewhere, tmp_path, caplog):
    token = TokenFile(tmp_path).make("erp", "operate", 1)
    elsewhere.get("/read", headers=bearer(token))
    elsewhere.post("/read", headers=bearer(token))  # changes nothing
    elsewhere.post("/operate", headers=bearer(token))
    elsewhere.post("/admin", headers={**bearer(token), "x-request-id": "second"})
    elsewhere.post("/operate", headers=bearer("lc_wrong"))
    elsewhere.post("/operate", headers={**bearer(token), "Content-Type": "application/json"}, content="{")
    elsewhere.delete("/operate", headers=bearer(token))  # no such method; who knows what it was meant to do
    whole = (tmp_path / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in whole.splitlines()]
    assert [(one["who"], one["path"], one["status"]) for one in lines] == [
        ("erp", "/operate", None), ("erp", "/operate", 200), ("erp", "/admin", None), ("erp", "/admin", 403),
        ("erp", "/operate", None), ("erp", "/operate", 400), ("erp", "/operate", None), ("erp", "/operate", 405),
    ]  # fmt: skip
    assert lines[2]["request_id"] == lines[3]["request_id"] == "second"
    assert token not in whole + caplog.text
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("fault", ["folder", "full"])
def test_when_the_audit_log_cannot_be_written_then_503_and_nothing_is_done_and_reading_goes_on(
    tmp_path, monkeypatch, fault
):
    done = []
    found = router()
    found.add_api_route("/act", lambda: done.append(1), methods=["POST"], dependencies=[role("operate")])
    client = calls.client_of(calls.state_of(tmp_path), [found])
    write = os.write
    if fault == "folder":
        (tmp_path / "audit.jsonl").mkdir()
    else:
        monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[:7]))
    answer = client.post("/act")
    assert (answer.status_code, answer.json()["error"]) == (503, "audit_unwritable")
    assert str(tmp_path) not in answer.text
    assert not done
    assert client.post("/read").status_code == 200
    if fault == "full":  # the next line is whole again
        monkeypatch.setattr(os, "write", write)
        assert client.post("/act").status_code == 200
        lines = (tmp_path / "audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["status"] for line in lines] == [None, 200]


def test_when_a_call_is_cancelled_then_it_is_noted_as_unheard(tmp_path):
    async def hang() -> None:
        await asyncio.sleep(60)

    found = router()
    found.add_api_route("/hang", hang, methods=["POST"], dependencies=[role("operate")])
    app = make_app(calls.state_of(tmp_path), [found])

    async def cut() -> None:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as caller:
            call = asyncio.create_task(caller.post("/hang"))
            while not (tmp_path / "audit.jsonl").exists():
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(cut())
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(one["path"], one["status"]) for one in lines] == [("/hang", None), ("/hang", UNHEARD)]


def test_when_the_disk_fills_meanwhile_or_the_act_fails_then_the_answer_is_how_it_ended(tmp_path, caplog):
    found = router()

    def act() -> dict[str, bool]:
        (tmp_path / "audit.jsonl").rename(tmp_path / "away")
        (tmp_path / "audit.jsonl").mkdir()
        return {"done": True}

    def fail() -> None:
        raise ZeroDivisionError

    for path, called in (("/act", act), ("/fail", fail)):
        found.add_api_route(path, called, methods=["POST"], dependencies=[role("operate")])
    client = calls.client_of(calls.state_of(tmp_path), [found])
    assert client.post("/fail").status_code == 500
    assert client.post("/act").json() == {"done": True}
    assert "how it ended (200)" in caplog.text
    noted = [json.loads(line) for line in (tmp_path / "away").read_text().splitlines()]
    assert [(one["path"], one["status"]) for one in noted] == [("/fail", None), ("/fail", 500), ("/act", None)]


def test_when_roles_are_compared_then_each_holds_the_ones_before():
    assert Role.open < Role.read < Role.operate < Role.admin
