"""`python -m tests.golden`: writes the stored leaderboard anew. Look at the difference before you commit it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.golden.made import STORED, board


def main() -> None:
    """Replaces leaderboard.json by what a run gives now, and says what moved."""
    before = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        now = board(Path(folder))
    STORED.write_text(json.dumps(now, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for model, row in now.items():
        moved = {name: (before.get(model, {}).get(name), value) for name, value in row.items()
                 if before.get(model, {}).get(name) != value}  # fmt: skip
        print(f"{model}: {moved or 'as before'}")
    for model in before.keys() - now.keys():
        print(f"{model}: gone")


if __name__ == "__main__":
    main()
