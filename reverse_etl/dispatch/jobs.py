"""Vendor jobs: large sets handed over at once, asked for later, also by the run after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from platforms.kit.errors import AskPerson, BadAnswer, Gone, PlatformError, Refused, Uncertain, Wait
from reverse_etl.dispatch.parking import Parking
from reverse_etl.dispatch.receipts import Receipts
from reverse_etl.dispatch.work import Ready, Stopped, Work
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Entry, Move
from reverse_etl.targets.base import (
    JobHandle,
    Verb,
)


class Jobs:
    """See the module."""

    def __init__(self, work: Work, parking: Parking, receipts: Receipts) -> None:
        self.work = work
        self.parking = parking
        self.receipts = receipts

    def recover(self) -> None:
        """Take up what an earlier run left in `sent`. Afterwards only rows of jobs still under way are `sent`."""
        running: set[str] = set()
        for batch in self.work.journal.open_batches(self.work.sync.name):
            entries = [e for e in self.work.journal.entries_by(batch_id=batch["batch_id"]) if e.state is State.sent]
            if batch["remote"] and entries:
                handle = JobHandle(
                    connection=batch["connection"],
                    object=batch["object"],
                    verb=Verb(batch["verb"]),
                    key_field=self.work.key_field,
                    batch_id=batch["batch_id"],
                    remote=batch["remote"],
                )
                try:
                    self._finish(handle, self.parking.rows_even_if_unresolved(entries))
                    continue
                except Gone:
                    pass
                except PlatformError as error:
                    # Still running, or the platform cannot be asked: the job stays journalled and nothing is sent anew.
                    self.work.trouble(batch["connection"], error)
                    running.add(batch["batch_id"])
                    continue
            with self.work.journal.write(self.work.sync.name) as tx:
                self.work.journal.close_batch(tx, batch["batch_id"], "unknown", [])
                self.work.journal.move(tx, [self._doubt(e, "the run ended before an answer came") for e in entries])
        for part in self.work.journal.pages(self.work.sync.name, [State.sent]):
            stray = [e for e in part if e.batch_id not in running]
            with self.work.journal.write(self.work.sync.name) as tx:
                self.work.journal.move(tx, [self._doubt(e, "the run ended before an answer came") for e in stray])

    @staticmethod
    def _doubt(entry: Entry, reason: str) -> Move:
        return Move(entry_id=entry.entry_id, to=State.uncertain, reason=reason)

    def send(self, target: Any, verb: Verb, part: Sequence[Ready]) -> float:
        if self.work.halt.is_set():
            return 0.0
        batch_id = self.work.journal.ids()
        try:
            handle = target.open_job(
                self.work.sync.object, verb, key_field=self.work.key_field, batch_id=batch_id, rows=len(part)
            )
        except PlatformError as error:
            # Opening a job changes no record, so nothing is in doubt.
            raise Stopped(error, final=isinstance(error, (Refused, AskPerson))) from error
        self.receipts.mark_sent(batch_id, part, remote=handle.remote)
        try:
            target.submit_job(handle, [r.row for r in part])
        except BadAnswer as error:
            # The rows may have arrived; the job stays journalled and is asked for by a later run.
            raise Stopped(error, final=True) from error
        except Uncertain:
            pass
        except PlatformError as error:
            return self.receipts.call_failed(target, batch_id, part, error, self.send)
        return self._finish(handle, part)

    def _finish(self, handle: JobHandle, batch: Sequence[Ready]) -> float:
        """Ask for a job's results until they are there; out of patience -> the entries stay `sent`, for a later run."""
        target: Any = self.work.target(handle.connection)
        rows = [r.row for r in batch]
        pause = self.work.patience.job_pause
        for _ in range(self.work.patience.job_looks):
            receipts = target.reattach(handle, rows)
            if receipts is not None:
                return self.receipts.take(target, handle.batch_id, batch, receipts)
            self.work.sleep(pause)
            pause = min(pause * 1.5, self.work.patience.longest_pause)
        raise Wait(
            f"job {handle.remote} of {len(rows)} rows is still running; a later run asks for its results",
            connection=handle.connection,
        )
