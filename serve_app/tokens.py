"""Tokens: made once, shown once, kept as hashes under the storage root, with a role and an end."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any

from demand.durable import unwritable, write_whole
from demand.errors import SettingsError, VersionUnreadable
from demand.moments import stamp
from models.files import read_json, write_json

PREFIX = "lc_"
TOKENS = "tokens.json"
SECRET = "secret"


class Role(IntEnum):
    """What one may do; each may do what the ones before it may. `open` needs no token."""

    open = 0
    read = 1
    operate = 2
    admin = 3


@dataclass(frozen=True)
class Principal:
    """Who calls. name: the token's, `local` without one on this machine. token_id: part of its hash, "" for `local`."""

    name: str
    role: Role
    token_id: str = ""


LOCAL = Principal("local", Role.admin)


@dataclass(frozen=True)
class TokenFile:
    """`<storage.root>/tokens.json`, for its owner alone: {tokens: [{name, role, sha256, made_at, expires_at}]}."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root / TOKENS

    def make(self, name: str, role: str, days: float, now: datetime | None = None) -> str:
        """A new token, which is stored as its hash only: this is the one time it can be seen.

        Raises SettingsError for a name, role or number of days that cannot be, and for a name whose token is valid
        still: who uses it would be locked out unasked. One of the name that has ended makes way.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", name):
            raise SettingsError("a token's name has letters, digits and _.@- only", key="name", found=name)
        if role not in (one.name for one in Role if one):
            raise SettingsError("unknown role", key="role", found=role, expected=[one.name for one in Role if one])
        if not 0 < days <= 3660:
            raise SettingsError("a token lasts up to ten years", key="days", found=days, expected="0 < days <= 3660")
        now = now or datetime.now(UTC)
        token = PREFIX + secrets.token_urlsafe(32)
        entry = {
            "name": name, "role": role, "sha256": _hashed(token), "made_at": stamp(now),
            "expires_at": stamp(now + timedelta(days=days)),
        }  # fmt: skip

        def added(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
            same = next((one for one in kept if one["name"] == name and not _ended(one, now)), None)
            if same is not None:
                raise SettingsError(
                    "a token of this name is valid already", key="name", found=name, role=same["role"],
                    expires_at=same["expires_at"],
                    hint=f"End it first with python -m jobs.token revoke={name}, or choose another name",
                )  # fmt: skip
            return [*(one for one in kept if one["name"] != name), entry]

        self._change(added)
        return token

    def revoke(self, name: str) -> None:
        """Ends a token. Raises SettingsError when none has this name."""
        if name not in {one["name"] for one in self.entries()}:
            raise SettingsError("no token has this name", key="name", found=name, known=[*self._names()])
        self._change(lambda kept: [one for one in kept if one["name"] != name])

    def entries(self) -> list[dict[str, Any]]:
        """All tokens, without the tokens. Raises VersionUnreadable when the file is damaged."""
        if not self.path.is_file():
            return []
        value = read_json(self.path)
        entries = value.get("tokens") if isinstance(value, dict) else None
        wanted = {"name", "role", "sha256", "expires_at"}
        if not isinstance(entries, list) or not all(isinstance(e, dict) and wanted <= e.keys() for e in entries):
            raise VersionUnreadable("the file of tokens is damaged", file=str(self.path))
        return entries

    def valid(self, now: datetime | None = None) -> list[dict[str, Any]]:
        """Those that have not ended."""
        now = now or datetime.now(UTC)
        return [one for one in self.entries() if not _ended(one, now)]

    def secret(self) -> bytes:
        """A random key of this storage, the same for every process; made when first asked for."""
        path = self.root / SECRET
        if not path.exists():

            def fill(temporary: Path) -> None:
                _private(temporary)
                temporary.write_bytes(secrets.token_bytes(32))

            with self._lock():
                if not path.exists():
                    write_whole(path, fill)
        return path.read_bytes()

    def _names(self) -> list[str]:
        return [one["name"] for one in self.entries()]

    def _change(self, change: Any) -> None:
        def fill(temporary: Path) -> None:
            _private(temporary)
            write_json(temporary, {"tokens": change(self.entries())})

        with self._lock():
            write_whole(self.path, fill)

    def _lock(self) -> Any:
        return _Locked(self.root)


class _Locked:
    """Holds `<root>/.tokens.lock`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._file = (self._root / ".tokens.lock").open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise unwritable(self._root, error) from None

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Tokens:
    """The tokens as a running service sees them: read again when the file changes."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._entries: list[Mapping[str, Any]] = []

    def principal(self, token: str, now: datetime | None = None) -> Principal | None:
        """Whose token this is; None when it is unknown or has ended. All are compared, in constant time each."""
        now = now or datetime.now(UTC)
        hashed, found = _hashed(token), None
        for entry in self._read():
            if hmac.compare_digest(hashed, entry["sha256"]) and not _ended(entry, now):
                found = Principal(entry["name"], Role[entry["role"]], hashed[:12])
        return found

    def _read(self) -> list[Mapping[str, Any]]:
        try:
            stat = self._file.path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            self._seen, self._entries = None, []
            return []
        if seen != self._seen:
            self._entries, self._seen = [*self._file.entries()], seen
        return self._entries


def _hashed(token: str) -> str:
    # 256 random bits need no salt and no slow hash
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _ended(entry: Mapping[str, Any], now: datetime) -> bool:
    return datetime.fromisoformat(entry["expires_at"]) <= now


def _private(path: Path) -> None:
    """An empty file that its owner alone can read: before anything is in it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
