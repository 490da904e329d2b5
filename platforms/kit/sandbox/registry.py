"""The sandboxes there are, found by looking: every `platforms/<name>/sandbox/__init__.py` with a SANDBOX."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platforms.kit.registry import rooms_with
from platforms.kit.sandbox.faults import Faults
from platforms.kit.sandbox.service import Service

_SEED = "sandbox.seed"


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """How one platform's sandbox is opened, served and pointed at.

    `open_service(state_dir)` opens `<state_dir>/<name>.sqlite` (creating its tables). `create_app(service, faults)` is
    the vendor's HTTP as an ASGI app, normally from `app.build_app`. `environment(service, url, tls_url)` are the
    environment variables Tieout needs to connect, `CONNECTIONS__<NAME>__<SETTING>`. `hosts` are vendor host names the
    TLS certificate shall also cover (for clients that cannot be pointed elsewhere, through the CONNECT proxy).
    """

    name: str
    port_offset: int
    open_service: Callable[[Path], Service]
    create_app: Callable[[Service, Faults], Any]
    environment: Callable[[Any, str, str], dict[str, str]]
    hosts: tuple[str, ...] = ()


def sandbox_names() -> list[str]:
    """The names of all rooms that have a sandbox, sorted."""
    return rooms_with("sandbox/__init__.py", "SANDBOX")


def sandbox(name: str) -> SandboxSpec:
    """The SANDBOX of the room `name`. Raises LookupError naming the known ones."""
    known = sandbox_names()
    if name not in known:
        raise LookupError(f"there is no sandbox {name!r}; there are {', '.join(known) or 'none'}")
    found = importlib.import_module(f"platforms.{name}.sandbox").SANDBOX
    assert isinstance(found, SandboxSpec)
    return found


def open_ready(spec: SandboxSpec, state_dir: Path, seed: int) -> Service:
    """The sandbox's service, set up with `seed` the first time and as it was left every time after.

    Processes that open the same fresh state at the same moment take turns: one of them sets it up.
    """
    service = spec.open_service(Path(state_dir))
    if _SEED not in service.store.meta:
        with service.store.transaction():
            if _SEED not in service.store.meta:
                service.setup(seed)
                service.store.meta[_SEED] = seed
    return service
