"""The log of a registry: every change is an entry made by a put-if-absent, so the changes form one line, none lost.

Two promotions at once: both try to make entry 8, one is refused, looks at what entry 8 says, and decides again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from demand.errors import VersionUnreadable
from demand.moments import now_utc, stamp
from models.pointers import ALIASES, Head, Pointer, as_json, read_lines, read_object, read_pointer
from models.stores import Store

log = logging.getLogger(__name__)
LOG, HEAD, PROMOTED, CHALLENGED = "log/", "head.json", "promoted", "challenged"
_EARLIER_LOG = "promotions.jsonl"
_BATCH = 64  # entries read at once


class Log:
    """The entries of one registry, and the state they lead to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def head(self) -> Head:
        """The newest state: what head.json keeps of it, and what the log says beyond that.

        Raises VersionUnreadable when neither can be read.
        """
        head = self._kept() or self._newest() or self._before()
        while (further := self._entry(head.entry + 1)) is not None:
            head = further
        return head

    def commit(
        self, kind: str, change: Callable[[Head], Head | None], facts: Mapping[str, object] | None = None
    ) -> int:
        """Adds what `change` makes of the state as the next entry, on whatever state stands there by then.

        `change` raises to refuse, or returns None where nothing is to be done. facts: kept in the entry, beside the
        state. Returns the entry's number, 0 for none.
        """
        while True:
            head = self.head()
            after = change(head)
            if after is None:
                return 0
            number = head.entry + 1
            # The writer makes no two entries alike.
            said = {
                "kind": kind,
                "at": stamp(now_utc()),
                "writer": uuid.uuid4().hex,
                **after.as_json(),
                "entry": number,
            }
            if facts is not None:
                said["facts"] = dict(facts)
            if head.entry == 0 and head.earlier:
                said["earlier"] = head.earlier
            if self._store.create(_key(number), as_json(said)):
                return number

    def entries(self) -> Iterator[dict[str, Any]]:
        """What each entry says, newest first. One that cannot be read is logged and left out."""
        keys = self._store.names(LOG)
        for end in range(len(keys), 0, -_BATCH):
            found = self._store.read_all(keys[max(0, end - _BATCH) : end])
            for key in sorted(found, reverse=True):
                try:
                    yield read_object(found[key], key)
                except VersionUnreadable as error:
                    log.warning("%s; it is left out", error)

    def champions(self) -> Iterator[Pointer]:
        """Each pointer `champion` was, newest first. An entry that cannot be read is logged and left out."""
        first: Mapping[str, object] | None = None
        for first in self.entries():
            pointer = first.get("champion")
            if first.get("kind") == PROMOTED and isinstance(pointer, dict):
                yield pointer
        earlier = list(self._before().earlier) if first is None else first.get("earlier", [])
        if isinstance(earlier, list):
            yield from reversed(earlier)

    def challengers(self) -> Iterator[dict[str, Any]]:
        """Each change of `challenger` alone, newest first: {at, release (None: nowhere any more), facts}."""
        for one in self.entries():
            if one.get("kind") == CHALLENGED:
                pointer = one.get("challenger") or {}
                facts = one.get("facts") or pointer.get("facts") or {}
                yield {"at": one["at"], "release": pointer.get("release"), "facts": facts}

    def served(self, head: Head, number: int) -> Pointer | None:
        """A pointer to this release that `champion` once was and that says its sha256; None when there is none."""
        for pointer in (head.champion, head.previous):
            if pointer is not None and pointer["release"] == number and pointer.get("manifest_sha256"):
                return pointer
        if number > head.highest:
            return None
        known = (one for one in self.champions() if one["release"] == number and one.get("manifest_sha256"))
        return next(known, None)

    def _kept(self) -> Head | None:
        kept = self._store.read(HEAD)
        if kept is None:
            return None
        try:
            return Head.from_json(kept[0], HEAD)
        except VersionUnreadable as error:
            log.warning("%s; the log is read instead", error)
            return None

    def _newest(self) -> Head | None:
        keys = self._store.names(LOG)
        found = self._store.read(keys[-1]) if keys else None
        return None if found is None else Head.from_json(found[0], keys[-1])

    def _entry(self, number: int) -> Head | None:
        found = self._store.read(_key(number))
        return None if found is None else Head.from_json(found[0], _key(number))

    def _before(self) -> Head:
        """The state of a registry that was written before there was a log."""
        found = {name: self._store.read(f"aliases/{name}.json") for name in ALIASES}
        kept = {name: None if one is None else read_pointer(one[0], name) for name, one in found.items()}
        earlier = read_lines(self._store.lines(_EARLIER_LOG), _EARLIER_LOG)
        champion = kept["champion"]
        if champion is not None and champion not in earlier[-1:]:  # killed between the pointer and the line
            earlier.append(champion)
        highest = max((int(pointer["release"]) for pointer in earlier), default=0)
        return Head(0, champion, kept["challenger"], kept["previous"], highest, earlier=tuple(earlier))


def _key(entry: int) -> str:
    return f"{LOG}{entry:020d}.json"
