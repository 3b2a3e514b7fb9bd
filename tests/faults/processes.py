"""Processes and sockets of a job's own process tree, read from /proc; nothing outside that tree is ever touched."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STARTED: dict[str, list[subprocess.Popen[bytes]]] = {}
MARK = "LOOMCAST_TEST_TREE"  # every process of a tree inherits it, also when its parent has died


def environment(mark: str, **more: str) -> dict[str, str]:
    """This process's environment, one numeric thread, nothing about Ray, and the mark of the tree."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"OMP_NUM_THREADS": "1", MARK: mark, **more}


def start(arguments: list[str], mark: str, log: Path, **more: str) -> subprocess.Popen[bytes]:
    """A Python process in the repository's root, in a group of its own; its output goes to `log`."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment(mark, **more), stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    _STARTED.setdefault(mark, []).append(process)
    return process


def tree(mark: str) -> dict[int, str]:
    """{pid: command line} of the living processes that carry the mark."""
    found = {}
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:  # a zombie has none
                    found[int(folder.name)] = command
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def parents_of(pids: set[int]) -> set[int]:
    """The parents of those of these processes that still live."""
    found = set()
    for pid in pids:
        try:
            found.add(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def as_text(mark: str) -> str:
    """The tree's living processes, a line each: pid, parent, state, command."""
    lines = [f"---- processes of {mark}"]
    for pid, command in sorted(tree(mark).items()):
        try:
            state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        lines.append(f"{pid} of {parent} {state} {command[:150]}")
    return "\n".join(lines)


def tail(path: Path, lines: int = 30) -> str:
    """The end of a log, under its name."""
    text = path.read_text(errors="replace").splitlines() if path.is_file() else ["(is not there)"]
    return "\n".join([f"---- {path.name}", *(line[:300] for line in text[-lines:])])


def workers(mark: str, doing: str = "ray::") -> list[int]:
    """Ray's workers in the tree that run a task now."""
    return [pid for pid, command in tree(mark).items() if command.startswith(doing) and "IDLE" not in command]


def listening(pids: set[int]) -> set[tuple[str, int, int]]:
    """(address in /proc's hex, port, pid) of every listening TCP socket of these processes, IPv4 and IPv6."""
    inodes = {}
    for pid in pids:
        try:
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(handle)
                if target.startswith("socket:["):
                    inodes[target[8:-1]] = pid
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16), inodes[fields[9]]))
    return found


def is_loopback(address: str) -> bool:
    """Whether an address as /proc/net/tcp[6] writes it is 127.x.x.x, ::1 or 127.x.x.x written as IPv6."""
    if len(address) == 8:
        return address.endswith("7F")
    return address == "00000000000000000000000001000000" or (
        address.startswith("0000000000000000FFFF0000") and address.endswith("7F")
    )


def wait_for(true: Callable[[], object], seconds: float, what: str) -> None:
    """Returns when `true()` is; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def end_tree(mark: str) -> None:
    """SIGKILL to every process that still carries the mark, and waits until they are gone."""
    deadline = time.monotonic() + 20
    while left := tree(mark):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes do not end: {left}")
        for pid in left:
            if pid != os.getpid():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.1)
    for process in _STARTED.pop(mark, []):
        process.wait(timeout=20)


@contextmanager
def own_tree(name: str) -> Iterator[str]:
    """A mark for processes to be started; whatever they leave behind is ended."""
    mark = f"{name}-{os.getpid()}-{time.time_ns()}"
    try:
        yield mark
    finally:
        end_tree(mark)


def free_port() -> int:
    """A port of loopback that is free now, outside the range from which the system itself gives ports to anybody."""
    while True:
        port = secrets.randbelow(10_000) + 20_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
