"""Ten times what the service can answer, for a bounded time: how it refuses, and how soon it is well again.

    .venv/bin/python -m tests.bench.overload [--styles 130] [--times 1] [--factor 10] [--seconds 10]

Capacity is measured first, by a closed loop of answers that are each computed (none is asked for twice). Then requests
come at `factor` times that rate whether or not earlier ones were answered (an open loop), at most MOST of them. The
clients run on the same cores: figures are floors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console

from models.registry import Registry
from tests.bench.repeated import repeated
from tests.bench.serve import running
from tests.serve_app.made import make_release

MOST, LONGEST_S, CLIENTS = 20_000, 20.0, 16
SHED = (429, 503)


async def closed(base: str, seconds: float, n_styles: int, start: int) -> float:
    """Computed answers a second with CLIENTS asking one after the other."""
    done, numbers = 0, count(start)
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:

        async def client(until: float) -> None:
            nonlocal done
            while time.perf_counter() < until:
                async with session.get(_question(next(numbers), n_styles)) as answer:
                    await answer.read()
                    done += answer.status == 200

        began = time.perf_counter()
        await asyncio.gather(*(client(began + seconds) for _ in range(CLIENTS)))
        return done / (time.perf_counter() - began)


def _question(k: int, n_styles: int) -> str:
    """The k-th question; no two of the first n_styles * 50 are alike."""
    return f"/api/ml-forecast-detailed?horizon=30&limit={1 + k // n_styles % 50}&offset={k % n_styles}"


async def opened(base: str, rate: float, seconds: float, n_styles: int, start: int) -> dict[str, Any]:
    """Requests at `rate` a second for `seconds`, whatever becomes of those before: statuses, and how long each took."""
    n = min(MOST, int(rate * seconds))
    took: dict[str, list[float]] = defaultdict(list)
    connector, limit = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(base, connector=connector, timeout=limit) as session:

        async def ask(k: int) -> None:
            began = time.perf_counter()
            try:
                async with session.get(_question(start + k, n_styles)) as answer:
                    await answer.read()
                    said = str(answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = type(error).__name__
            took[said].append(time.perf_counter() - began)

        began, tasks = time.perf_counter(), []
        for k in range(n):
            late = began + k / rate - time.perf_counter()
            if late > 0:
                await asyncio.sleep(late)
            elif k % 50 == 0:
                await asyncio.sleep(0)
            tasks.append(asyncio.create_task(ask(k)))
        sent = time.perf_counter() - began
        await asyncio.gather(*tasks)
    milliseconds = {said: [round(1000 * float(np.quantile(all_, q)), 1) for q in (0.5, 0.99)]
                    for said, all_ in took.items()}  # fmt: skip
    codes = Counter({said: len(all_) for said, all_ in took.items()})
    odd = {said: k for said, k in codes.items() if said not in ("200", *map(str, SHED))}
    return {"asked": n, "asked_per_second": round(n / sent, 1), "codes": dict(codes), "p50_p99_ms": milliseconds,
            "neither_answered_nor_refused": odd}  # fmt: skip


async def recovered(base: str, patience_s: float = 30.0) -> float:
    """Seconds until ten requests in a row are answered."""
    began, good = time.perf_counter(), 0
    async with aiohttp.ClientSession(base) as session:
        while good < 10:
            async with session.get("/api/ml-validation-summary") as answer:
                await answer.read()
                good = good + 1 if answer.status == 200 else 0
            if time.perf_counter() - began > patience_s:
                return float("inf")
    return time.perf_counter() - began


def overloaded(base: str, n_styles: int, factor: float, seconds: float) -> dict[str, Any]:
    """Capacity, what an overload of `factor` times it brings, and capacity afterwards."""
    before = asyncio.run(closed(base, 3.0, n_styles, 0))
    found = asyncio.run(opened(base, factor * before, min(seconds, LONGEST_S), n_styles, n_styles * 10))
    well = asyncio.run(recovered(base))
    after = asyncio.run(closed(base, 3.0, n_styles, n_styles * 40))
    return {"capacity_per_second": round(before, 1), **found, "well_after_s": round(well, 2),
            "capacity_afterwards": round(after, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=int, default=130)
    parser.add_argument("--times", type=int, default=1, help="each style so many times, under names of their own")
    parser.add_argument("--factor", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_release(Path(folder), args.styles)
        if args.times > 1:
            repeated(Registry(Path(folder) / "registry"), args.times)
        service = ["-m", "jobs.serve", f"storage.root={folder}", "serve.port={port}", "cluster.num_cpus=1",
                   "cluster.object_store_mb=100"]  # fmt: skip
        with running(service, {}) as base:
            load = os.getloadavg()[0]
            found = overloaded(base, args.styles * args.times, args.factor, args.seconds)
    figures = {"styles": args.styles * args.times, "load_before": round(load, 1), "cpus": os.cpu_count(), **found}
    for name, value in figures.items():
        Console(width=100).print(f"{name:<30}{value}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
