"""Pending entries leave, in passes, in the largest batches and as many lanes as the platform bears."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import TypeVar

from platforms.kit.errors import BadAnswer, PlatformError, Uncertain
from reverse_etl.dispatch.jobs import Jobs
from reverse_etl.dispatch.parking import Parking
from reverse_etl.dispatch.read_back import ReadBack
from reverse_etl.dispatch.receipts import Receipts
from reverse_etl.dispatch.work import Ready, Stopped, Work
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Entry, chunked
from reverse_etl.sync import Mode
from reverse_etl.targets.base import (
    Capability,
    JobTarget,
    Promise,
    Target,
    Verb,
    receipts_for,
)

T = TypeVar("T")


class Sending:
    """See the module."""

    def __init__(self, work: Work, parking: Parking, read_back: ReadBack, receipts: Receipts, jobs: Jobs) -> None:
        self.work = work
        self.parking = parking
        self.read_back = read_back
        self.receipts = receipts
        self.jobs = jobs

    def send(self) -> None:
        """Send what is pending, in passes, until nothing is left or patience is."""
        self.parking.release()
        self.work.each_connection([State.pending], self._send)

    def _send(self, connection: str) -> None:
        target = self.work.target(connection)
        pause = self.work.patience.first_pause
        stops = 0
        while not self.work.halt.is_set():
            stopped: Stopped | None = None
            wanted = 0.0
            try:
                for verb in Verb:
                    wanted = max(wanted, self._send_verb(connection, target, verb))
            except Stopped as stop:
                stopped = stop
                stops += 1
                wanted = stop.error.retry_after or 0.0
            self.read_back.if_needed(connection)
            if stopped is not None and (stopped.final or stops >= self.work.patience.tries):
                self.work.trouble(connection, stopped.error)
                return
            released = self.parking.release()
            if next(self._eligible(connection), None) is None:
                return
            if stopped is not None or not released:
                self.work.sleep(max(wanted, self.work.random.uniform(0, pause)))
                pause = min(pause * 2, self.work.patience.longest_pause)

    def _eligible(self, connection: str, verb: Verb | None = None) -> Iterator[Entry]:
        pages = self.work.journal.pages(
            self.work.sync.name, [State.pending], connection=connection, verb=verb.value if verb else None
        )
        for part in pages:
            yield from (e for e in part if self.work.tries[e.entry_id] < self.work.patience.tries)

    def _ready(self, target: Target, capability: Capability, connection: str, verb: Verb) -> Iterator[Ready]:
        """Pending entries as rows, page by page; parks what must wait, looks before it creates where that is needed."""
        look_first = verb is Verb.create and (
            capability.promise is not Promise.exactly_once or self.work.sync.mode is Mode.create
        )
        for part in chunked(self._eligible(connection, verb), 5_000):
            ready, parked = self.parking.rows(part)
            if parked:
                with self.work.journal.write(self.work.sync.name) as tx:
                    self.work.journal.move(tx, parked)
            adopting = [r for r in ready if r.row.adopt]
            for chunk in chunked(adopting, max(1, capability.max_find)):
                yield from self.read_back.unclaimed(target, chunk)
            if adopting:
                ready = [r for r in ready if not r.row.adopt]
            if not look_first:
                yield from ready
                continue
            for chunk in chunked(ready, max(1, capability.max_find)):
                yield from self.read_back.absent(target, chunk)

    def _send_verb(self, connection: str, target: Target, verb: Verb) -> float:
        """One pass over the pending entries of one verb; returns the longest pause the platform asked for."""
        capability = self.work.capability(connection)
        ready = self._ready(target, capability, connection, verb)
        if capability.supports_async_job and isinstance(target, JobTarget):
            head, ready = _peek(ready, max(1, capability.job_min_rows))
            if len(head) >= max(1, capability.job_min_rows):
                parts = chunked(ready, capability.job_max_rows or 1_000_000)
                return self._side_by_side(target, verb, parts, capability.parallel_writes, self.jobs.send)
        batches = chunked(ready, capability.max_batch(verb))
        return self._side_by_side(target, verb, batches, capability.parallel_writes, self._send_batch)

    def _side_by_side(
        self,
        target: Target,
        verb: Verb,
        batches: Iterator[list[Ready]],
        lanes: int,
        send_one: Callable[[Target, Verb, Sequence[Ready]], float],
    ) -> float:
        """Send batches in this many lanes; nothing new is begun after a fault, what is under way is waited for."""
        if lanes <= 1:
            return max((send_one(target, verb, batch) for batch in batches), default=0.0)
        longest = 0.0
        under_way: set[Future[float]] = set()
        fault: BaseException | None = None
        with ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="lane") as pool:
            for batch in batches:
                under_way.add(pool.submit(send_one, target, verb, batch))
                if len(under_way) >= lanes:
                    finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in finished:
                        fault = fault or future.exception()
                        longest = max(longest, 0.0 if future.exception() else future.result())
                if fault is not None:
                    break
        for future in under_way:
            fault = fault or future.exception()
            longest = max(longest, 0.0 if future.exception() else future.result())
        if fault is not None:
            raise fault
        return longest

    def _send_batch(self, target: Target, verb: Verb, batch: Sequence[Ready]) -> float:
        if self.work.halt.is_set():
            return 0.0
        batch_id = self.work.journal.ids()
        self.receipts.mark_sent(batch_id, batch, remote=None)
        rows = [r.row for r in batch]
        try:
            receipts = target.write(self.work.sync.object, verb, rows, key_field=self.work.key_field, batch_id=batch_id)
        except (BadAnswer, Uncertain) as error:
            # Whoever answered BadAnswer was not the platform; it may still have been reached.
            self.receipts.take(target, batch_id, batch, receipts_for(_as_uncertain(error), rows))
            if isinstance(error, BadAnswer):
                raise Stopped(error, final=True) from error
            return 0.0
        except PlatformError as error:
            return self.receipts.call_failed(target, batch_id, batch, error, self._send_batch)
        return self.receipts.take(target, batch_id, batch, receipts)


def _as_uncertain(error: PlatformError) -> Uncertain:
    return Uncertain(error.message, code=error.code, request_id=error.request_id, connection=error.connection)


def _peek(items: Iterator[T], count: int) -> tuple[list[T], Iterator[T]]:
    """The first `count` items, and an iterator that still has them all."""
    head = list(islice(items, count))
    return head, chain(head, items)
