"""The thin entry: all families by name, the caller's frame unchanged, the summary true."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demand.errors import SchemaError, SettingsError
from features.tabular.engineering import CustomFeatureEngineering
from tests.features.tabular.made import table

TOLD = {"date_col": "date", "agg_cols": ["revenue", "units"], "cat_cols": ["region"]}


def test_when_everything_is_made_then_the_summary_counts_the_new_columns():
    frame = table()
    before = frame.copy()
    maker = CustomFeatureEngineering()
    out = maker.complete_feature_pipeline(
        frame, **TOLD, group_col="region", interaction_pairs=[("revenue", "units")], poly_cols=["units"], degree=3
    )
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(out[list(frame)], before)
    summary = maker.get_feature_summary()
    assert summary["feature_groups"] == ["temporal", "aggregation", "categorical", "business", "interaction",
                                         "polynomial"]  # fmt: skip
    made = [name for names in summary["features_by_group"].values() for name in names]
    assert [*frame, *made] == list(out)
    assert summary["total_features"] == len(out.columns) - len(frame.columns) == 7 + 8 + 2 + 4 + 4 + 2
    counts = maker.get_null_counts()
    assert counts == {name: int(n) for name, n in out[made].isna().sum().items() if n}


def test_when_it_is_called_by_position_and_again_then_nothing_changes():
    frame = table()
    by_name = CustomFeatureEngineering().complete_feature_pipeline(frame, **TOLD)
    by_place = CustomFeatureEngineering().complete_feature_pipeline(frame, *TOLD.values())
    pd.testing.assert_frame_equal(by_place, by_name)
    again = CustomFeatureEngineering()
    pd.testing.assert_frame_equal(again.complete_feature_pipeline(by_name, **TOLD)[list(by_name)], by_name)


def test_when_steps_are_called_one_by_one_then_they_add_up_to_the_pipeline():
    frame = table()
    maker = CustomFeatureEngineering()
    out = maker.create_temporal_features(frame, "date")
    out = maker.create_aggregation_features(out, None, ["revenue", "units"], "date")
    out = maker.create_categorical_features(out, ["region"])
    out = maker.create_business_features(out)
    pd.testing.assert_frame_equal(out, CustomFeatureEngineering().complete_feature_pipeline(frame, **TOLD))
    assert maker.get_feature_summary()["total_features"] == 7 + 8 + 2 + 4
    out = maker.create_interaction_features(out, [("units", "revenue")])
    assert "units_minus_revenue" in maker.create_polynomial_features(out, ["units"])


def test_when_nulls_are_filled_then_only_from_earlier_rows_of_the_group_then_zero():
    frame = pd.DataFrame(
        {"date": pd.to_datetime(["2024-01-03", "2024-01-01", "2024-03-01", "2024-01-02"]), "g": ["a", "a", "a", "b"],
         "v": [2.0, 1.0, 3.0, 9.0]}
    )  # fmt: skip
    told = {"date_col": "date", "agg_cols": ["v"], "cat_cols": ["g"], "group_col": "g"}
    kept = CustomFeatureEngineering().complete_feature_pipeline(frame, **told)
    filled = CustomFeatureEngineering().complete_feature_pipeline(frame, **told, nulls="fill")
    assert kept["v_rolling_mean_7"].isna().tolist() == [False, True, True, True]
    assert filled["v_rolling_mean_7"].tolist() == [1.0, 0.0, 1.0, 0.0]  # 1 March: what 3 January knew
    assert not filled.isna().any().any()
    with pytest.raises(SettingsError, match="kept or filled"):
        CustomFeatureEngineering().complete_feature_pipeline(frame, **told, nulls="zero")


def test_when_training_rows_are_named_then_test_rows_teach_nothing():
    frame = table()
    train = np.arange(len(frame)) < 40
    other = frame.copy()
    other.loc[~train, ["revenue", "region"]] = [1e9, "west"]
    told = {**TOLD, "agg_cols": ["units"]}
    made = [
        CustomFeatureEngineering().complete_feature_pipeline(one, **told, training_rows=train)[train]
        for one in (frame, other)
    ]
    pd.testing.assert_frame_equal(*made)
    for wrong in (train[:5], np.arange(len(frame)), ~train & False):
        with pytest.raises(SchemaError, match="training_rows"):
            CustomFeatureEngineering().complete_feature_pipeline(frame, **told, training_rows=wrong)


def test_when_columns_are_missing_or_the_target_would_leak_then_they_are_named():
    with pytest.raises(SchemaError, match=r"revenu .did you mean revenue.*segment"):
        CustomFeatureEngineering().complete_feature_pipeline(table(), "date", ["revenu"], ["segment"])
    with pytest.raises(SchemaError, match="give the answer away"):
        CustomFeatureEngineering().complete_feature_pipeline(table(), **TOLD, target="revenue")
