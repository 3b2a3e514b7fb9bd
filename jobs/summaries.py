"""What each job is for, in one line: the first line of its own file, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ENTRY = "__main__"


@cache
def summaries() -> Mapping[str, str]:
    """Job -> what it does, by name; a job is a file of this room that `python -m` can run."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not path.stem.startswith("__") and any(_runs(node) for node in tree.body):
            found[path.stem] = _said(ast.get_docstring(tree) or "")
    return found


def _runs(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == f"__name__ == {ENTRY!r}"


def _said(docstring: str) -> str:
    """The words after the command: "`python -m jobs.NAME ..`: words." """
    words = docstring.split("\n\n")[0].rpartition("`: ")[2]
    words = " ".join(words.split())
    return words[:1].upper() + words[1:]
