"""`python -m jobs`: every job, with what it does."""

from __future__ import annotations

import sys
import textwrap

from jobs.summaries import summaries

WIDTH = 80


def lines() -> list[str]:
    """The list, at most `WIDTH` columns wide."""
    found = summaries()
    wide = max(map(len, found)) + 2
    told = [
        line
        for job, words in found.items()
        for line in textwrap.wrap(words, WIDTH, initial_indent=f"  {job:<{wide}}", subsequent_indent=" " * (wide + 2))
    ]
    return [
        "python -m jobs.NAME [key=value ..]",
        "",
        *told,
        "",
        "python -m jobs.NAME --help lists what it can be told.",
    ]


def main(argv: list[str]) -> int:
    """Prints the list. Exit code 2 when a job was named as an argument: it is part of the module's name."""
    print("\n".join(lines()))
    if argv and argv[0] not in ("--help", "-h"):
        print(f"A job is run as python -m jobs.{argv[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
