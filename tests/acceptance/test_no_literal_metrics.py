"""Acceptance 7: nothing that is served comes from chance or from a number written into the serving code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.schemas.units import PERCENT

SERVE_APP = Path(__file__).parents[2] / "serve_app"
METRICS = {
    *PERCENT, "action_accuracy", "rmse", "mae", "mase", "rmsse", "r2", "coverage", "bias", "total_forecasted_qty",
    "forecast", "forecast_30_days", "forecast_60_days", "forecast_90_days", "forecast_180_days", "predicted_quantity",
    "predicted_demand", "potential_savings", "monthly_forecast", "training_samples", "training_records", "lower",
    "upper", "min_forecast", "max_forecast", "historical_avg", "historical_total", "order_count", "weight",
    "importance",
}  # fmt: skip
CHANCE = {"random", "numpy.random"}
WAVES = {"sin", "cos", "random", "default_rng", "normal", "uniform", "rand", "randn", "randint", "shuffle"}


def faults(source: str) -> Iterator[str]:
    """What in a module would be a made-up number: chance, waves, or a literal where a measured value belongs."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name in CHANCE)
        elif isinstance(node, ast.ImportFrom) and node.module in CHANCE:
            yield f"from {node.module}"
        elif isinstance(node, ast.Attribute) and node.attr in WAVES:
            yield f".{node.attr}"
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield from (
                f"{{{k.value!r}: ..}}" for k, v in pairs if isinstance(k, ast.Constant) and _made_up(k.value, v)
            )
        elif isinstance(node, ast.keyword) and _made_up(node.arg, node.value):
            yield f"{node.arg}=.."
        elif isinstance(node, ast.Assign):
            yield from (f"{name} = .." for target in node.targets if _made_up(name := _name(target), node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None and _made_up(_name(node.target), node.value):
            yield f"{_name(node.target)}: .. = .."
        elif isinstance(node, ast.Call) and _name(node.func) == "get" and len(node.args) == 2:
            key, default = node.args
            if isinstance(key, ast.Constant) and _made_up(key.value, default):
                yield f".get({key.value!r}, ..)"
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
            told = [*zip(named, node.defaults, strict=True), *zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            yield from (f"def ({arg.arg}=..)" for arg, value in told if value and _made_up(arg.arg, value))


def _made_up(name: object, value: ast.expr) -> bool:
    return name in METRICS and any(_number(part) for part in _alternatives(value))


def _alternatives(value: ast.expr) -> Iterator[ast.expr]:
    """The values an expression may become: of `a or b`, of `b if c else d`, inside round(..) and lists."""
    if isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _alternatives(part)
    elif isinstance(value, ast.IfExp):
        yield from _alternatives(value.body)
        yield from _alternatives(value.orelse)
    elif isinstance(value, ast.List | ast.Tuple):
        for part in value.elts:
            yield from _alternatives(part)
    elif isinstance(value, ast.UnaryOp):
        yield from _alternatives(value.operand)
    else:
        yield value


def _number(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""


def test_when_serving_code_is_searched_then_no_number_is_made_up():
    modules = sorted(SERVE_APP.rglob("*.py"))
    assert len(modules) > 15
    found = {str(path.relative_to(SERVE_APP)): list(faults(path.read_text(encoding="utf-8"))) for path in modules}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import random", "from random import gauss", "import numpy as np\nx = np.random.normal(0, 1)",
        "import math\nx = math.sin(3)", "answer = {'accuracy': 85.5}", "answer['confidence'] = 0.81",
        "accuracy: float = 0.9", "row = dict(mape=12)", "wape = m.get('wape', 0.2)", "mape = m or 0.15",
        "def f(confidence=0.8): ...", "def f(*, growth_rate=5): ...", "x = {'growth_rate': -3 if up else 3}",
        "class A:\n    mape = 9.0", "x = {'values': 1, 'forecast': [1, 2]}", "self.best_accuracy = 99",
    ],
)  # fmt: skip
def test_when_a_number_is_made_up_then_the_search_finds_it(source):
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    ["answer = {'accuracy': percent(m['accuracy'])}", "x = {'potential_savings': None}", "HIGH = 75.0",
     "confidence = None if low is None else share", "wape = m.get('wape')", "rows = {'lower': [None] * n}"],
)  # fmt: skip
def test_when_a_number_is_read_then_the_search_is_silent(source):
    assert not list(faults(source))
