"""Work on files from outside, in a process of its own: what it may know, and how long it may take."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the child's environment holds of ours; no token, key or password is among it.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


async def run_child(folder: Path, seconds: float, module: str) -> int | None:
    """Runs the child `module` on `folder`; its exit status, None when it was killed for taking too long."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS"), "1")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(folder.resolve()), cwd=ROOT,
        env={**passed, **threads, "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return await asyncio.wait_for(child.wait(), seconds)
    except TimeoutError:
        return None
    finally:
        if child.returncode is None:  # too late, or nobody waits for the answer any more
            child.kill()
            await child.wait()
