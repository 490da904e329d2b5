"""A connection's allowance: requests per second and requests at the same time, shared by every process that uses it.

The rate is a token bucket kept as one number (the "theoretical arrival time") in an 8-byte file under flock. A caller
reserves its turn and sleeps until it comes, so waiting costs no polling and turns are taken in order. Concurrency is a
set of slot files: holding a slot is holding its flock, which the kernel releases when the holder dies, however it dies.
Run alone: `pytest tests/unit/platforms/kit/test_budget.py`.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platforms.kit.errors import Wait

# The code of a Wait that comes from here and not from the vendor.
BUDGET = "budget"

_NUMBER = struct.Struct("<d")
# Looking again for a free slot: soon at first (a NetSuite call takes 100 ms and more), never a busy loop.
_FIRST_LOOK = 0.001
_LAST_LOOK = 0.025


def next_turn(arrival: float, now: float, *, interval: float, burst: int) -> tuple[float, float]:
    """One step of the token bucket: (seconds to wait, new theoretical arrival time).

    `arrival` is what the last call returned (0.0 at first), `now` the time in seconds on the same clock, `interval`
    seconds per request, `burst` how many may go at once after a quiet spell. A stored arrival further ahead than any
    honest queue (the clock was set back) is forgotten.
    """
    tolerance = (burst - 1) * interval
    if arrival - now > tolerance + 3600:
        arrival = now
    arrival = max(arrival, now)
    return max(0.0, arrival - tolerance - now), arrival + interval


class Budget:
    """The allowance of one connection. Without limits it costs nothing and touches no file.

    `requests_per_second` and `burst` shape the rate, `concurrency` the number of requests under way at once over all
    processes. `max_wait` (seconds) turns a longer wait into `Wait` instead of sleeping it out.
    """

    def __init__(
        self,
        directory: Path,
        connection: str,
        *,
        requests_per_second: float | None = None,
        burst: int = 1,
        concurrency: int | None = None,
        max_wait: float | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError(f"requests_per_second must be above 0, not {requests_per_second}; None means no limit")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}; None means no limit")
        self.directory = Path(directory)
        self.connection = connection
        self.requests_per_second = requests_per_second
        self.burst = max(1, burst)
        self.concurrency = concurrency
        self.max_wait = max_wait
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._pid = -1
        self._rate_file = -1
        self._slot_files: list[int] = []
        self._held: list[bool] = []

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot and for this request's turn, hold the slot while the block runs."""
        if self.requests_per_second is None and self.concurrency is None:
            yield
            return
        index = self._take_slot() if self.concurrency is not None else -1
        try:
            if self.requests_per_second is not None:
                self._wait_turn()
            yield
        finally:
            if index >= 0:
                self._give_back(index)

    def _open(self) -> None:
        """Open the files for this process. A forked child must not share its parent's: they would share the lock."""
        if self._pid == os.getpid():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", self.connection)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._rate_file = os.open(self.directory / f"{stem}.rate", flags, 0o600)
        slots = range(self.concurrency or 0)
        self._slot_files = [os.open(self.directory / f"{stem}.slot{number}", flags, 0o600) for number in slots]
        self._held = [False for _ in slots]
        self._pid = os.getpid()

    def _wait_turn(self) -> None:
        assert self.requests_per_second is not None
        interval = 1.0 / self.requests_per_second
        with self._lock:
            self._open()
            fcntl.flock(self._rate_file, fcntl.LOCK_EX)
            try:
                stored = os.pread(self._rate_file, _NUMBER.size, 0)
                arrival = _NUMBER.unpack(stored)[0] if len(stored) == _NUMBER.size else 0.0
                delay, arrival = next_turn(arrival, self._clock(), interval=interval, burst=self.burst)
                if self.max_wait is not None and delay > self.max_wait:
                    raise self._too_long(delay)
                os.pwrite(self._rate_file, _NUMBER.pack(arrival), 0)
            finally:
                fcntl.flock(self._rate_file, fcntl.LOCK_UN)
        if delay > 0:
            self._sleep(delay)

    def _take_slot(self) -> int:
        look = _FIRST_LOOK
        waited = 0.0
        with self._freed:
            self._open()
            while True:
                for index, file in enumerate(self._slot_files):
                    if self._held[index]:
                        continue
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:  # another process has this one
                        continue
                    self._held[index] = True
                    return index
                if self.max_wait is not None and waited >= self.max_wait:
                    raise self._too_long(waited)
                self._freed.wait(look)  # woken at once by a thread of this process, else look again
                waited += look
                look = min(look * 2, _LAST_LOOK)

    def _give_back(self, index: int) -> None:
        with self._freed:
            if self._pid != os.getpid():
                return
            fcntl.flock(self._slot_files[index], fcntl.LOCK_UN)
            self._held[index] = False
            self._freed.notify()

    def _too_long(self, delay: float) -> Wait:
        return Wait(
            f"the connection's own budget is used up for {delay:.1f} s, longer than the {self.max_wait} s allowed",
            connection=self.connection,
            code=BUDGET,
            retry_after=delay,
        )
