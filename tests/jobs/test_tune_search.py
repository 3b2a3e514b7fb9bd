"""Which parameters trials get: never more than told, the defaults first, the same whenever a search is repeated."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand.errors import SettingsError
from jobs import compose
from jobs.trial_log import Outcome, TrialLog
from jobs.tune_desk import Desk
from jobs.tune_search import Search, grid_points
from jobs.tune_space import checked, with_parameters
from jobs.tuning_settings import Parameter, TuningSettings

SPACE = {
    "rate": Parameter(0.01, 1.0, log=True),
    "depth": Parameter(2, 9),
    "shape": Parameter(choices=([1, 2], [3], None)),
}
DEFAULTS = {"rate": 0.1, "depth": 6, "shape": [3]}
SEARCH = Search(SPACE, DEFAULTS, "bayesian", 20, 42, 4, True)


def loss(parameters):
    """Least at a small depth and the shape [1, 2]."""
    return parameters.get("depth", 0) / 10 + abs(parameters.get("rate", 0) - 0.3) + (parameters["shape"] != [1, 2])


def outcome(assignment):
    score = loss(assignment.parameters)
    limit = assignment.prune_above
    if limit is not None and score > limit:
        return Outcome(assignment.number, assignment.parameters, "pruned", None, (score,), 0.0, "median")
    return Outcome(assignment.number, assignment.parameters, "finished", score, (score, score), 0.0)


def run(desk, n=1000, order=1):
    """Runs at most n trials, `order` -1: those of a generation that wait are told newest first."""
    done = []
    while len(done) < n:
        batch = []
        while not isinstance(one := desk.next(), str):
            batch.append(one)
            if len(done) + len(batch) == n:
                break
        if not batch:
            assert one == "over"
            break
        for each in batch[::order]:
            desk.tell(outcome(each))
        done += batch
    return done


def desk(folder, search=SEARCH):
    folder.mkdir(exist_ok=True)
    return Desk(search, TrialLog(folder), 3, None)


@pytest.mark.parametrize("method", ["bayesian", "random", "grid"])
def test_when_a_search_runs_then_there_are_exactly_so_many_trials_each_in_the_space_and_none_twice(tmp_path, method):
    done = run(desk(tmp_path, replace(SEARCH, method=method)))
    assert [one.number for one in done] == list(range(20))
    assert done[0].parameters == DEFAULTS
    assert len({repr(one.parameters) for one in done}) == 20
    for one in done:
        assert all(SPACE[name].holds(value) for name, value in one.parameters.items())
    assert len(TrialLog(tmp_path).read()) == 20


def test_when_the_search_is_bayesian_then_it_learns_where_trials_are_good(tmp_path):
    later = run(desk(tmp_path / "a", replace(SEARCH, trials=50, prune=False)))[25:]
    blind = run(desk(tmp_path / "b", replace(SEARCH, trials=50, prune=False, method="random")))[25:]

    def mean(some):
        return sum(loss(one.parameters) for one in some) / len(some)

    assert mean(later) < 0.7 * mean(blind)


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 11, 19, 20])
def test_when_a_search_was_killed_then_going_on_makes_what_is_missing_and_the_whole_is_the_same(tmp_path, cut):
    whole = run(desk(tmp_path / "whole"))
    run(desk(tmp_path / "cut"), n=cut)
    rest = run(desk(tmp_path / "cut"))
    assert len(rest) == 20 - cut
    assert TrialLog(tmp_path / "cut").read() == {one.number: outcome(one) for one in whole}


def test_when_trials_of_a_generation_end_in_another_order_then_the_search_is_the_same(tmp_path):
    forth, back = (run(desk(tmp_path / str(order)), order=order) for order in (1, -1))
    assert [one.parameters for one in forth] == [one.parameters for one in back]
    assert [one.prune_above for one in forth] == [one.prune_above for one in back]


def test_when_the_seed_changes_then_other_parameters_are_tried(tmp_path):
    a, b = (run(desk(tmp_path / str(seed), replace(SEARCH, seed=seed))) for seed in (1, 2))
    assert a[0] == b[0]
    assert a[1:] != b[1:]


def test_when_pruning_is_on_then_the_limit_is_the_median_of_earlier_first_folds_and_never_binds_the_defaults(tmp_path):
    done = run(desk(tmp_path))
    log = TrialLog(tmp_path).read()
    assert [one.prune_above for one in done[:4]] == [None] * 4
    firsts = sorted(log[number].folds[0] for number in range(4))
    assert done[4].prune_above == pytest.approx((firsts[1] + firsts[2]) / 2)
    assert any(one.state == "pruned" for one in log.values())
    off = run(desk(tmp_path / "off", replace(SEARCH, prune=False)))
    assert {one.prune_above for one in off} == {None}


@pytest.mark.parametrize("method", ["bayesian", "random", "grid"])
def test_when_the_space_is_used_up_then_the_search_ends_and_says_so(tmp_path, method):
    small = {"shape": SPACE["shape"]}
    one = desk(tmp_path, replace(SEARCH, space=small, defaults={"shape": [3]}, method=method))
    assert sorted(map(repr, (done.parameters["shape"] for done in run(one)))) == ["None", "[1, 2]", "[3]"]
    assert one.why == "the space holds no more than these 3 trials"


def test_when_the_defaults_lie_outside_the_space_then_they_are_trial_0_all_the_same(tmp_path):
    done = run(desk(tmp_path, replace(SEARCH, defaults=DEFAULTS | {"depth": 30})))
    assert done[0].parameters["depth"] == 30
    assert all(one.parameters["depth"] < 10 for one in done[1:])


def test_when_the_defaults_cannot_be_fitted_then_no_other_trial_begins(tmp_path):
    one = desk(tmp_path)
    first = one.next()
    one.tell(Outcome(0, first.parameters, "failed", None, (), 0.1, "it broke"))
    assert one.next() == "over"
    assert one.why == "the defaults cannot be fitted: it broke"


def test_when_a_worker_died_then_its_trial_counts_as_failed(tmp_path):
    one = desk(tmp_path)
    first, second = one.next(), one.next()
    one.tell(outcome(first))
    one.broke(second.number, "its worker died")
    assert TrialLog(tmp_path).read()[1].cause == "its worker died"
    assert len(run(one)) == 18


def test_when_the_log_cannot_be_written_then_the_search_ends_and_nothing_counts(tmp_path):
    one = Desk(SEARCH, TrialLog(tmp_path / "nowhere"), 3, None)
    one.tell(outcome(one.next()))
    assert (one.next(), one.outcomes) == ("over", {})
    assert "cannot be written" in str(one.broken)


def test_when_the_time_is_up_then_no_further_trial_begins(tmp_path):
    one = Desk(SEARCH, TrialLog(tmp_path), 3, 0.0)  # a moment long past
    one.tell(outcome(one.next()))
    assert one.next() == "over"
    assert one.why == "max_seconds"


@given(st.integers(-20, 20), st.integers(1, 20))
def test_when_a_range_is_of_whole_numbers_then_its_grid_is_inside_and_has_both_ends(low, width):
    points = grid_points(Parameter(low, low + width))
    assert {low, low + width} <= set(points)
    assert all(type(point) is int and low <= point <= low + width for point in points)


def test_when_a_range_is_logarithmic_then_the_middle_of_its_grid_is_the_geometric_mean():
    assert grid_points(Parameter(0.01, 1.0, log=True)) == pytest.approx([0.01, 0.1, 1.0])


# ---- spaces --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tune():
    return compose.load("tune", ["model=xgboost"])


@pytest.mark.parametrize("kind", ["arima", "prophet", "lstm", "xgboost", "tide"])
def test_when_a_space_is_shipped_then_the_model_takes_its_ends_and_its_defaults_lie_in_it(tune, kind):
    space, config = tune.tuning.space[kind], tune.models[kind]
    defaults = checked(kind, config, space)
    assert all(space[name].holds(value) for name, value in defaults.items())
    changed = with_parameters(kind, config, defaults)
    assert checked(kind, changed, space) == defaults


def test_when_a_space_is_changed_on_the_command_line_then_it_is_another_space():
    told = ["~tuning.space.xgboost.subsample", "tuning.space.xgboost.max_depth.high=6",
            "tuning.space.xgboost.gamma={low: 0, high: 5}", "model=xgboost", "trials=7", "method=grid",
            "sample=9"]  # fmt: skip
    found = compose.load("tune", told).tuning
    assert "subsample" not in found.space["xgboost"]
    assert found.space["xgboost"]["max_depth"] == Parameter(3, 6)
    assert found.space["xgboost"]["gamma"] == Parameter(0, 5)
    assert (found.model, found.tuning_iterations, found.tuning_method, found.sample) == ("xgboost", 7, "grid", 9)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"max_dept": Parameter(2, 4)}, "did you mean 'max_depth'"),
        ({}, "no parameter"),
        ({"max_depth": Parameter(0, 4)}, "a value that the model refuses"),
        ({"booster": Parameter(choices=("gbtree", "gblinear"))}, "a value that the model refuses"),
        ({"features": Parameter(choices=("a", "b"))}, "unknown key"),
    ],
)
def test_when_a_space_does_not_fit_the_model_then_it_is_refused(tune, space, said):
    with pytest.raises(SettingsError) as caught:
        checked("xgboost", tune.models["xgboost"], space)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (Parameter(3, 3), "an empty range"),
        (Parameter(4.0, 3.0), "an empty range"),
        (Parameter(0, 3, log=True), "begins above 0"),
        (Parameter(3), "needs low and high"),
        (Parameter(), "needs low and high"),
        (Parameter(1, 2, choices=(1, 2)), "not both"),
        (Parameter(choices=(1,)), "two or more"),
        (Parameter(choices=([1], (1,))), "two or more"),
    ],
)
def test_when_there_is_nothing_to_choose_from_then_the_space_is_refused_by_its_key(parameter, said):
    with pytest.raises(SettingsError) as caught:
        TuningSettings(space={"xgboost": {"max_depth": parameter}})
    assert said in str(caught.value)
    assert caught.value.facts["key"] == "tuning.space.xgboost.max_depth"
