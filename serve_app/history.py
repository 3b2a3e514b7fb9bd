"""The stored history of a release, one style at a time: buckets of it are read on demand, and a few are kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import RLock

import numpy as np

from demand.panel import Panel
from demand.store import bucket_of, read_panel, stored_panel

BUCKETS_KEPT = 8


@dataclass(frozen=True, eq=False)
class History:
    """The panel in `folder`; several threads may read it. Raises StorageError where a file of it is damaged."""

    folder: Path
    _lock: RLock = field(default_factory=RLock)
    _kept: OrderedDict[int, Panel] = field(default_factory=OrderedDict)

    def of(self, style: str) -> Panel:
        """A style as a panel of its own; without any series when the panel does not have it."""
        bucket = int(bucket_of(np.array([style]), self._n_buckets)[0])
        with self._lock:
            panel = self._kept.pop(bucket, None) or read_panel(self.folder, bucket)
            self._kept[bucket] = panel
            while len(self._kept) > BUCKETS_KEPT:
                self._kept.popitem(last=False)
        at = panel.index_of(np.array([style]))
        return panel.take(at[at >= 0])

    def whole(self) -> Panel:
        """The whole fleet, read anew."""
        return read_panel(self.folder)

    @cached_property
    def _n_buckets(self) -> int:
        return stored_panel(self.folder).buckets
