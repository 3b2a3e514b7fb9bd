"""`python -m tests.faults.crash_points ROOT MODE`: publishes, appends, promotes, rolls back and prunes in a copy of the
registry at ROOT, once for every call that reaches the file system, and dies at that call (MODE dies), loses its
power, so that what was not synced is lost (MODE power), or is refused it (MODE fails).

Prints one JSON list of [n-th call, its name, exit code] and leaves the copies at ROOT-at-N.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demand.errors import DemandError
from models.registry import Registry
from tests.contracts.test_registry import fill_with
from tests.faults.power import Disk

DIED, REFUSED = 9, 8
# What Python tells an audit hook before it does it; fsync is not among them.
CALLS = ("open", "os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.listdir", "os.scandir",
         "fcntl.flock", "shutil.rmtree")  # fmt: skip


class Fault:
    """Counts the calls below `root`; at the n-th it ends the process, or raises that the disk is full from there on."""

    def __init__(self, root: Path, at: int, mode: str) -> None:
        self.root, self.at, self.mode, self.calls, self.armed = str(root), at, mode, 0, True
        self.disk = Disk(Path(tempfile.mkdtemp(dir=root.parent, prefix="spare")))
        real = os.fsync
        sys.addaudithook(self._audited)

        def fsync(fd: Any) -> None:
            self._count("fsync")
            real(fd)
            if self.mode == "power":
                self._unseen(self.disk.synced, fd)

        os.fsync = fsync

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CALLS and self.armed:
            place = arguments[0]
            ours = isinstance(place, int) or os.fspath(place).startswith(self.root)
            inside = event in ("os.remove", "os.rmdir") and arguments[1] != -1  # a name below an open folder
            if ours or inside:
                self._count(event)
                if self.mode == "power" and ours:
                    self._unseen(self.disk.before, event, arguments)

    def _unseen(self, act: Callable[..., None], *given: Any) -> None:
        """What the test itself does with files is none of the work's calls."""
        self.armed = False
        try:
            act(*given)
        finally:
            self.armed = True

    def _count(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.at:
            print(json.dumps(name), flush=True)
            if self.mode == "power":
                self._unseen(self.disk.lose)
            if self.mode != "fails":
                os._exit(DIED)
        changes = name not in ("os.listdir", "os.scandir", "os.remove", "os.rmdir", "shutil.rmtree")
        if self.mode == "fails" and 0 < self.at <= self.calls and changes:
            raise OSError(28, "No space left on device")


def work(root: Path) -> None:
    """One release more, on top of release 1 (champion) and 2 (promoted by nobody), promoted, rolled back and promoted
    again; then older ones are removed."""
    registry = Registry(root)
    number = registry.publish(fill_with("new"))
    registry.append_history([{"release": number}])
    registry.promote(number, expected=1, facts={})
    registry.promote(1, expected=number, facts={"rolled_back_from": number})
    registry.promote(number, expected=1, facts={})
    registry.keep_only_newest()


def in_child(root: Path, at: int, mode: str) -> tuple[str, int]:
    """(name of the n-th call, exit code) of the work done in a fork."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        fault = Fault(root, at, mode)
        try:
            work(root)
        except DemandError:
            os._exit(REFUSED)
        fault.armed = False
        os._exit(0 if fault.calls >= at else 7)
    os.close(write)
    with os.fdopen(read) as said:
        name = said.read().strip()
    return json.loads(name) if name else "", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    root, mode = Path(sys.argv[1]), sys.argv[2]
    found = []
    at = 0
    while True:
        at += 1
        copy = root.with_name(f"{root.name}-at-{at}")
        shutil.copytree(root, copy)
        name, code = in_child(copy, at, mode)
        if not name:  # there is no n-th call
            shutil.rmtree(copy)
            break
        found.append([at, name, code])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
