"""A line of progress for whoever watches: the terminal of a command, or the run's log in the UI.

Assets run in the process of `tieout run`, so a listener set by the command line hears them directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from platforms.kit.secrets import mask

_listeners: list[Callable[[str], None]] = []


def say(message: str) -> None:
    """Tell every listener `message` (masked)."""
    for listener in _listeners:
        listener(mask(message))


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Hear progress while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
