"""`python -m jobs.pipeline`: raw file in, released fleet forecast out."""

from __future__ import annotations

from jobs.entry import run
from jobs.settings import Settings
from jobs.train import release_fleet
from jobs.tuned import with_tuned


def body(settings: Settings) -> int:
    """Data, race, verdict, release and report; exit code 1 when a requested model made no forecast at all."""
    return release_fleet(with_tuned(settings), "pipeline", report=True)


if __name__ == "__main__":
    run("pipeline", body)
