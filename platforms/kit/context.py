"""What a client needs from the world around it, handed in: clock, sleep, chance, network, budget.

Nothing in a client reads the wall clock, sleeps or rolls dice by itself; tests and the simulator pass their own.
"""

from __future__ import annotations

import random as random_module
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from platforms.kit.budget import Budget


def utc_now() -> datetime:
    """The wall clock as an aware UTC datetime; the default clock at the edge."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class ClientContext:
    """The surroundings of one connection's client.

    `connection` names the connection in errors and logs. `budget` is the rate and concurrency allowance shared with
    every other process that uses the connection (None: unlimited). `transport` replaces the network in tests.
    `clock` gives aware UTC datetimes. `verify` is an ssl context, the path of a CA bundle that is trusted in addition
    to the public ones, or False for none at all (only ever in a test). `timeout` is in seconds, per attempt.
    """

    connection: str
    budget: Budget | None = None
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: random_module.Random = field(default_factory=random_module.Random)
    verify: ssl.SSLContext | str | bool = True
    timeout: float = 60.0
