"""The numbers of the whole way have not moved: every model's line on the leaderboard, to six digits."""

from __future__ import annotations

import pytest

from models.catalog import BASELINES
from tests.acceptance.made import strict_json
from tests.golden.made import STORED, board

CHANGE = "a change that means to move numbers runs python -m tests.golden and says so in the CHANGELOG"


@pytest.mark.slow
def test_when_the_seeded_fleet_is_scored_then_the_leaderboard_is_the_stored_one(tmp_path):
    stored, now = strict_json(STORED), board(tmp_path)
    assert set(stored) == {*BASELINES, "arima", "xgboost", "ensemble"}
    assert list(now) == list(stored), CHANGE
    for model, row in stored.items():
        assert now[model] == pytest.approx(row, rel=2e-6, abs=1e-9), f"{model}: {CHANGE}"
