"""Small yarn tables with the columns of `demand.company.tables`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml

from demand.settings import build
from features.yarn_catalogue import YarnCatalogue, yarn_catalogue
from features.yarn_pairs import Candidates, Pairs
from features.yarn_settings import SubstitutionSettings
from jobs.own_folder import CONF

SHIPPED = yaml.safe_load((CONF / "substitution" / "default.yaml").read_text(encoding="utf-8"))
SETTINGS = build(SubstitutionSettings, SHIPPED, "substitution")


def changed(**more) -> SubstitutionSettings:
    return build(SubstitutionSettings, SHIPPED | more, "substitution")


def master(*rows: tuple) -> pd.DataFrame:
    """(yarn_id, supplier, description, blend, color, cost) a row."""
    frame = pd.DataFrame(rows, columns=["yarn_id", "supplier", "description", "blend", "color", "cost_per_lb"])
    frame.insert(4, "type", "")
    return frame


def shelf(*rows: tuple) -> pd.DataFrame:
    """(yarn_id, theoretical_lb, planning_lb) a row."""
    frame = pd.DataFrame(rows, columns=["yarn_id", "theoretical_lb", "planning_lb"])
    return frame.assign(supplier="", description="", color="", cost_per_lb=np.nan)


def purchases(supplier: str, *rows: tuple) -> pd.DataFrame:
    """(requested, quoted, balance_lb) a row, all ordered on 2025-01-01."""
    frame = pd.DataFrame(rows, columns=["requested", "quoted", "balance_lb"])
    frame[["requested", "quoted"]] = frame[["requested", "quoted"]].apply(pd.to_datetime)
    return frame.assign(yarn_id="y", supplier=supplier, ordered=pd.Timestamp("2025-01-01"), quantity_lb=100.0)


def generated(n: int, seed: int = 0, short: float = 0.3) -> YarnCatalogue:
    """n yarns in realistic notation with stock; a share of them is short."""
    rng = np.random.default_rng(seed)
    spun = rng.random(n) < 0.5
    count, ply = rng.choice([12, 16, 18, 20, 24, 28, 30, 32, 36, 40], n), rng.choice([1, 1, 2], n)
    denier, filaments = rng.choice([50, 70, 75, 100, 140, 150, 200, 300], n), rng.choice([36, 48, 72, 96, 144], n)
    counts = [f"{c}/{p}" for c, p in zip(count, ply, strict=True)]
    deniers = [f"1/{d}/{f}" for d, f in zip(denier, filaments, strict=True)]
    size = np.where(spun, counts, deniers)
    spun_as = rng.choice(["RING SPUN", "OE", "COMBED RING SPUN", ""], n)
    process = np.where(spun, spun_as, rng.choice(["DTY", "FDY", "RPET DTY"], n))
    cotton = rng.choice([100, 100, 60, 62, 55, 50], n)
    blend = np.where(
        spun, np.where(cotton == 100, "100% COTTON", [f"{c}/{100 - c} cotton/poly" for c in cotton]),
        rng.choice(["100% POLYESTER", "100% NYLON", "POLY", "80/20 POLY/SPANDEX"], n),
    )  # fmt: skip
    ids = [f"Y{i:06d}" for i in range(n)]
    yarns = pd.DataFrame({
        "yarn_id": ids, "supplier": rng.choice(["A", "B", "C"], n), "description": size + " " + process, "blend": blend,
        "type": "", "color": rng.choice(["NAT", "Natural", "BLK", "Black", "WHT", ""], n),
        "cost_per_lb": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(1, 6, n).round(2)),
    })  # fmt: skip
    theoretical = np.where(rng.random(n) < 0.2, 0.0, rng.gamma(1.5, 800, n).round(1))
    planning = np.where(rng.random(n) < short, -rng.gamma(1.5, 400, n).round(1), theoretical)
    stock = shelf(*zip(ids, theoretical, planning, strict=True))
    catalogue, _ = yarn_catalogue(yarns, stock, None, SETTINGS)
    return catalogue


def judged(yarns: YarnCatalogue, n: int, seed: int = 1, noise: float = 0.0) -> tuple[Pairs, np.ndarray]:
    """n pairs and whether b may replace a: by hidden properties that the texts only partly show, some labels wrong."""
    rng = np.random.default_rng(seed)
    a, b = Candidates(yarns, changed(weight_band=0.6, max_candidates=12)).best(np.arange(len(yarns)))[0]
    chosen = rng.permutation(len(a))[:n]
    a, b = a[chosen], b[chosen]
    # Hidden: the true fineness differs from its label by a few percent, and each lot takes dye a little differently.
    fineness = yarns.total * np.exp(rng.normal(0, 0.02, len(yarns)))
    dye = rng.normal(0, 0.12, len(yarns))
    apart = np.abs(np.log(fineness[a] / fineness[b])) / 0.2 + np.abs(dye[a] - dye[b])
    hand = np.array([bin(x ^ y).count("1") for x, y in zip(yarns.processes[a], yarns.processes[b], strict=True)])
    shade = np.where(yarns.color[a] == yarns.color[b], 0.0, 0.9)
    yes = apart + 0.5 * hand + shade < 0.85
    return Pairs(a, b), np.where(rng.random(len(a)) < noise, ~yes, yes).astype(np.int64)
