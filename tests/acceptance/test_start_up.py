"""A command answers soon: what takes a second to import is imported by those who use it, when they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTED = ("jobs.train", "jobs.retrain", "jobs.schedule", "jobs.promote", "jobs.serve", "serve_app.deployment")
SLOW_TO_IMPORT = ("sklearn", "scipy.stats", "scipy.optimize", "statsmodels", "tensorflow", "prophet", "ray")


@pytest.mark.slow
def test_when_a_job_or_the_service_starts_then_nothing_slow_is_imported_that_it_may_not_need():
    code = f"import sys, {', '.join(STARTED)}; print(sorted(set(sys.modules) & set({SLOW_TO_IMPORT!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
