"""Who runs: a process that cannot be mistaken for a later one of the same number."""

from __future__ import annotations

import os
from pathlib import Path

from models.job import Process

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> Process:
    """Who runs now."""
    return Process(os.getpid(), start_of(os.getpid()) or 0, boot())


def has_ended(process: Process) -> bool | None:
    """Whether a process is no more; None when it cannot be told from here (another machine)."""
    if not process.boot or process.boot != boot():
        return None
    return start_of(process.pid) != process.started


def boot() -> str:
    """Names this start of this machine's kernel, "" where there is no such name."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.is_file() else ""


def start_of(pid: int) -> int | None:
    """When a living process began, in clock ticks since the boot; None when there is none, or only its remains."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])
