"""What counts as a substitute: tables of spellings and the limits of the yarn features."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from demand.company.fibres import FIBERS
from demand.company.notation import COLORS
from demand.errors import SettingsError
from demand.settings import STRICT

Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Pounds = Annotated[float, Field(strict=True, ge=0)]


@dataclass(frozen=True, config=STRICT)
class SubstitutionSettings:
    """How yarn texts are read and pairs of yarns compared.

    colors, fibers: name -> other spellings. weight_close, weight_match: weight similarities in words; weight_band: the
    least one of a candidate. material_points: percentage points by which the main fibre's share may differ.
    available_lb: pounds above which a candidate is called available; min_stock_lb: candidates have more than this.
    on_time_prior: on-time share of a supplier with fewer than min_orders orders. max_candidates: scored for one yarn.
    rule_threshold, rule_color: see `features.yarn_pairs.rule_score`. label_noise: share of labels known to be wrong
    (None = not known): no classifier can be right more often than 1 - label_noise.
    """

    colors: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(COLORS))
    fibers: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(FIBERS))
    weight_close: Share = 0.9
    weight_match: Share = 0.95
    weight_band: Share = 0.8
    material_points: Annotated[float, Field(strict=True, ge=0, le=100)] = 4.0
    available_lb: Pounds = 500.0
    min_stock_lb: Pounds = 0.0
    on_time_prior: Share = 0.95
    min_orders: Annotated[int, Field(strict=True, ge=1)] = 5
    max_candidates: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    rule_threshold: Share = 0.5
    rule_color: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.4
    label_noise: Annotated[float, Field(strict=True, ge=0, lt=0.5)] | None = None

    def __post_init__(self) -> None:
        if not self.weight_band <= self.weight_close <= self.weight_match:
            raise SettingsError(
                "weight_band <= weight_close <= weight_match", key="substitution.weight_close",
                found=[self.weight_band, self.weight_close, self.weight_match],
            )  # fmt: skip
        for name in ("colors", "fibers"):
            seen: dict[str, str] = {}
            for canonical, others in getattr(self, name).items():
                for spelling in (canonical, *others):
                    word = "".join(letter for letter in spelling.upper() if letter.isalnum())
                    if seen.setdefault(word, canonical) != canonical:
                        raise SettingsError(
                            "a spelling stands for two names", key=f"substitution.{name}", found=spelling,
                            names=[seen[word], canonical],
                        )  # fmt: skip
