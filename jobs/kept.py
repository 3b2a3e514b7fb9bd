"""A process that is started again when it is killed, and left alone when it ends by itself."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

log = logging.getLogger(__name__)
INSIDE = "LOOMCAST_KEPT"  # in the environment of a kept process: how often it was started before
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 60.0
STEADY_S = 300.0  # who ran so long is started again at once


def restarts() -> int | None:
    """How often this process was started before; None when nobody keeps it."""
    told = os.environ.get(INSIDE, "")
    return int(told) if told.isdecimal() else None


def keep(command: Sequence[str]) -> int:
    """Runs `command` until it ends by itself, and starts it again whenever a signal ended it; returns its exit code.

    SIGTERM and SIGINT are passed on, and then it is not started again. Is this process killed, the other goes on.
    """
    asked = False
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if child is not None and child.poll() is None:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        wait_s, times = FIRST_WAIT_S, 0
        while True:
            began = time.monotonic()
            # A session of its own: Ctrl-C in a terminal reaches it once, from here.
            child = subprocess.Popen(command, env=os.environ | {INSIDE: str(times)}, start_new_session=True)
            code = child.wait()
            if code >= 0 or asked:
                return code if code >= 0 else 128 - code
            wait_s = FIRST_WAIT_S if time.monotonic() - began > STEADY_S else wait_s
            log.error("the service was ended by signal %d: started again in %.0f s", -code, wait_s)
            time.sleep(wait_s)
            wait_s, times = min(2 * wait_s, LAST_WAIT_S), times + 1
            if asked:
                return 128 - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def this_again() -> list[str]:
    """The command of this very process."""
    return list(sys.orig_argv)
