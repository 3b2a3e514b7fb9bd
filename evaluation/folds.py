"""Past moments of decision: what was known, and - through another door - what came."""

from __future__ import annotations

from dataclasses import dataclass

from demand.errors import SettingsError, ShortHistoryError
from demand.panel import Blanks, Floats, Panel


@dataclass(frozen=True)
class Fold:
    """One decision moment: forecast `horizon` periods from the end of period `cutoff`.

    h h h h f f . .      horizon 2, step 1, three folds, newest last
    h h h h h f f .
    h h h h h h f f      h = history, f = forecast and scored
    """

    cutoff: int
    horizon: int

    def history(self, panel: Panel, blanks: Blanks = "interpolate", min_length: int = 1) -> Panel:
        """What was known at the cutoff, finite: blank cells are filled from this history alone.

        Series with fewer than `min_length` periods at the cutoff are left out.
        """
        known = panel.until(self.cutoff)
        if min_length > 1:
            known = known.take((known.lengths >= min_length).nonzero()[0])
        return known.with_blanks_filled(blanks)

    def actuals(self, panel: Panel, history: Panel) -> Floats:
        """The truth [N, H] for the series of `history`; NaN = unknown. For scoring only: never hand it to a model."""
        rows = panel.index_of(history.ids)
        return panel.take(rows).window(self.cutoff + 1, self.horizon)


def rolling_folds(panel: Panel, horizon: int, n: int, step: int) -> list[Fold]:
    """The last `n` folds, oldest first, `step` periods apart; the newest ends with the panel.

    Raises SettingsError on impossible numbers and ShortHistoryError when the oldest cutoff has fewer than two periods
    of any series before it.
    """
    for name, value in (("horizon", horizon), ("folds.n", n), ("folds.step", step)):
        if value < 1:
            raise SettingsError("must be at least 1", key=name, found=value)
    folds = [Fold(panel.end - horizon - k * step, horizon) for k in reversed(range(n))]
    longest = int(panel.lengths.max(initial=0))
    if folds[0].cutoff - (panel.end - longest) < 2:
        raise ShortHistoryError(
            "the history is too short for these folds",
            longest_history=longest, horizon=horizon, folds=n, step=step, needed=horizon + (n - 1) * step + 2,
            hint="Use a shorter horizon or fewer folds",
        )  # fmt: skip
    return folds
