"""What a seeded fleet of knit styles sells, by style and day: the arithmetic behind `demand.synthetic`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.calendar import Calendar, Dates
from demand.errors import SettingsError
from demand.panel import Floats, Ints, Strings
from demand.settings import STRICT


@dataclass(frozen=True, config=STRICT)
class SyntheticSettings:
    """Which fleet to make.

    styles: how many. years: length of the history that ends on `end`. freq: see Calendar; demand is always made by
    the day and summed into whole periods. kind: "fleet" is a mix of demand classes with structure to learn, "control"
    is pure random orders, where nothing beats the mean. hostile: some styles get names that break careless code.
    """

    styles: Annotated[int, Field(ge=1, le=1_000_000)] = 150
    years: Annotated[float, Field(gt=0, le=50)] = 3.0
    freq: str = "D"
    seed: Annotated[int, Field(ge=0)] = 42
    end: date = date(2025, 8, 31)
    kind: Literal["fleet", "control"] = "fleet"
    hostile: bool = False

    def __post_init__(self) -> None:
        Calendar(self.freq)  # raises SettingsError now, not after minutes of work


class _Range(NamedTuple):
    low: float
    high: float


@plain_dataclass(frozen=True)
class _Shape:
    """What makes a demand class; a range is drawn from once a style."""

    share: float  # of the fleet
    chance: _Range  # of an order on a usual day
    noise_cv: float  # standard deviation / mean of an order's size
    year: _Range  # amplitude of the yearly wave, in log demand
    yards: float  # median size of a usual day's demand
    sparse: bool = False  # structure moves how often it sells, not how much


# The limits are Syntetos and Boylan's: smooth and erratic styles sell at least every 1.32 days on average, the sparse
# ones less often; squared noise is above 0.49 for erratic and lumpy ones, below it for the rest.
_SHAPES = {
    "smooth": _Shape(0.28, _Range(0.95, 1.0), 0.20, _Range(0.10, 0.30), 250),
    "seasonal": _Shape(0.14, _Range(0.95, 1.0), 0.20, _Range(0.50, 0.80), 250),
    "erratic": _Shape(0.15, _Range(0.85, 0.95), 0.95, _Range(0.10, 0.30), 200),
    "intermittent": _Shape(0.16, _Range(0.10, 0.40), 0.30, _Range(0.10, 0.40), 300, sparse=True),
    "lumpy": _Shape(0.12, _Range(0.05, 0.20), 1.20, _Range(0.10, 0.40), 400, sparse=True),
    "new": _Shape(0.08, _Range(0.95, 1.0), 0.25, _Range(0.10, 0.30), 200),
    "dying": _Shape(0.07, _Range(0.95, 1.0), 0.25, _Range(0.10, 0.30), 200),
}
CLASSES = tuple(_SHAPES)
CONTROL_CLASS = "random"

# category: day of the year of its peak, yarns, gauges
_CATEGORIES: dict[str, tuple[int, tuple[str, ...], tuple[int, ...]]] = {
    "fleece": (290, ("20/1 cotton", "1/150/48 polyester"), (18, 20)),
    "interlock": (265, ("40/1 combed cotton", "55/45 linen cotton"), (22, 24, 28)),
    "jersey": (115, ("30/1 combed cotton", "30/1 modal"), (24, 28)),
    "mesh": (150, ("1/150/48 polyester", "1/300/144 polyester"), (18, 22)),
    "rib": (100, ("30/1 combed cotton", "40/1 combed cotton"), (16, 18)),
}
_PREFIXES = ("CF", "KB", "RJ", "TL")
_COLOURS = ("black", "ecru", "heather grey", "navy", "white")

_WEEK = np.array([1.20, 1.20, 1.15, 1.15, 1.10, 0.75, 0.45])  # Monday .. Sunday
_HOLIDAY, _YEAR_END = 0.25, 0.50  # share of a usual day that is left
_LEVEL_SD, _LEVEL_MEMORY = 0.12, 0.98  # slow wandering of a style's level, in log demand; memory per day
_TREND_SD = 0.12  # of log growth a year
_NEW_DAYS = 120
_FEW_DAYS = (3, 5)  # history of the first new styles
_BLOCK = 1024  # styles made at once: bounds memory, and the first styles do not depend on how many follow


def hostile_names() -> list[str]:
    """Style names that break careless code: formulas, markup, paths, Unicode twins, look-alikes of numbers."""
    return [
        "=1+1", "@SUM(A1:A9)", "+7", "-2+3", "<script>alert(1)</script>", "A/../B", "../../etc/passwd", "C:\\temp\\x",
        "Gr\u00f6\u00dfe 1", "Gro\u0308\u00dfe 1", "\u7ec7\u7269/1", "\u202eabc", "x" * 200, 'say "hi", twice', "a;b|c",
        "NA", "null", "nan", "1e5", "100000", "00123", "123", "ABC1234-1", "ABC1234/1",
        "%2e%2e", "{{7*7}}", "__proto__",
    ]  # fmt: skip


@plain_dataclass(frozen=True, eq=False)
class Plan:
    """What is drawn once for the whole fleet, by style in ascending order of id."""

    ids: Strings  # [N]
    start: Ints  # [N] first day on sale, counted from the first day of the history
    static: dict[str, NDArray[Any]]  # [N] each


def days_of(settings: SyntheticSettings) -> Dates:
    """The days of all whole periods in the asked span [T], as datetime64[D]."""
    last = np.datetime64(settings.end, "D")
    n = max(1, round(settings.years * 365.25))
    days = last - np.arange(n, -2, -1)  # one day more on either side shows whether the outer periods are whole
    period = Calendar(settings.freq).containing(days)
    opens = np.flatnonzero(period[1:] != period[:-1]) + 1
    if len(opens) < 2:
        raise SettingsError(
            "the history holds no whole period", years=settings.years, freq=settings.freq, end=str(settings.end)
        )
    return days[opens[0] : opens[-1]]


def plan_of(settings: SyntheticSettings, days: Dates) -> Plan:
    n, n_days = settings.styles, len(days)
    rng = np.random.default_rng([settings.seed, 0])
    names = [f"{_PREFIXES[i % 4]}{1000 + i}/{1 + i % 3}" for i in range(n)]
    if settings.hostile:
        hostile = hostile_names()[:n]
        names[: len(hostile)] = hostile
    ids = np.sort(np.array(names, dtype=str))
    control = settings.kind == "control"
    demand_class = np.full(n, CONTROL_CLASS) if control else rng.permutation(_classes(n))
    category = rng.choice(list(_CATEGORIES), n)
    pick = rng.random((2, n))
    static: dict[str, NDArray[Any]] = {
        "demand_class": demand_class,
        "category": category,
        "yarn": np.array([_pick(_CATEGORIES[c][1], u) for c, u in zip(category, pick[0], strict=True)]),
        "gauge": np.array([_pick(_CATEGORIES[c][2], u) for c, u in zip(category, pick[1], strict=True)], np.int64),
        "colour": rng.choice(_COLOURS, n),
    }
    late = rng.random(n) < 0.2
    start = np.where(late & ~control, rng.integers(0, max(1, n_days // 3), n), 0)
    new = np.flatnonzero(demand_class == "new")
    ages = rng.integers(20, 1 + max(20, min(_NEW_DAYS, n_days // 2)), len(new))
    ages[: len(_FEW_DAYS)] = _FEW_DAYS[: len(new)]
    start[new] = np.maximum(0, n_days - ages)
    start[demand_class == "dying"] = 0
    return Plan(ids, start.astype(np.int64), static)


def _classes(n: int) -> Strings:
    """n class names, as near to the shares as whole styles allow, every class at least once from 7 styles on."""
    share = np.cumsum([shape.share for shape in _SHAPES.values()])
    bounds = np.round(share * n).astype(np.int64)
    names = np.repeat(CLASSES, np.diff(np.concatenate([[0], bounds])))
    missing = [name for name in CLASSES if name not in names]
    if n >= len(CLASSES):
        names[: len(missing)] = missing  # the first class is the largest: it can spare them
    return names


def _pick(options: tuple[Any, ...], u: float) -> Any:
    return options[int(u * len(options))]


def daily_demand(settings: SyntheticSettings, plan: Plan, days: Dates) -> Iterator[tuple[Ints, Floats]]:
    """Blocks of styles, in the order of ids: first day on sale [n], yards a day [n, T]; 0 before that day."""
    shared = _shared_waves(days)
    for block, first in enumerate(range(0, len(plan.ids), _BLOCK)):
        rows = slice(first, first + _BLOCK)
        rng = np.random.default_rng([settings.seed, 1 + block])
        start = plan.start[rows]
        kinds = plan.static["demand_class"][rows]
        if settings.kind == "control":
            amount = _random_orders(rng, len(start), len(days))
        else:
            amount = _structured(rng, kinds, plan.static["category"][rows], start, shared)
        on_sale = np.arange(len(days)) >= start[:, None]
        sells = (amount > 0) & on_sale
        yield start, np.where(sells, np.maximum(np.round(amount * 4) / 4, 1.0), 0.0)


@plain_dataclass(frozen=True, eq=False)
class _Waves:
    """What all styles share, by day [T]."""

    years_to_end: Floats  # <= 0
    angle: Floats  # 2 pi x day of the year / 365.25
    log_week: Floats
    log_holiday: Floats


def _shared_waves(days: Dates) -> _Waves:
    import holidays  # 0.1 s to import

    whole_days = days.astype(np.int64)
    years = days.astype("datetime64[Y]")
    day_of_year = (days - years.astype("datetime64[D]")).astype(np.int64)
    closed = holidays.country_holidays("US", years=np.unique(years.astype(np.int64) + 1970).tolist())
    factor = np.where(day_of_year >= 357, _YEAR_END, 1.0)  # from 24 December
    factor[np.isin(days, np.array(list(closed), dtype="datetime64[D]"))] = _HOLIDAY
    return _Waves(
        years_to_end=(whole_days - whole_days[-1]) / 365.25,
        angle=2 * np.pi * day_of_year / 365.25,
        log_week=np.log(_WEEK)[(whole_days + 3) % 7],
        log_holiday=np.log(factor),
    )


def _structured(rng: np.random.Generator, kinds: Strings, category: Strings, start: Ints, waves: _Waves) -> Floats:
    """Yards a day [n, T] of the styles of a fleet; see `fleet_panel`."""
    n, n_days = len(kinds), len(waves.angle)
    shape = [_SHAPES[kind] for kind in kinds]
    sparse = np.array([s.sparse for s in shape])[:, None]
    chance = rng.uniform([s.chance.low for s in shape], [s.chance.high for s in shape])[:, None]
    amplitude = rng.uniform([s.year.low for s in shape], [s.year.high for s in shape])
    base = np.array([s.yards for s in shape]) * rng.lognormal(0.0, 0.9, n)
    peak = 2 * np.pi * (np.array([_CATEGORIES[c][0] for c in category]) + rng.normal(0, 12, n)) / 365.25
    # cos(angle - peak) = cos(angle) cos(peak) + sin(angle) sin(peak): all of it is one matrix product
    weights = np.column_stack(
        [
            rng.normal(0, _TREND_SD, n),
            *(amplitude * np.cos(peak), amplitude * np.sin(peak)),
            *(amplitude / 4 * np.cos(2 * peak), amplitude / 4 * np.sin(2 * peak)),
            rng.uniform(0.6, 1.4, n),
            np.ones(n),
        ]
    )
    basis = np.stack(
        [
            waves.years_to_end,
            *(np.cos(waves.angle), np.sin(waves.angle)),
            *(np.cos(2 * waves.angle), np.sin(2 * waves.angle)),
            waves.log_week,
            waves.log_holiday,
        ]
    )
    life = _life(rng, kinds, start, n_days)
    structure = np.exp(weights @ basis + _wandering_level(rng, n, n_days)) * life
    precision = np.array([s.noise_cv**-2 for s in shape])[:, None]
    size = base[:, None] * rng.standard_gamma(np.broadcast_to(precision, (n, n_days))) / precision
    often = np.where(sparse, chance * structure, chance * np.minimum(1, 2 * life))
    sells = rng.random((n, n_days)) < often
    sells[np.arange(n), start] = True  # a style is known from its first sale on
    return np.where(sells, np.where(sparse, size, size * structure), 0.0)


def _wandering_level(rng: np.random.Generator, n: int, n_days: int) -> Floats:
    """A stationary AR(1) process for each style [n, T]."""
    level = rng.normal(0.0, _LEVEL_SD, (n_days, n))
    level[1:] *= np.sqrt(1 - _LEVEL_MEMORY**2)
    for t in range(1, n_days):
        level[t] += _LEVEL_MEMORY * level[t - 1]
    return level.T


def _life(rng: np.random.Generator, kinds: Strings, start: Ints, n_days: int) -> Floats:
    """Share of its grown-up demand that a style has on each day [n, T]."""
    life = np.ones((len(kinds), n_days))
    day = np.arange(n_days)
    new, dying = np.flatnonzero(kinds == "new"), np.flatnonzero(kinds == "dying")
    age = np.maximum(day - start[new, None], 0) + 1
    life[new] = 1 - np.exp(-age / 30)
    middle = n_days * rng.uniform(0.50, 0.80, len(dying))[:, None]
    fade = 1 / (1 + np.exp(np.minimum((day - middle) / min(25, n_days / 25), 30)))
    life[dying] = np.where(fade < 0.03, 0.0, fade)
    return life


def _random_orders(rng: np.random.Generator, n: int, n_days: int) -> Floats:
    """Compound Poisson demand [n, T]: a sum of k exponential sizes is gamma(k), and 0 for k = 0."""
    rate = np.exp(rng.uniform(np.log(0.03), np.log(0.6), n))[:, None]
    mean_size = 150 * rng.lognormal(0.0, 0.5, n)[:, None]
    orders = rng.poisson(rate, (n, n_days)).astype(np.float64)
    orders[:, 0] = np.maximum(orders[:, 0], 1)  # a style is known from its first sale on
    return mean_size * rng.standard_gamma(orders)
