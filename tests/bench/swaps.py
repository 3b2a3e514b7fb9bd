"""Promotions and rollbacks while the service answers: how many requests fail, how many answers mix two releases.

    .venv/bin/python -m tests.bench.swaps [--requests 20000] [--swaps 20] [--styles 130] [--clients 16]

Two releases of one storage take turns as champion, evenly spread over the requests, by the call that `jobs.promote` and
`jobs.rollback` make. Mixed: an answer whose bytes are not those that its release gives to the question when nothing
moves, or whose ETag is another's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console

from models.registry import Registry
from tests.serve_app.made import make_release
from tests.serve_app.running import DETAILED, REPORT, VALIDATION, Served, serving, until

QUESTIONS = (f"{DETAILED}?detail=summary&horizon=30", f"{DETAILED}?horizon=30&limit=20", f"{REPORT}?horizon=30",
             VALIDATION, f"{DETAILED}?horizon=7&format=chart")  # fmt: skip
FOLLOWED_S = 2.0  # by then a promotion has reached every replica
Known = dict[tuple[str, int], tuple[bytes, str]]  # by question and release: the bytes and the ETag


@dataclass
class Swapped:
    """What came of it. late: answers of the release before to requests begun FOLLOWED_S after a swap."""

    requests: int = 0
    swaps: int = 0
    failed: int = 0
    mixed: int = 0
    late: int = 0
    by_release: dict[int, int] = field(default_factory=dict)
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    seconds: float = 0.0
    replicas_mb_before: list[float] = field(default_factory=list)
    replicas_mb_after: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


def swapped(served: Served, requests: int, swaps: int, clients: int) -> Swapped:
    """Asks `requests` questions while releases 1 and 2 of the service take turns as champion `swaps` times."""
    registry = served.registry
    known: Known = {}
    for number in (2, 1):
        move(registry, number)
        until(lambda number=number: served.champion_everywhere(number), 15)  # type: ignore[misc]
        for question in QUESTIONS:
            answer = served.get(question)
            assert (answer.status_code, answer.json().get("release", number)) == (200, number), answer.text
            known[question, number] = (answer.content, answer.headers["etag"])
    return asyncio.run(_run(served, registry, known, requests, swaps, clients))


def move(registry: Registry, number: int) -> None:
    """This release is the champion from now on."""
    champion = registry.alias("champion")
    if champion != number:
        registry.promote(number, expected=champion, facts={"forced": False, "rolled_back_from": champion})


async def _run(
    served: Served, registry: Registry, known: Known, requests: int, swaps: int, clients: int
) -> Swapped:  # fmt: skip
    found, failures = Swapped(swaps=swaps), Counter[str]()
    took: list[float] = []
    moves: list[tuple[float, int]] = [(0.0, 1)]  # when, and which release from then on
    answers: list[tuple[float, int]] = []  # when a request began, and which release answered
    asked = 0

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal asked
        while asked < requests:
            question = QUESTIONS[asked % len(QUESTIONS)]
            asked += 1
            began = time.monotonic()
            try:
                async with session.get(question) as answer:
                    body, status, etag = await answer.read(), answer.status, answer.headers.get("ETag", "")
            except aiohttp.ClientError as error:
                failures[type(error).__name__] += 1
                continue
            took.append(time.monotonic() - began)
            if status != 200:
                failures[str(status)] += 1
                continue
            of = [n for n in (1, 2) if known[question, n] == (body, etag)]
            if not of:
                found.mixed += 1
            elif len(of) == 1:
                answers.append((began, of[0]))

    async def desk() -> None:
        for k in range(swaps):
            while asked < (k + 1) * requests / (swaps + 1):
                await asyncio.sleep(0.01)
            number = 2 - k % 2
            await asyncio.to_thread(move, registry, number)
            moves.append((time.monotonic(), number))

    # What is there once is measured before: caches, compiled code, connections.
    async with aiohttp.ClientSession(served.base, connector=aiohttp.TCPConnector(limit=clients)) as session:
        for _ in range(200):
            async with session.get(QUESTIONS[0]) as answer:
                await answer.read()
        found.replicas_mb_before = replicas_mb(served)
        began = time.monotonic()
        await asyncio.gather(desk(), *(client(session) for _ in range(clients)))
        found.seconds = round(time.monotonic() - began, 1)
    found.replicas_mb_after = replicas_mb(served)
    found.requests, found.failed, found.failures = asked, sum(failures.values()), dict(failures)
    found.p50_ms, found.p99_ms = (round(1000 * float(np.quantile(took, q)), 1) for q in (0.5, 0.99))
    found.by_release = dict(sorted(Counter(number for _, number in answers).items()))
    found.late = sum(_is_late(at, number, moves) for at, number in answers)
    return found


def _is_late(at: float, number: int, moves: list[tuple[float, int]]) -> bool:
    """Whether this release was not the champion at any time in the FOLLOWED_S before the request began, nor after."""
    settled = max((moved for moved in moves if moved[0] <= at - FOLLOWED_S), default=moves[0])
    return number != settled[1] and not any(at - FOLLOWED_S < when and to == number for when, to in moves)


def replicas_mb(served: Served) -> list[float]:
    """Resident memory of each replica, in MB of 1e6 bytes, the pages of mapped files among them."""
    found = []
    for pid in sorted(served.replicas()):
        text = Path(f"/proc/{pid}/status").read_text()
        found.append(int(text.split("VmRSS:")[1].split()[0]) * 1024 / 1e6)
    return [round(one, 1) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--styles", type=int, default=130)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--json", help="also write the figures here")
    args = parser.parse_args()
    console = Console(width=100)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for k in (1, 2):
            make_release(root / "s", args.styles, seed=k, run_id=f"r{k}")
        with serving(root / "s", root / "log") as served:
            load = os.getloadavg()[0]
            found = swapped(served, args.requests, args.swaps, args.clients)
    figures: dict[str, Any] = {"styles": args.styles, "clients": args.clients, "load_before": round(load, 1),
                               "cpus": os.cpu_count(), **asdict(found)}  # fmt: skip
    for name, value in figures.items():
        console.print(f"{name:<20}{value}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
