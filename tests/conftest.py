"""What holds for the tests of every room: those that need a real Tryton say so when there is none."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `tryton` where no Tryton is installed, with the command that installs it."""
    marked = [item for item in items if item.get_closest_marker("tryton")]
    if not marked:
        return
    from platforms.tryton.server import NotInstalled, installed

    if not installed():
        skip = pytest.mark.skip(reason=str(NotInstalled()))
        for item in marked:
            item.add_marker(skip)
