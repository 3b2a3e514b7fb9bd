"""How long a forecast on demand takes, and what memory: `python -m tests.bench.on_demand RELEASE_FOLDER`.

RELEASE_FOLDER: such as storage/registry/releases/000001. One process, one thread, without HTTP; milliseconds.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from serve_app.computing import Computing


def measured(computing: Computing, requests: list[dict[str, Any]]) -> str:
    """p50, p95 and p99 of the requests, one after the other."""
    seconds = []
    for request in requests:
        started = time.perf_counter()
        computing.predict(request)
        seconds.append(time.perf_counter() - started)
    return "  ".join(f"p{q} {1e3 * float(np.percentile(seconds, q)):.0f}" for q in (50, 95, 99))


def resident_mb() -> int:
    """Memory in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20)


def main(folder: Path) -> None:
    started = time.perf_counter()
    computing = Computing.open(folder, int(folder.name))
    models = computing._models
    print(f"opened in {time.perf_counter() - started:.1f} s, {resident_mb()} MB: {', '.join(models.kinds)}")
    styles = models.panel.ids.tolist()
    warm = [{"style": styles[(k * 37) % len(styles)]} for k in range(400)]
    days = [str(day)[:10] for day in models.panel.calendar.dates(models.panel.end - np.arange(365)[::-1])]
    history = [{"date": day, "quantity": float(3 + k % 7)} for k, day in enumerate(days)]
    print(f"{len(styles)} styles, each for the first time  {measured(computing, [{'style': s} for s in styles])}")
    print(f"400 requests for a style                {measured(computing, warm)}")
    print(f"100 requests with 365 periods           {measured(computing, [{'history': history}] * 100)}")
    print(f"{resident_mb()} MB at the end, TensorFlow loaded: {'tensorflow' in sys.modules}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
