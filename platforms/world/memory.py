"""What the world itself remembers between runs: seed, scale, the day it stands on, a few marks, and the planted truth.

Everything else is read back from the platforms, as the firm's people would. The file is `<state>/world.json`; it is
replaced whole, after the day it describes is done.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

FILE = "world.json"


@dataclass(kw_only=True)
class Memory:
    """The contents of `world.json`.

    `entry_marks` holds, for the Mondays of the last weeks, the highest time entry id before that day, so that a week's
    hours are found without reading the years before. `truth` is the list of planted items (see plants.py).
    """

    seed: int
    scale: str
    today: date
    finished: bool = False
    begun: str = ""
    """The day that was being lived when the file was last written; after an interruption it is lived to its end."""
    entry_marks: dict[str, int] = field(default_factory=dict)
    truth: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)
    """What followed from the history without being planted: deals won that nobody set up, work nobody invoiced."""
    duties: list[dict[str, Any]] = field(default_factory=list)
    """What somebody has promised to do on a day: {day, what, ...} (a deal to be corrected, a draft to be deleted)."""

    @classmethod
    def load(cls, state_dir: Path) -> Memory:
        """The memory of a state directory; FileNotFoundError with advice when there is none."""
        path = Path(state_dir) / FILE
        if not path.exists():
            raise FileNotFoundError(f"no firm lives in {state_dir}: populate it first")
        data = json.loads(path.read_text())
        data["today"] = date.fromisoformat(data["today"])
        return cls(**data)

    def save(self, state_dir: Path) -> None:
        """Replace the file at once; a reader sees the old or the new one."""
        data = asdict(self)
        data["today"] = self.today.isoformat()
        path = Path(state_dir) / FILE
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
        os.replace(fresh, path)

    def mark(self, day: date) -> int:
        """The highest time entry id known before a Monday; the oldest known mark when that Monday has none."""
        earlier = [value for key, value in self.entry_marks.items() if key <= day.isoformat()]
        return max(earlier, default=0)
