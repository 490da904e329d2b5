"""Real servers that run on this machine in a vendor's place: every `platforms/<name>/server/__init__.py` with a LOCAL.

A platform that strangers wrote and that installs from packages needs no sandbox: the demo and the tests start it as it
is. Like a sandbox it is met over HTTP alone; live code never imports one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from platforms.kit.registry import rooms_with


class Running(Protocol):
    """A server that answers, and the firm that lives in it."""

    url: str

    def environment(self) -> dict[str, str]:
        """The variables that point Tieout at it, `CONNECTIONS__<NAME>__<SETTING>`."""

    def populate(self, seed: int) -> Mapping[str, Any]:
        """Make the firm, as far as the roles of the connection ask for one; what was made, by kind."""

    def advance(self, seed: int, chapter: int) -> Mapping[str, Any]:
        """Let it live through the chapter, from 1; what happened, by kind."""


@dataclass(frozen=True, kw_only=True)
class LocalSpec:
    """How one platform's real server is had.

    `prepare(say)` installs what is missing, with a word on what takes long. `start(state, connection, roles,
    legal_entity, today)` is a context manager that yields a `Running`: a server of its own in the folder `state`, for
    that connection, in those roles ('crm', 'psa', 'accounting'), with books for the legal entity of that code.
    """

    name: str
    prepare: Callable[[Callable[[str], None]], None]
    start: Callable[[Path, str, frozenset[str], str, date], AbstractContextManager[Running]]


def local_names() -> list[str]:
    """The names of all rooms that run a real server, sorted."""
    return rooms_with("server/__init__.py", "LOCAL")


def local(name: str) -> LocalSpec:
    """The LOCAL of the room `name`. Raises LookupError naming the known ones."""
    known = local_names()
    if name not in known:
        raise LookupError(f"there is no local server {name!r}; there are {', '.join(known) or 'none'}")
    found = importlib.import_module(f"platforms.{name}.server").LOCAL
    assert isinstance(found, LocalSpec)
    return found
