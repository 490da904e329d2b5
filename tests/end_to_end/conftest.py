"""The firms that the end-to-end tests copy: each is made once a session, whatever the number of workers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.end_to_end import harness


@pytest.fixture(scope="session")
def firms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers share. TIEOUT_TEST_FIRMS keeps it from one session to the next, for writing tests."""
    kept = os.environ.get("TIEOUT_TEST_FIRMS")
    if kept:
        return Path(kept)
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "firms"


@pytest.fixture(scope="session")
def built(firms: Path) -> Path:
    """A tiny firm, ingested and built; nothing written back yet."""
    return harness.once(firms / "built", harness.read_and_built)


@pytest.fixture(scope="session")
def undisturbed(firms: Path, built: Path) -> Path:
    """The same firm after the engine ran until quiet without any trouble: what every disturbed run must come to."""

    def make(folder: Path) -> None:
        with harness.Firm.copy_of(built, folder, limits=harness.UNLIMITED) as firm:
            firm.until_quiet()
            (folder / "requests").write_text(str(firm.requests))
        harness.settle_files(folder / "sandbox")

    return harness.once(firms / "undisturbed", make)


@pytest.fixture(scope="session")
def looped(firms: Path, built: Path) -> Path:
    """The same firm after `tieout run`, and after a second one with nothing changed; what was said and called is kept.

    The vendors' limits are on. `first.json`, `second.json` and `status.json` are the commands' answers, `calls.json` the
    requests that the sandboxes counted during the second run.
    """

    def make(folder: Path) -> None:
        with harness.Firm.copy_of(built, folder) as firm:
            told = {"first": firm.cli("run", "--json")}
            harness.reset_calls(firm)
            told["second"] = firm.cli("run", "--json")
            counted = {f"{platform} {route}": n for (platform, route), n in sorted(firm.calls().items())}
            told["status"] = firm.cli("status", "--json", check=False)
        for name, done in told.items():
            (folder / f"{name}.json").write_text(done.stdout)
            (folder / f"{name}.stderr").write_text(done.stderr)
        (folder / "calls.json").write_text(json.dumps(counted, indent=1))
        harness.settle_files(folder / "sandbox")

    return harness.once(firms / "looped", make)
