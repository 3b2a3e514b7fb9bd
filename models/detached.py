"""Processes that outlive the one that starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from demand.durable import unwritable
from demand.errors import StorageError
from models.job import Job, Process
from models.ledger import Ledger
from models.processes import boot, start_of

# A process between: the job is then no child of the server, which neither has to reap it nor, as Ray's workers do with
# their children, ends it on its own way out.
_LAUNCH = """
import subprocess, sys
with open(sys.argv[1], "ab") as log:
    child = subprocess.Popen(
        sys.argv[2:], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
print(child.pid, flush=True)
"""
_OF_RAY = ("RAY_AUTH", "RAY_ADDRESS", "RAY_TMPDIR")  # what a job needs of a Ray worker's environment; the rest misleads


def start_detached(command: Sequence[str], log: Path, code: Path | None = None) -> Process:
    """Starts a command in a session of its own; its output is added to `log`. Returns who runs it.

    code: a folder that its Python finds modules in, wherever it runs. Raises StorageError when the log cannot be
    written or the command not be started.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        launched = subprocess.run(
            [sys.executable, "-I", "-c", _LAUNCH, str(log.resolve()), *command],
            env=environment(os.environ, code), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    except OSError as error:
        raise unwritable(log.parent, error) from None
    except subprocess.TimeoutExpired:
        raise StorageError("a process did not start within a minute", command=command[:3]) from None
    if launched.returncode or not launched.stdout.strip().isdigit():
        cause = (launched.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StorageError("a process cannot be started", command=command[:3], cause=cause)
    pid = int(launched.stdout)
    return Process(pid, start_of(pid) or 0, boot())


def environment(given: Mapping[str, str], code: Path | None = None) -> dict[str, str]:
    """The environment for a job: without what marks this process as a worker of a Ray cluster."""
    kept = {name: value for name, value in given.items() if not name.startswith("RAY_") or name.startswith(_OF_RAY)}
    if code is not None:
        kept["PYTHONPATH"] = os.pathsep.join([str(code), *filter(None, [given.get("PYTHONPATH")])])
    return kept


def start_job(ledger: Ledger, job: Job, command: Sequence[str], code: Path | None = None) -> None:
    """Starts the process of a queued job: `command` with `job=ID`. Raises StorageError when it does not start: then the
    job is failed."""
    try:
        process = start_detached([*command, f"job={job.job_id}"], ledger.log_path(job.job_id), code)
    except StorageError as error:
        ledger.never_started(job.job_id, str(error))
        raise
    ledger.assigned(job.job_id, process)
