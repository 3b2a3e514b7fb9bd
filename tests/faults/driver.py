"""`python -m tests.faults.driver JOB key=value ..`: a job of the product with the stand-in in ARIMA's place."""

from __future__ import annotations

import sys
from importlib import import_module

from jobs.entry import run
from tests.jobs.stand_in import take_arimas_place

if __name__ == "__main__":
    take_arimas_place()
    job = sys.argv[1]
    run(job, import_module(f"jobs.{job}").body, sys.argv[2:])
