"""A tiny firm, populated once and copied for each test that lets it live on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from platforms.kit.sandbox.registry import sandbox
from platforms.kit.sandbox.service import Service
from platforms.world import firm

SEED = 7


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a tiny firm. Look, do not touch."""
    state = tmp_path_factory.mktemp("tiny")
    firm.populate(state, SEED, "tiny")
    return state


@pytest.fixture
def living(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny firm that a test may let live on."""
    return Path(shutil.copytree(tiny, tmp_path / "state"))


@pytest.fixture(scope="session")
def services(tiny: Path) -> dict[str, Service]:
    """The sandboxes of the tiny firm by role."""
    return {role: sandbox(name).open_service(tiny) for role, name in firm.ROLES.items()}
