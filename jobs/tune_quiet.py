"""What Ray Tune reads from the environment when it is imported, said before that."""

from __future__ import annotations

import os

# No reports of its own, no log files a trial, Ctrl-C as in any other job.
_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1", "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "3600",
}  # fmt: skip


def quiet_tune() -> None:
    """Sets what nobody has set."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
