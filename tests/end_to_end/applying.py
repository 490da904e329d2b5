"""The process that kill tests end: `tieout apply` without Dagster's start-up, as `write_back` wires it.

`python -m tests.end_to_end.applying` prints `ready` once everything is imported and the journal is open, then applies.
"""

from __future__ import annotations

import sys

from orchestration import write_back

if __name__ == "__main__":
    engine = write_back.engine()
    print("ready", flush=True)
    sys.exit(0 if engine.apply().ok else 1)
