"""A child process that cannot outlive its parent, within a time limit; its output without passwords."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from demand.masking import masked

GRACE_S = 30.0  # between asking a process to end and ending it
KEPT_LINES = 40
MOST_BYTES = 20 * 2**20  # of output that is passed on
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: as from the shell, negative = ended by that signal. late: the time was up. said: its
    last lines."""

    code: int
    late: bool
    said: tuple[str, ...]


def supervised(arguments: Sequence[str], timeout_s: float, handle: int) -> Ended:
    """Runs this Python with `arguments`, passes its output on to stdout, and waits.

    The child gets the open file `handle` (the lease), and the kernel ends it when this process dies. SIGTERM here ends
    it first and is then raised as KeyboardInterrupt.
    """
    child = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace", pass_fds=(handle,), start_new_session=True,
        preexec_fn=_ends_with(os.getpid()), env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    assert child.stdout is not None
    reader = threading.Thread(target=_pass_on, args=(child.stdout, tail), daemon=True)
    reader.start()
    before = (
        signal.signal(signal.SIGTERM, _interrupt) if threading.current_thread() is threading.main_thread() else None
    )
    late = False
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        _end(child)
        reader.join(GRACE_S)
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    child.stdout.close()
    return Ended(child.returncode, late, tuple(tail))


def _ends_with(parent: int) -> Callable[[], None]:
    """Runs in the child before it becomes another program: its end is tied to its parent's (Linux), and it hears
    SIGINT, which processes that a script put into the background ignore, and their children with them."""
    libc = ctypes.CDLL(None, use_errno=True)

    def tie() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


def _pass_on(stream: IO[str], tail: deque[str]) -> None:
    passed = 0
    for line in stream:
        shown = masked(line.rstrip("\n"))
        tail.append(shown)
        passed += len(shown) + 1
        if passed <= MOST_BYTES:
            print(shown, flush=True)
        elif passed - len(shown) - 1 <= MOST_BYTES:
            print("more output is left out", flush=True)


def _end(child: subprocess.Popen[str]) -> None:
    """Asks the child and what it started to end, as Ctrl-C does; ends them when that takes too long."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
