"""`python -m jobs.demo FOLDER`: writes what `make run` works with: a generated sales export, the company's tables."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from demand.company.demo import LABELS, YARNS, make_company
from demand.company.demo_files import write_company
from demand.synthetic import SyntheticSettings, write_sales_export


def main() -> None:
    """Writes one raw sales activity report, and the other tables into a folder of their own; the same arguments give
    the same bytes."""
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--styles", type=int, default=150)
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--end", type=date.fromisoformat, default=date(2025, 8, 31))
    parser.add_argument("--kind", choices=("fleet", "control"), default="fleet")
    parser.add_argument("--company", type=Path, help="a folder for the other tables: yarns, stock, orders, ..")
    parser.add_argument("--yarns", type=int, default=YARNS)
    parser.add_argument("--labels", type=int, default=LABELS)
    args = parser.parse_args()
    settings = SyntheticSettings(styles=args.styles, years=args.years, seed=args.seed, end=args.end, kind=args.kind)
    print(f"Demo      {write_sales_export(args.folder, settings)}: {args.styles} styles x {args.years:g} years")
    if args.company is not None:
        demo = make_company(settings, args.yarns, args.labels)
        write_company(args.company, demo, args.seed)
        told = f"{args.yarns:,} yarns, {args.labels:,} labels, {demo.label_noise:.0%} of them turned"
        print(f"Company   {args.company}: {told}")


if __name__ == "__main__":
    main()
