"""Which parameters a trial gets: a function of the seed and of the trials before, so that a search can be repeated.

Trials are chosen in generations. Those of one generation know the outcomes of all earlier generations and nothing of
each other, whatever runs at the same time: on any number of CPUs, and after an interruption, the search is the same.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from jobs.trial_log import Outcome
from jobs.tune_space import Space
from jobs.tuning_settings import Parameter

LEAST_TO_PRUNE = 4  # first folds, before their median says anything
DRAWS = 50  # of parameters that were tried already, before a space counts as used up
BLIND = 8  # trials before the first that learns from those before it
GRID_POINTS = 3  # of a range: its ends and its middle


@dataclass(frozen=True)
class Assignment:
    """What one trial does.

    prune_above: the score of the first fold beyond which it ends there (None: never). max_seconds: wall time after
    which it is given up; it counts as failed then.
    """

    number: int
    parameters: Mapping[str, Any]
    prune_above: float | None = None
    max_seconds: float = math.inf


@dataclass(frozen=True)
class Search:
    """Everything a search was told; trials: how many at most, the defaults (trial 0) among them."""

    space: Space
    defaults: Mapping[str, Any]
    method: Literal["bayesian", "grid", "random"]
    trials: int
    seed: int
    generation: int
    prune: bool

    def assignments(self, first: int, told: Mapping[int, Outcome]) -> list[Assignment]:
        """The trials of the generation that begins with number `first`; fewer, or none, when the space is used up.

        told: the outcomes of all trials below `first`; later ones are not looked at.
        """
        before = [told[number] for number in sorted(told) if number < first]
        firsts = [outcome.folds[0] for outcome in before if outcome.folds]
        limit = float(np.median(firsts)) if self.prune and len(firsts) >= LEAST_TO_PRUNE else None
        tried = {_key(self.defaults), *(_key(outcome.parameters) for outcome in before)}
        chosen: list[Assignment] = []
        for number in range(first, min(first + self.generation, self.trials)):
            if number == 0:
                chosen.append(Assignment(0, dict(self.defaults)))
                continue
            drawn = islice(self._candidates(number, before), DRAWS if self.method != "grid" else None)
            parameters = next((one for one in drawn if _key(one) not in tried), None)
            if parameters is None:
                break
            tried.add(_key(parameters))
            chosen.append(Assignment(number, parameters, limit))
        return chosen

    def _candidates(self, number: int, before: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
        """Parameters for one trial, the best guess first."""
        if self.method == "grid":
            yield from self._grid()
            return
        for draw in range(DRAWS):
            seed = int(np.random.SeedSequence((self.seed, number, draw)).generate_state(1)[0])
            yield self._asked(seed, before if self.method == "bayesian" and not draw else ())

    def _grid(self) -> Iterator[dict[str, Any]]:
        """Every point of the grid in an order drawn by the seed, so that a part of it covers the whole space."""
        axes = {name: grid_points(parameter) for name, parameter in self.space.items()}
        sizes = [len(axis) for axis in axes.values()]
        size = math.prod(sizes)
        for k in random.Random(self.seed).sample(range(size), min(size, 2 * self.trials)):
            at = np.unravel_index(k, sizes)
            yield {name: axis[int(i)] for (name, axis), i in zip(axes.items(), at, strict=True)}

    def _asked(self, seed: int, before: Sequence[Outcome]) -> dict[str, Any]:
        """What Optuna's TPE proposes after these outcomes, or a random draw without any."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        samplers = optuna.samplers
        sampler = (
            samplers.TPESampler(seed=seed, n_startup_trials=BLIND) if before else samplers.RandomSampler(seed=seed)
        )
        study = optuna.create_study(direction="minimize", sampler=sampler)
        ranges = {name: _distribution(parameter) for name, parameter in self.space.items()}
        for outcome in before:
            if (trial := self._told(outcome, ranges)) is not None:
                study.add_trial(trial)
        asked = study.ask(ranges).params
        return {name: _value(self.space[name], asked[name]) for name in self.space}

    def _told(self, outcome: Outcome, ranges: Mapping[str, Any]) -> Any:
        """A trial as Optuna is told it; None for one outside the space, as the defaults may be: it cannot be told."""
        import optuna

        if not all(self.space[name].holds(value) for name, value in outcome.parameters.items()):
            return None
        state = {
            "finished": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED,
            "failed": optuna.trial.TrialState.FAIL,
        }[outcome.state]  # fmt: skip
        return optuna.trial.create_trial(
            state=state, value=outcome.score, distributions=dict(ranges),
            params={name: _code(self.space[name], value) for name, value in outcome.parameters.items()},
            intermediate_values=dict(enumerate(outcome.folds)),
        )  # fmt: skip


def grid_points(parameter: Parameter) -> list[Any]:
    """All choices; of a range its ends and its middle (of logarithms where it is logarithmic)."""
    if parameter.choices is not None:
        return [_plain(choice) for choice in parameter.choices]
    assert parameter.low is not None
    assert parameter.high is not None
    space = np.geomspace if parameter.log else np.linspace
    points = space(parameter.low, parameter.high, GRID_POINTS).tolist()
    points = [parameter.low, *points[1:-1], parameter.high]
    return sorted({round(point) for point in points}) if parameter.is_whole else [float(point) for point in points]


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.choices is not None:  # by position: Optuna's own choices are no lists
        return CategoricalDistribution(tuple(range(len(parameter.choices))))
    kind = IntDistribution if parameter.is_whole else FloatDistribution
    return kind(parameter.low, parameter.high, log=parameter.log)


def _code(parameter: Parameter, value: Any) -> Any:
    if parameter.choices is not None:
        return parameter.position(value)
    return int(value) if parameter.is_whole else float(value)


def _value(parameter: Parameter, code: Any) -> Any:
    return code if parameter.choices is None else _plain(parameter.choices[code])


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _key(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)
