"""The journal's side of one call: its entries are marked as sent before it, and each gets its receipt after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from platforms.kit.errors import AskPerson, NotSent, PlatformError, Refused, Wait
from reverse_etl.dispatch.work import Ready, Stopped, Work
from reverse_etl.exceptions.desk import Case, Trouble, open_cases
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Answer, Known, Move
from reverse_etl.targets.base import (
    Outcome,
    Receipt,
    Target,
    Verb,
    receipts_for,
)


class Receipts:
    """See the module."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def mark_sent(self, batch_id: str, batch: Sequence[Ready], remote: str | None) -> None:
        moves = [Move(entry_id=r.entry.entry_id, to=State.sent, desired_json=r.desired_json) for r in batch]
        with self.work.journal.write(self.work.sync.name) as tx:
            self.work.journal.mark_sent(
                tx,
                batch_id=batch_id,
                run_id=self.work.run_id,
                entries=[r.entry for r in batch],
                moves=moves,
                remote=remote,
            )
        first = batch[0]
        fresh = sum(1 for r in batch if not self.work.tries[r.entry.entry_id])
        with self.work.lock:
            self.work.first_rows[first.entry.connection, first.row.verb] += fresh

    def take(self, target: Target, batch_id: str, batch: Sequence[Ready], receipts: Sequence[Receipt]) -> float:
        """Write down one receipt per row, in one transaction; returns the longest pause asked for."""
        verified = verify_all_processed(batch, receipts)
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[Ready, str]] = []
        made: list[bool | None] = []
        again: list[str] = []
        longest = 0.0
        for r, receipt in verified:
            entry_id, message = r.entry.entry_id, receipt.message or None
            longest = max(longest, receipt.retry_after or 0.0)
            match receipt.outcome:
                case Outcome.done:
                    target_id = str(receipt.target_id or r.row.target_id)
                    moves.append(
                        Move(
                            entry_id=entry_id,
                            to=State.confirmed,
                            target_id=target_id,
                            target_version=receipt.target_version,
                        )
                    )
                    records.append(self.work.known(r, target_id, receipt.target_version))
                    done.append((r, target_id))
                    made.append(receipt.created)
                case Outcome.retry | Outcome.wait:
                    moves.append(Move(entry_id=entry_id, to=State.pending, reason=message))
                    again.append(entry_id)
                case Outcome.uncertain:
                    moves.append(Move(entry_id=entry_id, to=State.uncertain, reason=message))
                    again.append(entry_id)
                case Outcome.conflict if r.row.verb is Verb.create:
                    moves.append(Move(entry_id=entry_id, to=State.uncertain, reason=message))
                    self.work.conflicts[entry_id] = receipt
                case Outcome.conflict | Outcome.refused | Outcome.ask_person:
                    reason = message or f"refused without a reason ({receipt.code or 'no code'})"
                    moves.append(Move(entry_id=entry_id, to=State.refused, reason=reason))
                    cases.append(self.work.case(r, Trouble(receipt.outcome.value), reason, receipt))
        with self.work.journal.write(self.work.sync.name) as tx:
            self.work.journal.close_batch(
                tx, batch_id, _summary(verified), [self._answer(r, receipt) for r, receipt in verified]
            )
            self.work.journal.move(tx, moves)
            self.work.journal.remember(tx, records)
            open_cases(self.work.journal, tx, cases)
            self.work.close_done(tx, [r for r, _ in done])
        with self.work.lock:
            self.work.tries.update(again)
            self.work.tallies.retried += len(again)
            self.work.tallies.refused += len(cases)
        for (r, target_id), created in zip(done, made, strict=True):
            self.work.count_done(target, [(r, target_id)], created=created)
        return longest

    @staticmethod
    def _answer(r: Ready, receipt: Receipt) -> Answer:
        return Answer(
            entry_id=r.entry.entry_id,
            attempt=r.attempt,
            outcome=receipt.outcome.value,
            code=receipt.code,
            message=receipt.message,
            request_id=receipt.request_id,
        )

    def call_failed(
        self,
        target: Target,
        batch_id: str,
        batch: Sequence[Ready],
        error: PlatformError,
        resend: Callable[[Target, Verb, Sequence[Ready]], float],
    ) -> float:
        """The whole call surely did nothing. One refused row is told; of several the culprit is sought by halves."""
        if isinstance(error, Refused) and len(batch) == 1:
            return self.take(target, batch_id, batch, receipts_for(error, [r.row for r in batch]))
        self._back(batch_id, batch, error)
        if isinstance(error, Refused):
            middle = len(batch) // 2
            halves = [self._refreshed(batch[:middle]), self._refreshed(batch[middle:])]
            return max(resend(target, half[0].row.verb, half) for half in halves)
        if isinstance(error, AskPerson):
            raise Stopped(error, final=True) from error
        if isinstance(error, (Wait, NotSent)):
            raise Stopped(error, final=False) from error
        return error.retry_after or 0.0

    def _refreshed(self, batch: Sequence[Ready]) -> list[Ready]:
        """The same rows, with the attempt just made counted."""
        return [replace(r, entry=replace(r.entry, attempts=r.entry.attempts + 1, state=State.pending)) for r in batch]

    def _back(self, batch_id: str, batch: Sequence[Ready], error: PlatformError) -> None:
        """The whole call surely did nothing: its entries are pending again."""
        with self.work.journal.write(self.work.sync.name) as tx:
            answers = [
                Answer(
                    entry_id=r.entry.entry_id,
                    attempt=r.attempt,
                    outcome=Outcome.retry.value,
                    code=error.code,
                    message=error.message,
                    request_id=error.request_id,
                )
                for r in batch
            ]
            self.work.journal.close_batch(tx, batch_id, type(error).__name__, answers)
            self.work.journal.move(
                tx, [Move(entry_id=r.entry.entry_id, to=State.pending, reason=error.message) for r in batch]
            )
        with self.work.lock:
            self.work.tries.update(r.entry.entry_id for r in batch)
            self.work.tallies.retried += len(batch)


def verify_all_processed(batch: Sequence[Ready], receipts: Sequence[Receipt]) -> list[tuple[Ready, Receipt]]:
    """Exactly one believable receipt per row. A row without one, or with two that differ, is uncertain, as is a create
    reported done without an id. A receipt for a row that was not in the batch -> ValueError: the target is at fault."""
    by_id: dict[str, Receipt] = {}
    ids = {r.entry.entry_id for r in batch}
    for receipt in receipts:
        if receipt.entry_id not in ids:
            raise ValueError(f"the target gave a receipt for {receipt.entry_id}, which it was not given")
        earlier = by_id.get(receipt.entry_id)
        if earlier is not None and earlier != receipt:
            receipt = Receipt(
                entry_id=receipt.entry_id,
                outcome=Outcome.uncertain,
                message=f"two answers for one row: {earlier.outcome} and {receipt.outcome}",
            )
        by_id[receipt.entry_id] = receipt
    verified: list[tuple[Ready, Receipt]] = []
    for r in batch:
        receipt = by_id.get(r.entry.entry_id) or Receipt(
            entry_id=r.entry.entry_id, outcome=Outcome.uncertain, message="the answer says nothing about this row"
        )
        if receipt.outcome is Outcome.done and not (receipt.target_id or r.row.target_id):
            receipt = Receipt(
                entry_id=r.entry.entry_id, outcome=Outcome.uncertain, message="reported done, but without an id"
            )
        verified.append((r, receipt))
    return verified


def _summary(verified: Sequence[tuple[Ready, Receipt]]) -> str:
    counted = Counter(receipt.outcome.value for _, receipt in verified)
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counted.items()))
