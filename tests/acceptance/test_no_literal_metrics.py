"""Acceptance 7: nothing that is served comes from chance or from a number written into the serving code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.schemas.units import PERCENT

ROOT = Path(__file__).parents[2]
# Where an answer's numbers are made: the service, and what is stored for it in a release.
SEARCHED = ("serve_app/**/*.py", "evaluation/serving*.py", "evaluation/totals.py", "jobs/serving_tables.py",
            "jobs/entries.py", "jobs/trained.py")  # fmt: skip
METRICS = {
    *PERCENT, "action_accuracy", "rmse", "mae", "mase", "rmsse", "r2", "coverage", "bias", "total_forecasted_qty",
    "forecast", "forecast_30_days", "forecast_60_days", "forecast_90_days", "forecast_180_days", "predicted_quantity",
    "predicted_demand", "potential_savings", "monthly_forecast", "training_samples", "training_records", "lower",
    "upper", "min_forecast", "max_forecast", "historical_avg", "historical_total", "order_count", "weight",
    "importance",
}  # fmt: skip
CHANCE = {"random", "numpy.random"}
MODULES = ("np", "math", "pd", "pc")
WAVES = {"sin", "cos", "random", "default_rng", "normal", "uniform", "rand", "randn", "randint", "shuffle"}


def faults(source: str) -> Iterator[str]:
    """What in a module would be a made-up number: chance, waves, or a literal where a measured value belongs."""
    limits: set[int] = set()  # arguments of clip, which are met after their call
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
        elif isinstance(node, ast.Call) and _name(node.func) == "clip":
            limits.update(map(id, node.keywords))
        elif isinstance(node, ast.keyword) and id(node) not in limits and _made_up(node.arg, node.value):
            yield f"{node.arg}=.."
        elif isinstance(node, ast.Assign):
            yield from (f"{name} = .." for target in node.targets if _made_up(name := _name(target), node.value))
        elif isinstance(node, ast.AugAssign) and _made_up(name := _name(node.target), node.value):
            yield f"{name} {type(node.op).__name__}= .."
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
    elif isinstance(value, ast.ListComp | ast.GeneratorExp):
        yield from _alternatives(value.elt)
    elif isinstance(value, ast.UnaryOp):
        yield from _alternatives(value.operand)
    elif isinstance(value, ast.NamedExpr):
        yield from _alternatives(value.value)
    else:
        yield value


def _number(value: ast.expr) -> bool:
    """Whether nothing but numbers written down goes into it, whatever is called with them; or a number is added."""
    leaves = [part for part in ast.walk(value) if isinstance(part, ast.Constant) and type(part.value) in (int, float)]
    functions = [part.func for part in ast.walk(value) if isinstance(part, ast.Call)]
    written = {id(part) for func in functions if ast.unparse(func).partition(".")[0] in (*MODULES, _name(func))
               for part in ast.walk(func)}  # fmt: skip
    read = [part for part in ast.walk(value) if isinstance(part, ast.Name | ast.Attribute | ast.Subscript)
            and id(part) not in written]  # fmt: skip
    return bool(leaves) and (not read or _shifted(value))


def _shifted(value: ast.expr) -> bool:
    """Whether what was measured is moved by a number: `m + 5`; `1 - m` is another measure, and so is `100 * m`."""
    if isinstance(value, ast.Call):
        return any(map(_shifted, value.args))
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add | ast.Sub):
        return False
    left, right = (isinstance(side, ast.Constant) for side in (value.left, value.right))
    whole = isinstance(value.left, ast.Constant) and value.left.value in (1, 100)
    return (left or right) and not (whole and isinstance(value.op, ast.Sub))


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""


def test_when_serving_code_is_searched_then_no_number_is_made_up():
    modules = sorted(path for pattern in SEARCHED for path in ROOT.glob(pattern))
    assert len(modules) > 100
    assert all(list(ROOT.glob(pattern)) for pattern in SEARCHED)
    found = {str(path.relative_to(ROOT)): list(faults(path.read_text(encoding="utf-8"))) for path in modules}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import random", "from random import gauss", "import numpy as np\nx = np.random.normal(0, 1)",
        "import math\nx = math.sin(3)", "answer = {'accuracy': 85.5}", "answer['confidence'] = 0.81",
        "accuracy: float = 0.9", "row = dict(mape=12)", "wape = m.get('wape', 0.2)", "mape = m or 0.15",
        "def f(confidence=0.8): ...", "def f(*, growth_rate=5): ...", "x = {'growth_rate': -3 if up else 3}",
        "class A:\n    mape = 9.0", "x = {'accuracy': round(85.5, 1)}", "x = {'accuracy': percent(.85)}",
        "wape = 0.1 + 0.05", "accuracy = max(0.0, np.float64(85.5))", "confidence *= 1.1", "answer['mape'] -= 2",
        "accuracy = measured + 5", "x = {'accuracy': percent(m['accuracy'] + 0.05)}", "x = {'lower': [0.9 for _ in n]}",
        "mape = (found := 12)", "x = {'values': 1, 'forecast': [1, 2]}", "self.best_accuracy = 99",
    ],
)  # fmt: skip
def test_when_a_number_is_made_up_then_the_search_finds_it(source):
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    ["answer = {'accuracy': percent(m['accuracy'])}", "x = {'potential_savings': None}",
     "x = {'forecast_30_days': listed(top.ahead(30))}", "x = frame.clip(lower=0.0)", "HIGH = 75.0",
     "accuracy = max(0.0, 1 - m['wape'])",
     "wape = 100 * m['wape']", "coverage = round(m['coverage'], 6)", "x = {'forecast': listed(ahead[:, 0])}",
     "confidence = None if low is None else share", "wape = m.get('wape')", "rows = {'lower': [None] * n}"],
)  # fmt: skip
def test_when_a_number_is_read_then_the_search_is_silent(source):
    assert not list(faults(source))
