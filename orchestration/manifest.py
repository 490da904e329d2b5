"""The dbt manifest: compiled once, read by Dagster and by the engine. Run alone: `python -m orchestration.manifest`.

Importing dbt takes about 7 s, so nothing here runs when the manifest is newer than every file it is made from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from orchestration import stacks
from orchestration.home import DBT_EXECUTABLE, DBT_PROJECT_DIR

# Folders whose change makes the manifest stale.
_INPUTS = ("models", "macros", "seeds", "snapshots", "tests", "analyses")


class ManifestError(Exception):
    """The dbt project does not compile; dbt's own words are in the message."""


def manifest_path() -> Path:
    """Where dbt writes manifest.json: in dbt's target folder, which each stacks file has one of."""
    return stacks.target_path() / "manifest.json"


def is_stale() -> bool:
    """True when there is no manifest or a file of the dbt project is newer than it."""
    path = manifest_path()
    if not path.exists():
        return True
    made = path.stat().st_mtime
    files = [DBT_PROJECT_DIR / "dbt_project.yml", DBT_PROJECT_DIR / "profiles.yml"]
    for folder in _INPUTS:
        files.extend(p for p in (DBT_PROJECT_DIR / folder).rglob("*") if p.is_file())
    return any(p.exists() and p.stat().st_mtime > made for p in files)


def prepare() -> Path:
    """Compile the manifest if it is stale; returns its path. Raises ManifestError with dbt's message.

    Processes that start together take turns: one compiles, and no other reads a manifest that is half written.
    """
    manifest_path().parent.mkdir(parents=True, exist_ok=True)
    with FileLock(manifest_path().with_suffix(".lock")):
        return _prepare()


def _prepare() -> Path:
    if is_stale():
        parse = subprocess.run(
            [str(DBT_EXECUTABLE), "--quiet", "parse", "--project-dir", str(DBT_PROJECT_DIR),
             "--profiles-dir", str(DBT_PROJECT_DIR), "--target-path", str(stacks.target_path()),
             *stacks.dbt_arguments()],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if parse.returncode:
            raise ManifestError(f"The dbt project does not compile:\n{parse.stdout}{parse.stderr}")
        # dbt leaves an unchanged manifest's time alone when partial parsing finds nothing to do.
        manifest_path().touch()
    load.cache_clear()
    return manifest_path()


@cache
def compiled() -> Path:
    """The manifest's path, prepared once a process: a run keeps to the project it started with."""
    return prepare()


@cache
def load() -> Mapping[str, Any]:
    """The manifest as a dict. Raises ManifestError when it was never compiled."""
    path = manifest_path()
    if not path.exists():
        raise ManifestError(f"{path} is missing: run `make setup`, or `python -m orchestration.manifest`.")
    return json.loads(path.read_bytes())


if __name__ == "__main__":
    try:
        prepare()
    except ManifestError as error:
        sys.exit(str(error))
