"""A sandbox's time: logical, kept in the store, never the wall clock, never going back.

It moves one millisecond with every committed write (the store does that) and by days when the world says so. Vendor
timestamps, the HTTP Date header and "today" in the rules all come from here; only token expiry and OAuth timestamps
are checked against the wall clock, because clients sign with theirs.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from platforms.kit.sandbox.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class SandboxClock:
    """The clock of one store; every process that opens the store sees the same time."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def milliseconds(self) -> int:
        """The time as milliseconds since 1970 (UTC)."""
        return int(self.store.connection.execute("SELECT at_ms FROM _clock WHERE id = 1").fetchone()[0])

    def now(self) -> datetime:
        """The time as an aware UTC datetime with millisecond precision."""
        return _EPOCH + self.milliseconds() * _MILLISECOND

    def today(self) -> date:
        """The UTC date of `now`."""
        return self.now().date()

    def tick(self, milliseconds: int = 1) -> datetime:
        """Move on by `milliseconds` and return the new time."""
        self.store.write("UPDATE _clock SET at_ms = at_ms + ? WHERE id = 1", (milliseconds,))
        return self.now()

    def set_at_least(self, moment: datetime) -> datetime:
        """Move on to `moment` (aware) unless it is past already; returns the time now. Time never goes back."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; give an aware datetime")
        wanted = (moment.astimezone(UTC) - _EPOCH) // _MILLISECOND
        self.store.write("UPDATE _clock SET at_ms = ? WHERE id = 1 AND at_ms < ?", (wanted, wanted))
        return self.now()

    def begin(self, moment: datetime) -> datetime:
        """Say where time begins (aware), also before the usual beginning; only before the sandbox is set up.

        A firm with years of history needs an account that is as old.
        """
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone; give an aware datetime")
        if "sandbox.seed" in self.store.meta:
            raise RuntimeError("the sandbox is set up already; its time cannot begin anew")
        wanted = (moment.astimezone(UTC) - _EPOCH) // _MILLISECOND
        self.store.write("UPDATE _clock SET at_ms = ? WHERE id = 1", (wanted,))
        return self.now()
