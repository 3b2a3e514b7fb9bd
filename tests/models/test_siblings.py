"""Newborn styles at their siblings' course: beside a slow twin, blind to the future, silent where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from demand.errors import SettingsError
from models.base import FitContext, ForecastSpec
from models.siblings import SEEN, NewbornSettings, check_columns, sibling_forecast
from models.smoothing import ExponentialSmoothing
from tests.evaluation.made import panel_of

SPEC, CONTEXT = ForecastSpec(7, (0.1, 0.5, 0.9)), FitContext(7)
CHOSEN = NewbornSettings(("family",))
WEEK = 1 + 0.8 * np.sin(2 * np.pi * np.arange(7) / 7)
BORN = {"b1": 1, "b2": 2, "b3": 3, "b4": 4}


def fleet(seed=3, old=8, length=84, families=("knit", "rib"), spread=0.2):
    """`old` styles of each family with a weekly course, and four newborn ones of the first at 1 to 4 periods."""
    rng = np.random.default_rng(seed)
    series, family = {}, {}
    for f, name in enumerate(families):
        for i in range(old):
            key = f"{name}{i:02d}"
            level = 20 * (1 + f) * (0.5 + i / old)
            series[key] = level * np.resize(WEEK, length) * rng.normal(1, spread, length).clip(0.1)
            family[key] = name
    for key, n in BORN.items():
        series[key] = 60 * np.resize(WEEK, length)[-n:] * rng.normal(1, spread, n).clip(0.1)
        family[key] = families[0]
    panel = panel_of(series, 20_000)
    return replace(panel, static={"family": np.array([family[i] for i in panel.ids.tolist()], dtype=object)})


def rows_of(panel, *names):
    return panel.index_of(np.array(names))


def twin_mean(panel, style):
    """The mean of one newborn style, from its siblings one at a time."""
    width, at = SEEN * CHOSEN.periods, int(rows_of(panel, style)[0])
    mine = [i for i in range(panel.n_series) if panel.static["family"][i] == panel.static["family"][at]]
    old = [i for i in mine if len(panel.series(i)) >= width]
    total = np.sum([panel.series(i) for i in old], axis=0)
    one = panel_of({"sum": total}, panel.end)
    ahead = ExponentialSmoothing().fit(one, SPEC, CONTEXT).forecast(one).mean[0] / len(old)
    last = [panel.series(i)[-width:] for i in old]
    course = np.mean(last, axis=0)
    levels = [values.mean() for values in last]
    noise = np.mean([np.mean((v - m * course / course.mean()) ** 2) for v, m in zip(last, levels, strict=True)])
    between = np.mean([(m - course.mean()) ** 2 for m in levels])
    noise, between = noise / course.mean() ** 2, between / course.mean() ** 2
    apart = max(between - noise / width, 1e-3 * between)
    own = panel.series(at)
    trust = apart / (apart + noise / len(own))
    return ahead * max(1 + trust * (own.sum() / course[-len(own) :].sum() - 1), 0)


@pytest.mark.slow
@profile(max_examples=15)
@given(st.integers(0, 1000))
def test_when_siblings_share_a_course_then_newborn_styles_take_it_at_their_own_level_as_the_slow_twin_says(seed):
    panel = fleet(seed)
    made = sibling_forecast(panel, SPEC, CONTEXT, CHOSEN)
    rows = rows_of(panel, *BORN)
    assert made.made[rows].all()
    assert made.made.sum() == len(BORN)
    for style, row in zip(BORN, rows, strict=True):
        assert np.allclose(made.mean[row], twin_mean(panel, style))
    assert set(made.note[rows]) == {"8 siblings of family=knit"}
    assert (np.diff(made.quantiles[rows], axis=2) >= 0).all()


def test_when_the_course_is_known_then_the_error_is_far_below_the_mean_of_the_styles_own_periods():
    panel = fleet()
    made = sibling_forecast(panel, SPEC, CONTEXT, CHOSEN)
    truth = 60 * np.resize(WEEK, 84 + 7)[84:]
    rows = rows_of(panel, *BORN)
    own = sum(np.abs(truth - panel.series(int(row)).mean()).sum() for row in rows)
    assert np.abs(truth - made.mean[rows]).sum() < 0.5 * own
    held = (made.quantiles[:, :, 0] <= truth) & (truth <= made.quantiles[:, :, 2])
    assert held[rows_of(panel, *BORN)].mean() > 0.7


def test_when_a_style_has_more_periods_then_its_own_level_counts_more():
    panel = fleet(spread=0.4)
    trusts = []
    for n in (1, 4):
        y = panel.y.copy()
        at = int(rows_of(panel, f"b{n}")[0])
        y[panel.indptr[at] : panel.indptr[at + 1]] *= 10
        loud, quiet = (sibling_forecast(p, SPEC, CONTEXT, CHOSEN).mean[at].sum() for p in (replace(panel, y=y), panel))
        trusts.append((loud / quiet - 1) / 9)
    assert 0 < trusts[0] < trusts[1] <= 1


def test_when_everything_is_counted_in_another_unit_then_the_rows_are_as_well():
    panel = fleet()
    one = sibling_forecast(panel, SPEC, CONTEXT, CHOSEN)
    other = sibling_forecast(replace(panel, y=1000 * panel.y), SPEC, CONTEXT, CHOSEN)
    assert np.allclose(other.mean[one.made], 1000 * one.mean[one.made])
    assert np.allclose(other.quantiles[one.made], 1000 * one.quantiles[one.made])


def test_when_a_column_has_too_few_siblings_then_the_next_one_is_tried_and_named():
    panel = fleet()
    line = np.array([f"line {i}" for i in range(panel.n_series)], dtype=object)
    line[rows_of(panel, "b1", "knit00")] = "line x"
    panel = replace(panel, static={**panel.static, "line": line})
    made = sibling_forecast(panel, SPEC, CONTEXT, NewbornSettings(("line", "family")))
    assert set(made.note[rows_of(panel, *BORN)]) == {"8 siblings of family=knit"}
    alone = sibling_forecast(panel, SPEC, CONTEXT, NewbornSettings(("line",)))
    assert not alone.made.any()
    assert "nothing could be tried" in alone.reason[rows_of(panel, "b1")[0]]


def test_when_siblings_tell_nothing_then_no_row_is_made_and_it_is_said():
    rng = np.random.default_rng(0)
    panel = fleet()
    # the same course in no two styles, and levels a hundred times apart: a style's own mean is better
    y = np.concatenate([np.full(n, 10.0 ** rng.uniform(0, 4)) for n in panel.lengths]) * rng.normal(
        1, 0.05, len(panel.y)
    )
    made = sibling_forecast(replace(panel, y=y), SPEC, CONTEXT, CHOSEN)
    told = made.reason[rows_of(panel, *BORN)]
    assert not made.made.any()
    assert all("its own mean was better" in text for text in told)


def test_when_a_style_has_no_value_or_the_past_is_too_short_then_no_row_is_made():
    panel = fleet()
    family = panel.static["family"].copy()
    family[rows_of(panel, "b2")] = None
    family[rows_of(panel, "b3")] = "other"
    made = sibling_forecast(replace(panel, static={"family": family}), SPEC, CONTEXT, CHOSEN)
    assert made.made[rows_of(panel, *BORN)].tolist() == [True, False, False, True]
    assert "it has no siblings" in made.reason[rows_of(panel, "b2")[0]]
    young = panel.until(panel.end)
    keep = np.concatenate(
        [np.arange(b - min(b - a, 13), b) for a, b in zip(panel.indptr[:-1], panel.indptr[1:], strict=True)]
    )
    lengths = np.minimum(panel.lengths, 13)
    short = replace(young, y=panel.y[keep], indptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    assert not sibling_forecast(short, SPEC, CONTEXT, CHOSEN).made.any()


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_when_nothing_or_less_was_sold_then_rows_are_finite_and_not_negative_or_absent(factor):
    panel = fleet()
    y = panel.y.copy()
    for row in rows_of(panel, "b1", "b4").tolist():
        y[panel.indptr[row] : panel.indptr[row + 1]] *= factor
    made = sibling_forecast(replace(panel, y=y), SPEC, CONTEXT, CHOSEN)
    assert (made.mean[made.made] >= 0).all()
    assert np.isfinite(made.quantiles[made.made]).all()
    silent = sibling_forecast(replace(panel, y=0 * panel.y), SPEC, CONTEXT, CHOSEN)
    assert not silent.made.any()


@pytest.mark.parametrize(
    ("columns", "static", "said"),
    [
        (("gauge",), {}, "does not have"),
        (("family", "family"), {}, "twice"),
        (("family",), {"family": np.array([str(i) for i in range(20)])}, "no two styles are siblings"),
        (("family",), {"family": np.array([None] * 20, dtype=object)}, "no two styles are siblings"),
    ],
)
def test_when_a_column_makes_no_siblings_then_it_is_refused(columns, static, said):
    panel = fleet()
    with pytest.raises(SettingsError, match=said) as error:
        check_columns(replace(panel, static={**panel.static, **static}), columns)
    assert error.value.facts.get("key") == "newborns.siblings_by" or "column" in error.value.facts
