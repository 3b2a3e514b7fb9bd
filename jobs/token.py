"""`python -m jobs.token name=erp role=read`: makes, lists and ends the tokens that the HTTP service asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from demand.errors import SettingsError
from jobs.entry import OK, run
from jobs.settings import Settings
from jobs.show import show
from serve_app.tokens import TokenFile


def body(settings: Settings) -> int:
    """Makes the token that is asked for and prints it, once; ends one with `revoke`; lists all without either.

    A running service knows of it at once. Raises SettingsError when a name comes without a role or a role without a
    name, when both a token and an end are asked for, no token has the name that is to end, or a valid one has the name
    that is to be given.
    """
    file = TokenFile(Path(settings.storage.root))
    name, role = settings.name, settings.role
    if settings.revoke is not None:
        if name is not None or role is not None:
            raise SettingsError("one thing at a time: make a token or end one", name=name, revoke=settings.revoke)
        file.revoke(settings.revoke)
        show(f"Ended     {settings.revoke}")
        return OK
    if name is None and role is None:
        show(*_listed(file))
        return OK
    if name is None or role is None:
        raise SettingsError(
            "a token has a name and a role", name=name, role=role, hint="Say name=erp role=read days=365"
        )
    token = file.make(name, role, settings.days)
    days = f"{settings.days:g} day{'' if settings.days == 1 else 's'}"
    show(
        f"Token     {token}",
        f"          of {name}, role {role}, for {days}; shown this once, only its hash is kept",
        'Use it    curl -H "Authorization: Bearer TOKEN" ..',
        f"End it    python -m jobs.token revoke={name}",
    )
    return OK


def _listed(file: TokenFile) -> list[str]:
    now = datetime.now(UTC)
    lines = [
        f"{one['name']:<20}  {one['role']:<8}  "
        + ("ended " if datetime.fromisoformat(one["expires_at"]) <= now else "until ")
        + one["expires_at"]
        for one in file.entries()
    ]
    return lines or ["No tokens yet. Make one with python -m jobs.token name=erp role=read days=365"]


if __name__ == "__main__":
    run("token", body)
