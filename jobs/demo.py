"""`python -m jobs.demo FOLDER`: writes the generated sales export that `make run` forecasts."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from demand.synthetic import SyntheticSettings, write_sales_export


def main() -> None:
    """Writes one raw sales activity report; the same arguments give the same bytes."""
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--styles", type=int, default=150)
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--end", type=date.fromisoformat, default=date(2025, 8, 31))
    parser.add_argument("--kind", choices=("fleet", "control"), default="fleet")
    args = parser.parse_args()
    settings = SyntheticSettings(styles=args.styles, years=args.years, seed=args.seed, end=args.end, kind=args.kind)
    print(f"Demo      {write_sales_export(args.folder, settings)}: {args.styles} styles x {args.years:g} years")


if __name__ == "__main__":
    main()
