from dataclasses import replace

import numpy as np
import pytest

from demand.errors import DataError
from evaluation.paired import paired_test
from tests.evaluation.made import from_arrays, level_forecast, race


def pair(n, better_by, seed=0):
    """Two models over n series, the first closer to the truth by `better_by` on average."""
    rng = np.random.default_rng(seed)
    actual = rng.poisson(20, (n, 6)).astype(float)
    noise = rng.normal(0, 4, (2, n, 6))
    a = from_arrays(actual, np.maximum(actual + noise[0], 0), model="a")
    b = from_arrays(actual, np.maximum(actual + noise[1] * (1 + better_by), 0), model="b")
    return [a], [b]


def test_when_one_model_is_clearly_better_then_p_is_small_on_its_side_alone():
    a, b = pair(40, 1.0)
    found = paired_test(a, b)
    assert found["p"] < 0.01
    assert found["p_better"] < 0.01
    assert found["mean_difference"] < 0
    assert paired_test(b, a)["p_better"] > 0.95


def test_when_the_roles_change_then_the_two_sided_p_stays():
    a, b = pair(8, 0.2)
    assert paired_test(a, b)["p"] == pytest.approx(paired_test(b, a)["p"], abs=0.02)


def test_when_models_are_equal_then_p_is_one():
    a, _ = pair(10, 0)
    assert paired_test(a, a)["p"] == 1.0


def test_when_there_is_no_difference_then_small_p_is_as_rare_as_it_says():
    found = [paired_test(*pair(12, 0, seed), n_resamples=499)["p"] for seed in range(120)]
    assert np.mean(np.array(found) <= 0.1) <= 0.2


def test_when_signed_errors_cancel_but_losses_differ_then_losses_decide():
    actual = np.full((10, 4), 10.0)
    swings = np.tile([5.0, -5.0], (10, 2))
    a, b = from_arrays(actual, actual + 1, model="a"), from_arrays(actual, actual + swings, model="b")
    assert paired_test([a], [b])["p_better"] < 0.01


def test_when_the_mean_difference_is_taken_then_it_is_the_difference_of_wape():
    from evaluation.metrics import measure

    results = race()
    found = paired_test(results["xgboost"], results["seasonal_naive"])
    wape = {name: measure(results[name])["wape"] for name in results}
    assert found["mean_difference"] == pytest.approx(wape["xgboost"] - wape["seasonal_naive"])
    assert (found["n"], found["n_units"], found["unit"]) == (36, 12, "series")


def test_when_there_is_one_series_then_its_origins_are_the_units():
    a = [from_arrays([[5.0]], [[5.0]], cutoff=k, model="a") for k in range(6)]
    b = [from_arrays([[5.0]], [[9.0]], cutoff=k, model="b") for k in range(6)]
    found = paired_test(a, b)
    assert (found["unit"], found["n_units"]) == ("origins", 6)
    assert found["p_better"] == pytest.approx(1 / 64)


def test_when_there_is_one_unit_then_p_is_null_with_a_reason():
    found = paired_test([from_arrays([[5.0]], [[5.0]])], [from_arrays([[5.0]], [[9.0]])])
    assert found["p"] is None
    assert found["reason"]


def test_when_rows_have_no_known_actual_then_they_do_not_count():
    a = from_arrays([[5.0], [np.nan], [4.0]], [[5.0], [1.0], [4.0]], model="a")
    b = from_arrays([[5.0], [np.nan], [4.0]], [[9.0], [7.0], [6.0]], model="b")
    assert paired_test([a], [b])["n"] == 2


def test_when_races_differ_then_there_is_no_test():
    a, b = pair(3, 0)
    with pytest.raises(DataError, match="same folds"):
        paired_test(a, [replace(b[0], actuals=b[0].actuals + 1)])


@pytest.mark.parametrize("loss", ["squared", "pinball"])
def test_when_another_loss_is_asked_for_then_it_decides(loss):
    results = race(models={"wild": lambda h, steps: level_forecast(h, steps) * 6})
    assert paired_test(results["xgboost"], results["wild"], loss=loss)["p_better"] < 0.01
