"""Custom features of a file: which columns take part, and what is said of those that do not."""

from __future__ import annotations

from demand.sources import SourceSettings
from models.tabular import custom_table as module
from models.tabular.custom_table import custom_table
from tests.models.tabular.made import business


def told(tmp_path, **asked):
    frame = business(30).assign(material=[f"text {i}" for i in range(30)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    return custom_table(SourceSettings(path=str(tmp_path / "t.csv")), **asked).told


def test_when_columns_are_ids_or_have_too_many_categories_then_they_are_named_with_the_reason(tmp_path, monkeypatch):
    assert told(tmp_path)["columns_left_out"] == {"id": "an id"}
    monkeypatch.setattr(module, "MOST_CATEGORIES", 29)
    said = told(tmp_path)
    assert said["columns_left_out"] == {"id": "an id", "material": "30 categories, more than 29"}
    assert said["categories"] == ["category"]
    assert said["columns"] == ["revenue", "engagement", "last_purchase_days_ago"]
    # Columns that somebody names or that play another part are nobody's surprise.
    assert told(tmp_path, columns=("revenue",), categories=("material",))["columns_left_out"] == {}
    assert told(tmp_path, group="id")["columns_left_out"] == {"material": "30 categories, more than 29"}
