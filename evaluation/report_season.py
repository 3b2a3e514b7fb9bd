"""The report's part on trend and season: chart data, and in plain words what they show and what they cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demand.panel import Panel
from evaluation.report_charts import compact
from evaluation.season import FEWEST_WEEKS, FEWEST_YEARS, Profile, Trend, month_profile, trend, weekday_profile

IN = {"weekday": "on", "month": "in"}
MAX_PERIODS = 2_000  # of the trend's chart, the newest


@dataclass(frozen=True)
class SeasonPart:
    """What the page shows: sentences of each half (None: it is switched off), and the numbers of the charts."""

    trend_words: tuple[str, ...] | None
    season_words: tuple[str, ...] | None
    charts: dict[str, Any]


def season_part(history: Panel, *, trend_analysis: bool, seasonal_decomposition: bool) -> SeasonPart | None:
    """The part of a history, blanks filled; None where both halves are switched off."""
    charts: dict[str, Any] = dict.fromkeys(("trend", "weekday", "month"))
    history = history.with_blanks_filled()
    trend_words = season_words = None
    if trend_analysis:
        found = trend(history)
        trend_words = _trend_words(found)
        if found is not None:
            cut = slice(-MAX_PERIODS, None)
            dates = [str(date)[:10] for date in found.dates[cut]]
            charts["trend"] = {"x": dates, "y": compact(found.total[cut]), "course": compact(found.course[cut])}
    if seasonal_decomposition:
        profiles = {"weekday": weekday_profile(history), "month": month_profile(history)}
        season_words = _season_words(history, profiles)
        charts |= {
            name: {"x": list(profile.names), "y": compact(profile.factors - 1.0)}
            for name, profile in profiles.items()
            if profile is not None
        }
    return SeasonPart(trend_words, season_words, charts) if trend_analysis or seasonal_decomposition else None


def _trend_words(found: Trend | None) -> tuple[str, ...]:
    if found is None:
        return ("The history is too short for a trend.",)
    joined = "Styles that joined or left on the way are part of it."
    if found.growth is None:
        short = found.years < FEWEST_YEARS
        why = "less than two years, so that growth and a yearly season cannot be told apart" if short else (
            "but its total is not above 0"
        )  # fmt: skip
        return (f"Growth per year is not stated: the history covers {found.years:.1f} years, {why}.", joined)
    if abs(found.growth) < 0.005:
        change = "neither grew nor shrank"
    else:
        change = f"{'grew' if found.growth > 0 else 'shrank'} by {abs(found.growth):.0%} of its mean a year"
    text = f"Over {found.years:.1f} years the fleet's total {change} (each period against the same one a year before)."
    return (text, joined)


def _season_words(history: Panel, profiles: dict[str, Profile | None]) -> tuple[str, ...]:
    weekday, month = profiles["weekday"], profiles["month"]
    words = []
    if weekday is not None:
        words.append(_highest_and_lowest("weekday", weekday))
    elif history.calendar.days_per_period <= 2:
        words.append(f"Weekdays are not compared: that needs {FEWEST_WEEKS} weeks of demand.")
    if month is not None:
        words.append(_highest_and_lowest("month", month))
    else:
        words.append(f"Months are not compared: that needs {FEWEST_YEARS} whole years of demand.")
    return tuple(words)


def _highest_and_lowest(what: str, profile: Profile) -> str:
    high, low = int(profile.factors.argmax()), int(profile.factors.argmin())
    return (
        f"By {what}: most {IN[what]} {profile.names[high]} ({profile.factors[high] - 1:+.0%} against the trend), "
        f"least {IN[what]} {profile.names[low]} ({profile.factors[low] - 1:+.0%}). The {what} explains "
        f"{profile.strength:.0%} of what varies around the trend."
    )
