"""Which rows of a typed table are learned from, in which order; every other one is counted."""

from __future__ import annotations

import pandas as pd

from models.tabular.roles import Roles
from models.tabular.settings import FineTuneSettings


def usable(frame: pd.DataFrame, roles: Roles) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows with a known target, and a date where rows are ordered by one, in date order; reason -> rows left out."""
    known = frame[roles.target].notna()
    left_out = {"unknown target": int((~known).sum())}
    if roles.date is not None:
        dated = frame[roles.date].notna()
        left_out["no date"] = int((known & ~dated).sum())
        known &= dated
    frame = frame[known]
    if roles.date is not None:
        frame = frame.sort_values(roles.date, kind="stable")
    return frame.reset_index(drop=True), {reason: count for reason, count in left_out.items() if count}


def newest(frame: pd.DataFrame, roles: Roles, settings: FineTuneSettings) -> tuple[pd.DataFrame, int]:
    """At most `max_training_samples` rows, the newest (the last where there are no dates); how many were left out."""
    over = max(0, len(frame) - settings.max_training_samples)
    return (frame.iloc[over:].reset_index(drop=True) if over else frame), over
