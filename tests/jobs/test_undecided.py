"""What cannot be decided after a release is said in the run's report and ends nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from demand.company.tables import COLUMNS, Company
from demand.errors import ClusterError, FitError, VersionUnreadable
from jobs import decided


@pytest.mark.parametrize("error", [ClusterError("a batch died"), VersionUnreadable("damaged"), FitError("no rows")])
def test_when_a_decision_fails_then_it_is_a_sentence_and_the_other_is_still_tried(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    stock = pd.DataFrame(columns=list(COLUMNS["stock"]))
    monkeypatch.setattr(decided, "registry_of", lambda settings: SimpleNamespace(open=lambda number: None))
    monkeypatch.setattr(decided, "read_company", lambda told: Company(stock=stock))
    monkeypatch.setattr(decided, "propose", fail)
    monkeypatch.setattr(decided, "_substitutes", fail)
    fleet = SimpleNamespace(
        settings=SimpleNamespace(company=SimpleNamespace(any=True)), run=SimpleNamespace(path=tmp_path)
    )
    found = decided.decide_after(fleet, 3)
    assert found.report.sentences == [f"No purchase proposal: {error}", f"No substitutes: {error}"]
    assert (found.report.summary, found.report.orders, found.report.substitutes) == (None, None, None)
    assert any("No substitutes" in line for line in found.lines)
    assert list(tmp_path.iterdir()) == []
