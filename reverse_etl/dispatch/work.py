"""What the parts of a dispatcher share: targets, tallies, patience, and how a row is written down."""

from __future__ import annotations

import random as random_module
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from platforms.kit.errors import AskPerson, BadAnswer, PlatformError
from reverse_etl.exceptions.desk import Case, Trouble, close_cases, open_cases
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Entry, Journal, Known
from reverse_etl.sync import Mode, SyncSettings
from reverse_etl.targets.base import (
    TARGET_ID,
    CallCount,
    Capability,
    Receipt,
    Target,
    Verb,
    WriteRow,
)
from reverse_etl.values import load

SAMPLE = 20


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how long one run tries; what is left over stays pending for the next run."""

    tries: int = 5
    """Sends of one entry within a run."""
    first_pause: float = 1.0
    """Seconds before the second try; doubles each time, with full jitter."""
    longest_pause: float = 60.0
    job_pause: float = 0.25
    """Seconds between two looks at a vendor job; grows by half each time up to `longest_pause`."""
    job_looks: int = 400


@dataclass
class Tallies:
    """What happened to one sync in this run."""

    created: int = 0
    updated: int = 0
    confirmed_by_read_back: int = 0
    refused: int = 0
    retried: int = 0
    settled: int = 0
    mismatched: int = 0
    drifted: int = 0
    writes: int = 0
    reads: int = 0
    floor: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    sample: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Ready:
    """An entry and the row it is sent as. `desired_json` is set when an optional reference had to be left out."""

    entry: Entry
    row: WriteRow
    desired_json: str | None = None

    @property
    def attempt(self) -> int:
        """Number of the attempt under way: counted already if it was read from the journal after it left."""
        return self.entry.attempts + (self.entry.state is not State.sent)


class Stopped(Exception):
    """This connection can do nothing more for now; its pending entries wait for the next pass or run."""

    def __init__(self, error: PlatformError, *, final: bool) -> None:
        self.error = error
        self.final = final


class Work:
    """One run's work on one sync. `target_of(connection)` gives the target; it may raise PlatformError."""

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
        self.journal = journal
        self.sync = sync
        self.run_id = run_id
        self.sleep = sleep
        self.random = random
        self.patience = patience
        self.tallies = Tallies()
        self._target_of = target_of
        self._targets: dict[str, Target] = {}
        self._calls_at_start: dict[str, CallCount] = {}
        self._kinds: dict[str, Mapping[str, str]] = {}
        self.tries: Counter[str] = Counter()
        self.conflicts: dict[str, Receipt] = {}
        self.first_rows: Counter[tuple[str, Verb]] = Counter()
        self._stopped: dict[str, PlatformError] = {}
        self.began = journal.clock()
        self.halt = threading.Event()
        self.lock = threading.Lock()

    @property
    def key_field(self) -> str:
        return self.sync.key_field if self.sync.mode is not Mode.update else TARGET_ID

    # -- targets ----------------------------------------------------------------------------------------------------

    def target(self, connection: str) -> Target:
        with self.lock:
            if connection not in self._targets:
                target = self._target_of(connection)
                self._targets[connection] = target
                self._calls_at_start[connection] = target.calls()
            return self._targets[connection]

    def capability(self, connection: str) -> Capability:
        return self.target(connection).capability(self.sync.object)

    def finish(self) -> Tallies:
        """Count the calls made and the fewest possible ones; returns the tallies."""
        tallies = self.tallies
        tallies.writes = tallies.reads = tallies.floor = 0
        for connection, target in self._targets.items():
            used = target.calls().since(self._calls_at_start[connection])
            tallies.writes += used.writes
            tallies.reads += used.reads
            for verb in Verb:
                rows = self.first_rows[connection, verb]
                tallies.floor += target.call_floor(self.sync.object, verb, rows) if rows else 0
        return tallies

    def trouble(self, connection: str, error: PlatformError) -> None:
        """The connection stands still: told in the report, and as an exception when a person is needed."""
        with self.lock:
            known = connection in self._stopped
            self._stopped[connection] = error
            text = f"{connection}: {error.message}"
            if text not in self.tallies.troubles:
                self.tallies.troubles.append(text)
        if known or not isinstance(error, (AskPerson, BadAnswer)):
            return
        with self.journal.write(self.sync.name) as tx:
            case = Case(
                sync=self.sync.name,
                platform=self.sync.platform,
                connection=connection,
                object=self.sync.object,
                key="",
                kind=Trouble.connection,
                reason=f"{error.message} Next: {error.next_step}",
                owner=self.sync.owner,
                code=error.code,
            )
            open_cases(self.journal, tx, [case])

    def each_connection(self, states: Iterable[State], work: Callable[[str], None]) -> None:
        """Run `work` for every connection with entries in these states, side by side; the first fault is raised."""
        names = self.journal.connections(self.sync.name, states)

        def guarded(connection: str) -> None:
            try:
                work(connection)
            except PlatformError as error:
                self.trouble(connection, error)
            except BaseException:
                self.halt.set()
                raise

        if len(names) <= 1:
            for name in names:
                guarded(name)
            return
        with ThreadPoolExecutor(max_workers=min(8, len(names)), thread_name_prefix=self.sync.name) as pool:
            futures = [pool.submit(guarded, name) for name in names]
        for future in futures:
            future.result()

    # -- what is written down about a row ---------------------------------------------------------------------------

    def kinds_of(self, plan_id: str) -> Mapping[str, str]:
        if plan_id not in self._kinds:
            self._kinds[plan_id] = self.journal.kinds(plan_id)
        return self._kinds[plan_id]

    def known(self, r: Ready, target_id: str, version: str | None) -> Known:
        entry = r.entry
        return Known(
            sync=entry.sync,
            connection=entry.connection,
            key=entry.key,
            target_id=target_id,
            fields_json=r.desired_json or entry.desired_json or entry.fields_json,
            target_version=version,
            entry_id=entry.entry_id,
        )

    def case(self, r: Ready, kind: Trouble, reason: str, receipt: Receipt | None = None) -> Case:
        entry = r.entry
        before = load(entry.before_json) if entry.before_json else {}
        return Case(
            sync=entry.sync,
            platform=entry.platform,
            connection=entry.connection,
            object=entry.object,
            key=entry.key,
            kind=kind,
            reason=reason,
            owner=entry.owner or self.sync.owner,
            entry_id=entry.entry_id,
            target_id=entry.target_id,
            code=receipt.code if receipt else "",
            fields=receipt.fields if receipt else (),
            diff={name: [before.get(name), value] for name, value in load(entry.fields_json).items()},
            attempts=r.attempt,
        )

    def close_done(self, tx: Any, done: Sequence[Ready]) -> None:
        if done:
            records = [(r.entry.connection, r.entry.key) for r in done]
            close_cases(self.journal, tx, self.sync.name, [*records, (records[0][0], "")], "succeeded")

    def count_done(self, target: Target, done: Sequence[tuple[Ready, str]], *, created: bool | None) -> None:
        tallies = self.tallies
        with self.lock:
            for r, target_id in done:
                entry = r.entry
                is_new = r.row.verb is Verb.create if created is None else created
                tallies.created += is_new
                tallies.updated += not is_new
                if entry.amount is not None:
                    currency = entry.currency or ""
                    tallies.amounts[currency] = tallies.amounts.get(currency, Decimal(0)) + entry.amount
                if len(tallies.sample) < SAMPLE:
                    link = self.sync.link.replace("{id}", target_id) or target.link(self.sync.object, target_id)
                    tallies.sample.append(
                        {
                            "what": "created" if is_new else "updated",
                            "key": entry.key,
                            "connection": entry.connection,
                            "target_id": target_id,
                            "amount": entry.amount,
                            "currency": entry.currency,
                            "fields": entry.fields_json,
                            "link": link,
                        }
                    )
