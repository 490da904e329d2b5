"""One sync's journal entries on their way to the platforms and back.

    recover   entries a dead run left in `sent`: its vendor jobs are asked for their results, the rest is uncertain
    resolve   uncertain entries are read back: found -> confirmed, surely not there -> pending, several -> a person
    release   parked entries whose references are known by now -> pending
    send      pending -> sent (committed) -> one vendor call -> receipts -> confirmed | pending | refused | uncertain
    settle    confirmed entries are read again and compared with what was sent

The order of things is the promise: nothing leaves before its intent is on the disk, and nothing of unknown outcome
leaves a second time before it was looked for. Whoever calls holds the sync's single-flight lock.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable

from reverse_etl.dispatch.jobs import Jobs
from reverse_etl.dispatch.parking import Parking
from reverse_etl.dispatch.read_back import ReadBack
from reverse_etl.dispatch.receipts import Receipts
from reverse_etl.dispatch.sending import Sending
from reverse_etl.dispatch.settling import Settling
from reverse_etl.dispatch.work import Patience, Tallies, Work
from reverse_etl.journal.store import Journal
from reverse_etl.sync import SyncSettings
from reverse_etl.targets.base import Target

__all__ = ["Dispatcher", "Patience", "Tallies"]


class Dispatcher:
    """See the module. `target_of(connection)` gives the target; it may raise PlatformError."""

    def __init__(
        self,
        journal: Journal,
        sync: SyncSettings,
        target_of: Callable[[str], Target],
        *,
        run_id: str,
        sleep: Callable[[float], None],
        random: random_module.Random,
        patience: Patience,
    ) -> None:
        self._work = work = Work(journal, sync, target_of, run_id=run_id, sleep=sleep, random=random, patience=patience)
        self._parking = Parking(work)
        self._read_back = ReadBack(work, self._parking)
        self._settling = Settling(work, self._parking)
        receipts = Receipts(work)
        self._jobs = Jobs(work, self._parking, receipts)
        self._sending = Sending(work, self._parking, self._read_back, receipts, self._jobs)

    def recover(self) -> None:
        """Take up what an earlier run left in `sent`. Afterwards only rows of jobs still under way are `sent`."""
        self._jobs.recover()

    def resolve(self) -> None:
        """Read back every uncertain entry. Those of a connection that cannot be read stay uncertain."""
        self._read_back.resolve()

    def release(self) -> int:
        """Parked entries whose references are known by now become pending; returns how many."""
        return self._parking.release()

    def send(self) -> None:
        """Send what is pending, in passes, until nothing is left or patience is."""
        self._sending.send()

    def settle(self) -> None:
        """Read confirmed entries again and compare with what was sent (H-12)."""
        self._settling.settle()

    def finish(self) -> Tallies:
        """Count the calls made and the fewest possible ones; returns the tallies."""
        return self._work.finish()
