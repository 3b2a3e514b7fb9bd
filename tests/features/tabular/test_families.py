"""Every feature against a sample worked by hand and a slow, obvious twin in pandas."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from demand.errors import CalendarError, SchemaError, SettingsError
from features.tabular.aggregation import AggregationFeatures
from features.tabular.business import BusinessFeatures
from features.tabular.categorical import CategoricalFeatures
from features.tabular.interaction import InteractionFeatures, PolynomialFeatures
from features.tabular.temporal import TemporalFeatures
from tests.features.tabular.made import RECIPES, table

NAN = float("nan")

# Rows of a history are not independent of one another; a category may be any value that can be compared.
EXPECTED_TO_FAIL = {
    AggregationFeatures: {
        "check_methods_sample_order_invariance": "a row's past is the rows before it",
        "check_methods_subset_invariance": "a row's past is the rows before it",
    },
    CategoricalFeatures: {"check_dtype_object": "the error of an unfit cell is ours, a SchemaError"},
    InteractionFeatures: {},
    PolynomialFeatures: {},
}


def made(family, frame):
    return pd.DataFrame(family.fit_transform(frame), columns=family.get_feature_names_out(), index=frame.index)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPECTED_TO_FAIL)  # the others read columns by name, which those checks have not
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_when_scikit_learn_checks_a_family_then_it_passes(kind):
    results = check_estimator(kind(), expected_failed_checks=EXPECTED_TO_FAIL[kind], on_skip=None)
    assert {one["status"] for one in results} <= {"passed", "skipped", "xfail"}
    assert {one["check_name"] for one in results if one["status"] == "xfail"} == EXPECTED_TO_FAIL[kind].keys()


@pytest.mark.parametrize("name", RECIPES)
def test_when_a_family_is_part_of_a_pipeline_then_names_index_and_input_are_kept(name):
    frame = table().set_index(pd.Index(range(100, 160)))
    before = frame.copy()
    family = clone(RECIPES[name]).set_output(transform="pandas")
    out = family.fit_transform(frame)
    assert list(out.columns) == list(family.get_feature_names_out())
    assert out.index.equals(frame.index)
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(out, pickle.loads(pickle.dumps(family)).transform(frame))
    beside = clone(RECIPES[name]).set_params(passthrough=True)
    whole = beside.fit_transform(frame)
    assert list(whole.columns) == [*frame.columns, *out.columns] == list(beside.get_feature_names_out())


def test_when_families_follow_one_another_then_all_their_columns_arrive():
    frame = table()
    chain = make_pipeline(
        TemporalFeatures("date", passthrough=True),
        CategoricalFeatures(["region"], passthrough=True),
        PolynomialFeatures(["units"], passthrough=True),
    )
    assert {"year", "region_freq", "units_poly_2", "revenue"} <= set(chain.fit_transform(frame).columns)
    union = FeatureUnion([("past", RECIPES["aggregation"]), ("business", RECIPES["business"])])
    scaled = make_pipeline(union, StandardScaler()).fit(frame)
    assert scaled.transform(frame).shape == (len(frame), len(union.fit(frame).get_feature_names_out()))


def test_when_dates_are_given_then_their_calendar_is_worked_out():
    frame = pd.DataFrame({"d": ["2024-01-01", "2024-12-30", "2023-01-01", None, "2024-06-15"]})
    out = made(TemporalFeatures("d"), frame)
    expected = pd.DataFrame(
        {"year": [2024, 2024, 2023, NAN, 2024], "month": [1, 12, 1, NAN, 6], "quarter": [1, 4, 1, NAN, 2],
         "day_of_week": [0, 0, 6, NAN, 5], "is_weekend": [0, 0, 1, NAN, 1], "day_of_month": [1, 30, 1, NAN, 15],
         "week_of_year": [1, 1, 52, NAN, 24]}
    )  # fmt: skip
    pd.testing.assert_frame_equal(out, expected.astype(float))
    typed = frame.assign(d=pd.to_datetime(frame["d"]))
    pd.testing.assert_frame_equal(made(TemporalFeatures("d"), typed), expected.astype(float))


@pytest.mark.parametrize(
    ("cells", "error", "words"),
    [
        (["2024-01-05", "05.02.2024", "March 3, 2024"] * 3, CalendarError, "mixes formats"),
        (["01/02/2024", "03/04/2024"], CalendarError, "two date formats"),
        (["x", "y"], CalendarError, "cannot be read"),
        ([1.0, 2.0], SchemaError, "numbers, not dates"),
    ],
)
def test_when_dates_cannot_be_read_in_one_way_then_that_is_said(cells, error, words):
    with pytest.raises(error, match=words):
        TemporalFeatures("d").fit(pd.DataFrame({"d": cells}))


def test_when_a_small_history_is_aggregated_then_every_value_is_as_by_hand():
    frame = pd.DataFrame(
        {
            "day": ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-05", "2024-01-20", "2024-01-03"],
            "g": ["a", "a", "a", "a", "a", "b"],
            "v": [10.0, 0.0, 4.0, 6.0, 8.0, 99.0],
        }
    )
    out = made(AggregationFeatures(["v"], group="g", date="day"), frame)
    # days of a: 1st 10 | 2nd 0, 4 (mean 2) | 5th 6 | 20th 8
    expected = pd.DataFrame(
        {
            "v_rolling_mean_7": [NAN, 10, 10, 14 / 3, NAN, NAN],
            "v_rolling_std_7": [NAN, NAN, NAN, np.std([10, 0, 4], ddof=1), NAN, NAN],
            "v_cumsum": [NAN, 10, 10, 14, 20, NAN],
            "v_pct_change": [NAN, NAN, NAN, 2 / 10 - 1, 6 / 2 - 1, NAN],
        }
    )
    pd.testing.assert_frame_equal(out, expected)
    rows = made(AggregationFeatures(["v"], group="g"), frame)
    assert rows["v_rolling_mean_7"].tolist()[1:5] == pytest.approx([10, 5, 14 / 3, 5])
    assert np.isnan(rows["v_pct_change"][3])  # the change from 0 to 4 is not known, never infinite
    assert rows["v_pct_change"][4] == pytest.approx(6 / 4 - 1)


def slow_past(frame, group, date, column, window):
    """One row at a time."""
    days = None if date is None else pd.to_datetime(frame[date])
    lines = []
    for i in range(len(frame)):
        same = frame[group].notna() & (frame[group] == frame[group].iloc[i])
        if date is None:
            earlier = frame[same].loc[: i - 1] if i else frame.iloc[:0]
            inside, cells = earlier.tail(window)[column], earlier[column]
        else:
            earlier = frame[same & (days < days.iloc[i])]
            inside = earlier[(days.iloc[i] - days[earlier.index]).dt.days <= window][column]
            cells = earlier.groupby(date)[column].mean()
        known = earlier[column].dropna()
        change = NAN
        if len(cells) > 1 and cells.iloc[-2] != 0:
            change = cells.iloc[-1] / cells.iloc[-2] - 1
        lines.append([inside.mean(), inside.std(ddof=1), known.sum() if len(known) else NAN, change])
    return np.array(lines, dtype=float)


@pytest.mark.parametrize("date", ["date", None])
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), window=st.integers(1, 9), offset=st.sampled_from([0.0, 1e9, -1e12]))
def test_when_a_table_is_aggregated_then_it_equals_the_slow_twin(date, seed, window, offset):
    frame = table(25, seed)
    frame["revenue"] += offset
    family = AggregationFeatures(["revenue"], group="region", date=date, window=window)
    fast, slow = family.fit_transform(frame), slow_past(frame, "region", date, "revenue", window)
    np.testing.assert_allclose(fast[:, 0], slow[:, 0], rtol=1e-12)
    # the values themselves are rounded to about 1e-16 of the offset
    np.testing.assert_allclose(fast[:, 1], slow[:, 1], rtol=1e-6, atol=1e-3 if offset < 0 else 1e-6)
    np.testing.assert_allclose(fast[:, 2:], slow[:, 2:], rtol=1e-9, atol=1e-12)


def test_when_values_lie_far_from_zero_then_their_deviation_keeps_its_digits():
    values = 1e15 + np.tile([0.0, 1.0], 8)
    out = made(AggregationFeatures(["v"]), pd.DataFrame({"v": values}))["v_rolling_std_7"]
    assert out.iloc[-1] == pytest.approx(np.std(values[-8:-1] - 1e15, ddof=1), rel=1e-15)


def test_when_categories_are_counted_then_shares_and_codes_are_of_the_training_rows():
    train = pd.DataFrame({"c": ["b", "a", "b", None], "n": [1.0, 2.0, 1.0, NAN]})
    family = CategoricalFeatures().fit(train)
    assert list(family.get_feature_names_out()) == ["c_freq", "c_label", "n_freq", "n_label"]
    new = pd.DataFrame({"c": ["a", "b", "z", None], "n": [1, 2, 3, 1]})
    expected = [[0.25, 0, 0.5, 0], [0.5, 1, 0.25, 1], [0, -1, 0, -1], [NAN, -1, 0.5, 0]]
    np.testing.assert_array_equal(family.transform(new), np.array(expected))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(0, 5))
def test_when_revenue_is_ranked_then_it_is_the_rank_of_pandas_in_the_training_rows(values, repeats):
    frame = pd.DataFrame({"revenue": [*values, *values[:repeats]]})
    out = made(BusinessFeatures(), frame)
    ranks = frame["revenue"].rank(pct=True)
    np.testing.assert_allclose(out["revenue_percentile"], ranks, rtol=1e-12)
    np.testing.assert_array_equal(out["high_value"], out["revenue_percentile"] > 0.75)


def test_when_business_features_are_made_then_they_are_as_by_hand():
    frame = pd.DataFrame(
        {"revenue": [10.0, 20.0, 30.0, 40.0, NAN], "web_engagement": [0.2, 0.4, NAN, 1.0, NAN],
         "Engagement": [0.4, 0.6, 0.5, 0.0, NAN], "last_purchase_days_ago": [90.0, 91.0, 0.0, NAN, 500.0]}
    )  # fmt: skip
    family = BusinessFeatures()
    out = made(family, frame)
    assert out["revenue_percentile"].tolist()[:4] == [0.25, 0.5, 0.75, 1.0]
    assert out["high_value"].tolist()[:4] == [0, 0, 0, 1]
    np.testing.assert_allclose(out["engagement_score"], [0.3, 0.5, 0.5, 0.5, NAN])
    np.testing.assert_array_equal(out["churn_risk"], [0, 1, 0, NAN, 1])
    assert np.isnan(out.loc[4, ["revenue_percentile", "high_value"]]).all()
    new = family.transform(frame.assign(revenue=[5.0, 25.0, 45.0, 30.0, 0.0]))[:, 0]
    assert new.tolist() == [0.125, 0.625, 1.0, 0.75, 0.125]  # ranked among the rows of fit
    twice = made(BusinessFeatures(passthrough=True), pd.concat([frame, out], axis=1))
    pd.testing.assert_frame_equal(twice[out.columns], out)


def test_when_revenue_is_the_target_then_features_made_from_it_are_refused():
    with pytest.raises(SchemaError, match="give the answer away"):
        BusinessFeatures("revenue").fit(table())
    left = BusinessFeatures("revenue", leave_out=True).fit(table())
    assert list(left.get_feature_names_out()) == ["engagement_score", "churn_risk"]


def test_when_columns_are_combined_then_it_is_as_by_hand_and_never_infinite():
    frame = pd.DataFrame({"a": [6.0, 1.0, 1e200], "b": [2.0, 0.0, 1e200], "c": [5.0, NAN, 0.0]})
    out = made(InteractionFeatures([("a", "b"), ("a", "b", "c")]), frame)
    assert out.iloc[0].to_dict() == {"a_x_b": 12, "a_div_b": 3, "a_plus_b": 8, "a_minus_b": 4, "a_x_b_x_c": 60}
    assert np.isnan(out.loc[1, ["a_div_b", "a_x_b_x_c"]]).all()
    assert np.isnan(out.loc[2, "a_x_b"])
    powers = made(PolynomialFeatures(["a"], degree=3), frame)
    assert powers.iloc[0].to_dict() == {"a_poly_2": 36, "a_poly_3": 216}
    assert list(made(PolynomialFeatures(["c"]), frame)) == ["c_poly_2"]


@pytest.mark.parametrize(
    ("family", "frame", "error", "words"),
    [
        (AggregationFeatures(["revenu"], group="region"), table(), SchemaError, "did you mean revenue"),
        (AggregationFeatures(["region"]), table(), SchemaError, "not numeric"),
        (AggregationFeatures(["units"], window=0), table(), SettingsError, "from 1 to 1000"),
        (PolynomialFeatures(["units"], degree=1), table(), SettingsError, "from 2 to 10"),
        (InteractionFeatures([("units",)]), table(), SettingsError, "two or three"),
        (InteractionFeatures([("date", "units")]), table(), SchemaError, "is a date"),
        (TemporalFeatures("date"), table().assign(year=1.0), SchemaError, "these names already"),
        (CategoricalFeatures(["region"]), table().iloc[:0], SchemaError, "no rows"),
        (CategoricalFeatures(["c"]), pd.DataFrame({"c": [[1], [2]]}), SchemaError, "no categories"),
        (CategoricalFeatures(["a"]), pd.DataFrame([[1, 2]], columns=["a", "a"]), SchemaError, "same name"),
    ],
)
def test_when_a_column_or_setting_is_unfit_then_one_error_says_which(family, frame, error, words):
    with pytest.raises(error, match=words):
        family.fit(frame)
