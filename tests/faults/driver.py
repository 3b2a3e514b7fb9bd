"""`python -m tests.faults.driver JOB key=value ..`: a job of the product with the stand-in in ARIMA's place."""

from __future__ import annotations

import sys
from importlib import import_module

import jobs.retrain
import jobs.schedule
from jobs.entry import run
from tests.jobs.stand_in import take_arimas_place

DRIVER = ("-m", "tests.faults.driver")

if __name__ == "__main__":
    take_arimas_place()
    del sys.argv[0]  # a job looks for its arguments behind its own name
    job = sys.argv[0]
    # Jobs that start others start them with the stand-in too.
    jobs.retrain.TRAIN = (*DRIVER, "train")
    jobs.schedule.RETRAIN = (*DRIVER, "retrain")
    jobs.schedule.POLL_S = 4.0  # seconds between two looks at a job, not 20
    run(job, import_module(f"jobs.{job}").body, sys.argv[1:])
