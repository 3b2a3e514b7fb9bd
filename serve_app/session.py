"""/session: where a browser shows its token once and gets a cookie for it. Programs send the token with each call."""

from __future__ import annotations

import html

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serve_app.auth import SESSION, check_csrf, open_to_all, role
from serve_app.limits import address_of
from serve_app.problems import Refused
from serve_app.state import State

LASTS_S = 12 * 3600
LONGEST = 200  # characters of a token
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in - loomcast</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="stylesheet" href="/session/style.css">
</head><body><main><h1>loomcast</h1>{said}<form method="post" action="/session">
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password"
 required maxlength="200"><button>Sign in</button></form><p>A token is made on the machine that serves, with
<code>python -m jobs.token name=NAME role=read</code>.</p></main></body></html>"""
STYLE = """:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:10vh auto;
padding:1rem}label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit;margin:.5rem 0;
padding:.5rem}
[role=alert]{border-left:4px solid #c33;padding-left:.75rem}"""


def session_router(state: State) -> APIRouter:
    """GET and POST /session, POST /session/end."""
    router = APIRouter(include_in_schema=False)

    @router.get("/session", dependencies=[role("open")])
    async def form() -> Response:
        return HTMLResponse(PAGE.format(said=""))

    @router.get("/session/style.css", dependencies=[role("open")])
    async def style() -> Response:
        return Response(STYLE, media_type="text/css")

    # Nobody is signed in yet, so no form of ours could carry a token of theirs; a foreign Origin was refused before.
    @router.post("/session", dependencies=[open_to_all()])
    async def sign_in(request: Request, token: str = Form(max_length=LONGEST)) -> Response:
        try:
            state.access.of_token(token.strip(), address_of(request.scope))
        except Refused as refused:
            said = f'<p role="alert">{html.escape(refused.detail.split(". ")[0])}.</p>'
            return HTMLResponse(PAGE.format(said=said), refused.status_code, refused.headers)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            SESSION, token.strip(), max_age=LASTS_S, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @router.post("/session/end", dependencies=[role("read"), Depends(check_csrf)])
    async def sign_out() -> Response:
        answer = RedirectResponse("/session", 303)
        answer.delete_cookie(SESSION, httponly=True, samesite="strict")
        return answer

    return router
