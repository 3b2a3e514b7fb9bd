"""Which release answers while a challenger is tried: a fixed share by hash, no style's answer ever changing sides."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

from demand.errors import SettingsError

Side = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Split:
    """How requests are divided.

    share: of the subjects that the challenger answers, 0 .. 1. salt: names the trial; another one draws anew. shadow:
    the challenger is computed and logged beside, and never shown.
    """

    share: float
    salt: str
    shadow: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise SettingsError("the challenger's share lies between 0 and 1", found=self.share)

    def side(self, style: str | None) -> Side:
        """Which of the two a subject belongs to, the same on every replica and at every time.

        The style alone decides, not who asks: two screens never show two forecasts of one style, and a page of all
        styles (None) is the champion's, because a total must not mix releases. Uniform in sha256 of salt and style; a
        larger share only adds subjects.
        """
        if style is None or self.share <= 0:
            return "champion"
        digest = hashlib.sha256(f"{len(self.salt)}:{self.salt}{style}".encode()).digest()
        return "challenger" if int.from_bytes(digest[:8]) < self.share * 2**64 else "champion"

    def shown(self, style: str | None) -> Side:
        """Whose answer is shown: in shadow mode always the champion's."""
        return "champion" if self.shadow else self.side(style)

    def shadowed(self, style: str | None) -> bool:
        """Whether the challenger is to be computed and logged beside the champion's answer."""
        return self.shadow and self.side(style) == "challenger"


@dataclass(frozen=True)
class CanaryRule:
    """When a canary goes back. level: chance that one no worse than the champion ever does; least: its answers before.

    worse: a canary is called back only where its errors are over this share, however few the champion has.
    """

    level: float = 0.001
    least: int = 20
    worse: float = 0.01


@dataclass(frozen=True)
class Count:
    """Requests of one side, and how many of them ended without an answer (5xx, or none at all)."""

    requests: int = 0
    errors: int = 0

    def with_one(self, *, failed: bool) -> Count:
        return Count(self.requests + 1, self.errors + failed)

    @property
    def rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Canary:
    """The two sides' counts and how strong the evidence against the challenger is; immutable, a new one a request.

    Each failed request is a draw: had both the same error rate, it would be the challenger's with the probability of
    its share of the traffic at that moment, at most. Betting on more than that share is a test martingale (a beta-
    weighted mean over bets), so that the canary may be judged after every request. Sources: Ville 1939; Robbins 1970
    (mixtures); Waudby-Smith and Ramdas 2024 (betting).
    """

    champion: Count = Count()
    challenger: Count = Count()
    log_wealth: tuple[float, ...] = ()

    def seen(self, side: Side, *, failed: bool, share: float) -> Canary:
        """After one more request of `side`; share: of the requests that reach the challenger (see `traffic`)."""
        counts = {"champion": self.champion, "challenger": self.challenger}
        counts[side] = counts[side].with_one(failed=failed)
        wealth = self.log_wealth or (0.0,) * len(_ODDS)
        if failed and 0 < share < 1:
            wealth = tuple(
                old + math.log(_factor(odds, share, side == "challenger"))
                for old, odds in zip(wealth, _ODDS, strict=True)
            )
        return Canary(counts["champion"], counts["challenger"], wealth)

    def traffic(self, split: Split) -> float:
        """The challenger's share of the requests so far, leaning on the split's own share while they are few: some
        styles are asked for more often than others."""
        total = self.champion.requests + self.challenger.requests
        return (self.challenger.requests + 50 * split.share) / (total + 50)

    @property
    def evidence(self) -> float:
        """The e-value against "the challenger fails no more often"; 1 = nothing is known."""
        if not self.log_wealth:
            return 1.0
        top = max(self.log_wealth)
        mean = sum(math.exp(one - top) for one in self.log_wealth) / len(self.log_wealth)
        return math.exp(min(700.0, top + math.log(mean)))

    def goes_back(self, rule: CanaryRule) -> str:
        """Why the challenger must not answer any more, in words; "" while it may."""
        mine = self.challenger
        if mine.requests < rule.least or mine.rate <= rule.worse or mine.rate <= self.champion.rate:
            return ""
        if self.evidence < 1 / rule.level:
            return ""
        return (
            f"the challenger failed {mine.errors} of {mine.requests} requests, the champion "
            f"{self.champion.errors} of {self.champion.requests}: beyond chance"
        )


# How many times likelier than the champion the challenger is thought to fail, one bet each.
_ODDS = (1.5, 2.0, 4.0, 10.0, 50.0)


def _factor(odds: float, share: float, theirs: bool) -> float:
    """What a bet on these odds is worth after one failure; its mean is 1 when both fail equally often."""
    expected = odds * share / (odds * share + 1 - share)
    return expected / share if theirs else (1 - expected) / (1 - share)


def grown(first: float, most: float, hours: float, doubled_hours: float) -> float:
    """A canary's share of the styles after `hours`: `first`, twice that after each `doubled_hours`, `most` at last.

    Of the time alone, so that all replicas agree; it grows in steps, since each step moves styles to the challenger.
    """
    steps = int(max(0.0, hours) // doubled_hours)
    return most if steps > 60 else min(most, first * 2.0**steps)
