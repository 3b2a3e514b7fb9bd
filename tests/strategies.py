"""Random panels for property tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from demand.calendar import FREQUENCIES, Calendar
from demand.panel import Panel

ALPHABET = "ab1/-. =é\u0301織"


@st.composite
def panels(draw: st.DrawFn, columns: bool = True, blanks: bool = True) -> Panel:
    """1 to 6 series of 1 to 30 periods on any calendar, with blanks and with past, future and static columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = draw(st.lists(st.text(ALPHABET, min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
    ids = np.array(sorted(names))
    n = len(ids)
    lengths = rng.integers(1, 31, n)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    freq = draw(st.sampled_from(FREQUENCIES))
    end = int(Calendar(freq).containing(np.datetime64("2024-02-29"))) + int(rng.integers(-60, 60))
    y = np.where(rng.random(indptr[-1]) < 0.3, 0.0, rng.gamma(1.0, 50.0, indptr[-1]))
    if blanks:
        y[rng.random(len(y)) < draw(st.sampled_from([0.0, 0.2, 0.9]))] = np.nan
    panel = Panel(ids, indptr, y, end, freq, unit="yds")
    if not columns or not draw(st.booleans()):
        return panel
    ahead = int(rng.integers(0, 6))
    return replace(
        panel,
        ahead=ahead,
        past={"price": np.where(rng.random(len(y)) < 0.2, np.nan, rng.random(len(y)))},
        future={"promotion": rng.random(len(y) + n * ahead)},
        static={"gauge": rng.integers(14, 32, n), "category": rng.choice(["rib", "fleece"], n)},
    )
