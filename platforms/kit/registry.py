"""The platforms there are, found by looking, never listed by hand: every `platforms/<name>/client.py` with a SPEC."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import platforms
from platforms.kit.context import ClientContext
from platforms.kit.secrets import Secret


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a connection: its name in the configuration, and a sentence of help. `secret` ones are masked."""

    name: str
    help: str
    secret: bool = False
    required: bool = True
    default: str | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the vendor allows one connection: None means no such limit is published."""

    requests_per_second: float | None = None
    burst: int = 1
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What an examination of a connection found, and what to do about it."""

    level: Literal["ok", "warning", "error"]
    what: str
    fix: str = ""


def no_examination(client: Any, requirements: Mapping[str, Any]) -> list[Finding]:
    """The examination of a room that has none: it finds nothing."""
    return []


@dataclass(frozen=True, kw_only=True)
class PlatformSpec:
    """What the rest of the house may know of a platform.

    `roles` are those the platform can play: 'crm', 'psa', 'erp'. `connect(settings, context)` returns the room's client
    and sends nothing yet. `examine(client, requirements)` looks whether the platform is set up as Tieout needs it.
    """

    name: str
    label: str
    roles: tuple[str, ...]
    settings: tuple[Setting, ...]
    limits: Limits
    connect: Callable[[Mapping[str, str | Secret], ClientContext], Any]
    examine: Callable[[Any, Mapping[str, Any]], list[Finding]] = field(default=no_examination)


def rooms_with(module: str, name: str) -> list[str]:
    """The names of the rooms whose file `module` (relative, e.g. 'client.py') assigns `name` at its top level.

    Looks at the text and imports nothing: one broken room does not hide the others, and looking is quick.
    """
    found = []
    for package in pkgutil.iter_modules(platforms.__path__):
        for base in platforms.__path__:
            file = Path(base) / package.name / module
            if file.is_file() and re.search(rf"^{name}\b.*=", file.read_text(encoding="utf-8"), re.MULTILINE):
                found.append(package.name)
    return sorted(set(found))


def platform_names() -> list[str]:
    """The names of all platform rooms that have a client, sorted."""
    return rooms_with("client.py", "SPEC")


def spec(name: str) -> PlatformSpec:
    """The SPEC of the platform `name`. Raises LookupError naming the known ones."""
    known = platform_names()
    if name not in known:
        raise LookupError(f"there is no platform {name!r}; there are {', '.join(known) or 'none'}")
    found = importlib.import_module(f"platforms.{name}.client").SPEC
    assert isinstance(found, PlatformSpec)
    return found
