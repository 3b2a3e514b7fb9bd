"""Substitutes for every yarn that is short, measured: seconds by stage and peak memory.

    .venv/bin/python -m tests.bench.yarn [--yarns 100000] [--short 0.3] [--labels 4000] [--serial]

The yarns are the generator's, in its notation; a share of them is made short. The stages are those of jobs.train and
jobs.substitutes. Without --serial the ranking runs on Ray with two CPUs, as the job does. Peak memory is that of this
process and of the largest of its children; absolute seconds belong to this machine and its load.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from demand.company.demo import make_company
from demand.fleet import SyntheticSettings
from features.yarn_catalogue import yarn_catalogue
from features.yarn_pairs import Pairs, pair_features
from jobs import compose
from jobs.substitutes import ranked_frame
from models.substitutes import Substitutes
from models.yarn_labels import Labelled
from models.yarn_substitution import FitLimits, YarnSubstitution


@contextmanager
def stage(name: str) -> Iterator[None]:
    started, busy = time.perf_counter(), time.process_time()
    yield
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    print(f"{name:<44}{seconds:>9.1f} s {cpu:>9.1f} CPU s {peak_mb():>9,.0f} MB", flush=True)


def peak_mb() -> float:
    own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, others) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yarns", type=int, default=100_000)
    parser.add_argument("--short", type=float, default=0.3)
    parser.add_argument("--labels", type=int, default=4_000)
    parser.add_argument("--serial", action="store_true")
    args = parser.parse_args()
    told = ["cluster.num_cpus=2", *(["parallel_training=false"] if args.serial else [])]
    settings = compose.load("substitutes", told)
    print(f"{args.yarns:,} yarns, {args.short:.0%} short, {args.labels:,} labels; {os.cpu_count()} CPUs, load "
          f"{os.getloadavg()[0]:.1f}, {'one process' if args.serial else 'Ray with two CPUs'}")  # fmt: skip
    with stage("generate the tables"):
        company = make_company(SyntheticSettings(styles=30, years=1.0), args.yarns, args.labels).company
    rng = np.random.default_rng(1)
    stock = company.stock
    assert stock is not None
    short = rng.random(len(stock)) < args.short
    stock = stock.assign(planning_lb=np.where(short, -rng.gamma(1.5, 400, len(stock)), stock["theoretical_lb"]))
    with stage("read the notation, build the catalogue"):
        yarns, counts = yarn_catalogue(company.yarns, stock, company.purchase_orders, settings.substitution)
    print(f"  sizes read: {counts['sizes_read']:,} of {counts['yarns']:,}")
    labels = company.labels
    assert labels is not None
    a, b = (yarns.find(labels[name].to_numpy(dtype=str)) for name in ("yarn_a", "yarn_b"))
    y = labels["is_substitutable"].to_numpy(dtype=np.int64)
    with stage("train the classifier, five folds by yarn"):
        features = pair_features(yarns, Pairs(a, b), settings.substitution)
        labelled = Labelled(features, y, a, b, np.arange(len(y)))
        model = YarnSubstitution().fit(labelled, FitLimits(threads=2))
    answering = replace(Substitutes(yarns, settings.substitution), model=model)
    wanted = answering.short()
    first, end = answering.candidates.runs(wanted)
    print(f"  {len(wanted):,} yarns are short; {int((end - first).sum()):,} pairs in the index, of "
          f"{len(wanted) * len(yarns):,} in the whole product")  # fmt: skip
    with stage("one yarn"):
        answering.rank(wanted[:1], 10)
    with stage("all that are short: compare, score, rank"):
        frame, lost = ranked_frame(answering, wanted, settings)
    print(f"  {len(frame):,} rows of {frame['yarn'].nunique():,} yarns; {len(lost)} batches lost")


if __name__ == "__main__":
    main()
