"""The code location, loaded once, with a home of its own so that no test touches the developer's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """TIEOUT_HOME for this session."""
    folder = tmp_path_factory.mktemp("home")
    before = {name: os.environ.get(name) for name in ("TIEOUT_HOME", "DAGSTER_HOME")}
    os.environ["TIEOUT_HOME"] = str(folder)
    yield folder
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def definitions(home: Path) -> dg.Definitions:
    """What `dagster dev -w workspace.yaml` loads."""
    from orchestration import execution

    return execution.definitions()


@pytest.fixture(scope="session")
def graph(definitions: dg.Definitions) -> Any:
    """The asset graph of the code location."""
    return definitions.resolve_asset_graph()
