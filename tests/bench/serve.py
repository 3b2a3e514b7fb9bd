"""Requests a second of the HTTP service, by ingress, beside an empty deployment in the same mode.

    .venv/bin/python -m tests.bench.serve [--styles 130] [--times 1] [--seconds 5] [--clients 16] [--modes proxy ..]

Each mode: the service over a made release, its answers cached, then a deployment that answers two bytes. Closed loop;
the clients run on the same cores, so that figures are floors, and only those of one run compare.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.faults.processes import free_port

MODES = ("proxy", "throughput", "haproxy")
QUESTIONS = {
    "summary": "/api/ml-forecast-detailed?detail=summary&horizon=30",
    "full": "/api/ml-forecast-detailed?horizon=30",
}
START_S = 120


async def load(base: str, path: str, clients: int, seconds: float) -> dict[str, Any]:
    """`clients` ask `path` again and again for `seconds`: answers a second, milliseconds at p50 and p99, statuses."""
    took: list[float] = []
    codes: Counter[int] = Counter()
    size = 0
    # unpacking would be measured too, on the same cores
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(base, connector=connector, auto_decompress=False) as session:

        async def ask() -> None:
            nonlocal size
            began = time.perf_counter()
            async with session.get(path) as answer:
                size = len(await answer.read())
            took.append(time.perf_counter() - began)
            codes[answer.status] += 1

        async def client(until: float) -> None:
            while time.perf_counter() < until:
                await ask()

        await asyncio.gather(*(client(time.perf_counter() + 1) for _ in range(clients)))  # warm
        took.clear()
        codes.clear()
        began = time.perf_counter()
        await asyncio.gather(*(client(began + seconds) for _ in range(clients)))
        wall = time.perf_counter() - began
    p50, p99 = (1000 * np.quantile(took, q) for q in (0.5, 0.99))
    return {"per_second": round(len(took) / wall, 1), "p50_ms": round(p50, 1), "p99_ms": round(p99, 1),
            "bytes": size, "codes": dict(codes)}  # fmt: skip


def measured(mode: str, storage: Path, clients: int, seconds: float) -> dict[str, Any]:
    """The figures of one mode."""
    found: dict[str, Any] = {}
    ingress = "haproxy" if mode == "haproxy" else "proxy"
    more = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"} if mode == "throughput" else {}
    service = ["-m", "jobs.serve", f"storage.root={storage}", f"serve.ingress={ingress}", "cluster.num_cpus=1",
               "cluster.object_store_mb=100"]  # fmt: skip
    with running([*service, "serve.port={port}"], more) as base:
        for name, path in QUESTIONS.items():
            found[name] = asyncio.run(load(base, path, clients, seconds))
    with running(["-m", "tests.bench.empty", ingress, "{port}"], more) as base:
        found["empty"] = asyncio.run(load(base, "/", clients, seconds))
    for name in QUESTIONS:
        found[name]["share_of_empty"] = round(found[name]["per_second"] / found["empty"]["per_second"], 2)
        found[name]["p99_of_empty"] = round(found[name]["p99_ms"] / found["empty"]["p99_ms"], 2)
    return found


class running:
    """A process that prints "Serving" when it answers; its address. Asked to end afterwards."""

    def __init__(self, arguments: list[str], more: dict[str, str]) -> None:
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, *(text.format(port=port) for text in arguments)]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(command, env=kept | more, stdout=self._log, stderr=self._log)

    def __enter__(self) -> str:
        deadline = time.monotonic() + START_S
        while "Serving" not in self._said():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(self._said())
            time.sleep(0.2)
        return self._base

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=int, default=130)
    parser.add_argument("--times", type=int, default=1, help="each style so many times, under names of their own")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    from models.registry import Registry
    from tests.bench.repeated import repeated
    from tests.serve_app.made import make_release

    console = Console(width=100)
    figures: dict[str, Any] = {"machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
                               "load": os.getloadavg()[0]}  # fmt: skip
    table = Table("mode", "answer", "bytes", "a second", "p50 ms", "p99 ms", "of empty", "its p99", "statuses")
    with tempfile.TemporaryDirectory() as folder:
        make_release(Path(folder), args.styles)
        if args.times > 1:
            repeated(Registry(Path(folder) / "registry"), args.times)
        for mode in args.modes:
            figures[mode] = measured(mode, Path(folder), args.clients, args.seconds)
            console.print(mode, json.dumps(figures[mode]))
            for name, row in figures[mode].items():
                of_empty = (str(row.get(key, "")) for key in ("share_of_empty", "p99_of_empty"))
                cells = (str(row[key]) for key in ("bytes", "per_second", "p50_ms", "p99_ms"))
                table.add_row(mode, name, *cells, *of_empty, str(row["codes"]))
    fleet = f"{args.styles * args.times:,} styles, {args.clients} clients"
    console.print(f"{fleet}; {figures['machine']}, load {figures['load']:.1f}")
    console.print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
