"""The firms that the end-to-end tests copy: each is made once a session, whatever the number of workers."""

from __future__ import annotations

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
