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
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, TypeVar

from platforms.kit.errors import AskPerson, BadAnswer, Gone, NotSent, PlatformError, Refused, Uncertain, Wait
from reverse_etl.exceptions.desk import Case, Exceptional, Trouble, close_cases, open_cases, told_of
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Answer, Entry, Journal, Known, Move, chunked
from reverse_etl.sync import Mode, SyncSettings
from reverse_etl.targets.base import (
    TARGET_ID,
    CallCount,
    Capability,
    Found,
    JobHandle,
    JobTarget,
    KeyedByOthers,
    Outcome,
    Promise,
    Receipt,
    Target,
    Value,
    Verb,
    WriteRow,
    receipts_for,
)
from reverse_etl.values import dump, load, same, typed_fields

T = TypeVar("T")
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
class _Ready:
    """An entry and the row it is sent as. `desired_json` is set when an optional reference had to be left out."""

    entry: Entry
    row: WriteRow
    desired_json: str | None = None

    @property
    def attempt(self) -> int:
        """Number of the attempt under way: counted already if it was read from the journal after it left."""
        return self.entry.attempts + (self.entry.state is not State.sent)


class _Stopped(Exception):
    """This connection can do nothing more for now; its pending entries wait for the next pass or run."""

    def __init__(self, error: PlatformError, *, final: bool) -> None:
        self.error = error
        self.final = final


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
        patience: Patience = Patience(),
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
        self._tries: Counter[str] = Counter()
        self._conflicts: dict[str, Receipt] = {}
        self._first_rows: Counter[tuple[str, Verb]] = Counter()
        self._stopped: dict[str, PlatformError] = {}
        self._began = journal.clock()
        self._halt = threading.Event()
        self._lock = threading.Lock()

    @property
    def _key_field(self) -> str:
        return self.sync.key_field if self.sync.mode is not Mode.update else TARGET_ID

    # -- targets ----------------------------------------------------------------------------------------------------

    def target(self, connection: str) -> Target:
        with self._lock:
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
                rows = self._first_rows[connection, verb]
                tallies.floor += target.call_floor(self.sync.object, verb, rows) if rows else 0
        return tallies

    def _trouble(self, connection: str, error: PlatformError) -> None:
        """The connection stands still: told in the report, and as an exception when a person is needed."""
        with self._lock:
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
                self._trouble(connection, error)
            except BaseException:
                self._halt.set()
                raise

        if len(names) <= 1:
            for name in names:
                guarded(name)
            return
        with ThreadPoolExecutor(max_workers=min(8, len(names)), thread_name_prefix=self.sync.name) as pool:
            futures = [pool.submit(guarded, name) for name in names]
        for future in futures:
            future.result()

    # -- rows -------------------------------------------------------------------------------------------------------

    def _kinds_of(self, plan_id: str) -> Mapping[str, str]:
        if plan_id not in self._kinds:
            self._kinds[plan_id] = self.journal.kinds(plan_id)
        return self._kinds[plan_id]

    def rows(self, entries: Sequence[Entry]) -> tuple[list[_Ready], list[Move]]:
        """Entries as rows, references replaced by target ids; those that must wait for one come back as moves."""
        references = self.sync.field_references()
        optional = {self.sync.fields[c] for c in self.sync.optional_references}
        create_only = {self.sync.fields[c] for c in self.sync.create_only}
        values = [typed_fields(entry.fields_json, self._kinds_of(entry.plan_id)) for entry in entries]
        wanted: dict[str, set[str]] = {}
        for fields in values:
            for name, other in references.items():
                if fields.get(name) is not None:
                    wanted.setdefault(other, set()).add(str(fields[name]))
        known = {other: self.journal.targets_of(other, keys) for other, keys in wanted.items()}
        ready: list[_Ready] = []
        parked: list[Move] = []
        for entry, fields in zip(entries, values, strict=True):
            verb = Verb(entry.verb)
            if entry.adopt and self.sync.mode is Mode.create:
                fields = {}  # what others made stays theirs; it only gets our key (O-2)
            waiting: list[str] = []
            left_out: list[str] = []
            for name, other in references.items():
                key = fields.get(name)
                if key is None:
                    continue
                found = known[other].get(str(key), {})
                if entry.connection in found:
                    fields[name] = found[entry.connection]
                elif len(found) == 1:
                    fields[name] = next(iter(found.values()))
                elif name in optional and not found:
                    del fields[name]
                    left_out.append(name)
                else:
                    why = f"is known to {len(found)} connections" if found else "is not there yet"
                    waiting.append(f"{name}: {other} {key} {why}")
            if verb is Verb.update:
                fields = {name: value for name, value in fields.items() if name not in create_only}
            else:
                fields = {name: value for name, value in fields.items() if value is not None}
            if not waiting and not fields and left_out:
                waiting = [f"{name}: what it refers to is not there yet" for name in left_out]
            if waiting:
                parked.append(Move(entry_id=entry.entry_id, to=State.parked, reason="waits for " + "; ".join(waiting)))
                continue
            row = WriteRow(
                entry_id=entry.entry_id,
                key=entry.key,
                verb=verb,
                fields=fields,
                target_id=entry.target_id,
                version=entry.target_version,
                adopt=bool(entry.adopt),
            )
            ready.append(_Ready(entry, row, self._without(entry, left_out)))
        return ready, parked

    @staticmethod
    def _without(entry: Entry, left_out: Sequence[str]) -> str | None:
        """What will be known once sent without some references: they stay to be done."""
        if not left_out:
            return None
        return dump({**load(entry.desired_json or entry.fields_json), **dict.fromkeys(left_out)})

    # -- recover ----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up what an earlier run left in `sent`. Afterwards only rows of jobs still under way are `sent`."""
        running: set[str] = set()
        for batch in self.journal.open_batches(self.sync.name):
            entries = [e for e in self.journal.entries_by(batch_id=batch["batch_id"]) if e.state is State.sent]
            if batch["remote"] and entries:
                handle = JobHandle(
                    connection=batch["connection"],
                    object=batch["object"],
                    verb=Verb(batch["verb"]),
                    key_field=self._key_field,
                    batch_id=batch["batch_id"],
                    remote=batch["remote"],
                )
                try:
                    self._finish_job(handle, self.rows_even_if_unresolved(entries))
                    continue
                except Gone:
                    pass
                except PlatformError as error:
                    # Still running, or the platform cannot be asked: the job stays journalled and nothing is sent anew.
                    self._trouble(batch["connection"], error)
                    running.add(batch["batch_id"])
                    continue
            with self.journal.write(self.sync.name) as tx:
                self.journal.close_batch(tx, batch["batch_id"], "unknown", [])
                self.journal.move(tx, [self._doubt(e, "the run ended before an answer came") for e in entries])
        for part in self.journal.pages(self.sync.name, [State.sent]):
            stray = [e for e in part if e.batch_id not in running]
            with self.journal.write(self.sync.name) as tx:
                self.journal.move(tx, [self._doubt(e, "the run ended before an answer came") for e in stray])

    @staticmethod
    def _doubt(entry: Entry, reason: str) -> Move:
        return Move(entry_id=entry.entry_id, to=State.uncertain, reason=reason)

    # -- resolve ----------------------------------------------------------------------------------------------------

    def resolve(self) -> None:
        """Read back every uncertain entry. Those of a connection that cannot be read stay uncertain."""
        self.each_connection([State.uncertain], self._resolve)

    def _resolve(self, connection: str) -> None:
        target, capability = self.target(connection), self.capability(connection)
        for part in self.journal.pages(self.sync.name, [State.uncertain], connection=connection):
            # References were known when it was sent; a parked move is impossible for an uncertain entry, so an entry
            # whose reference has vanished since is compared without it.
            ready = self.rows_even_if_unresolved(part)
            for chunk in chunked(ready, max(1, capability.max_find)):
                found = self._look_back(target, capability, chunk)
                self._conclude(target, chunk, found)

    def rows_even_if_unresolved(self, entries: Sequence[Entry]) -> list[_Ready]:
        """`rows`, with an entry whose references cannot be resolved kept, bare of them."""
        ready, parked = self.rows(entries)
        waiting = {move.entry_id for move in parked}
        references = self.sync.field_references()
        for entry in entries:
            if entry.entry_id in waiting:
                fields = typed_fields(entry.fields_json, self._kinds_of(entry.plan_id))
                plain = {n: v for n, v in fields.items() if n not in references and v is not None}
                ready.append(
                    _Ready(
                        entry,
                        WriteRow(
                            entry_id=entry.entry_id,
                            key=entry.key,
                            verb=Verb(entry.verb),
                            fields=plain,
                            target_id=entry.target_id,
                            adopt=bool(entry.adopt),
                        ),
                    )
                )
        return ready

    def _look_back(
        self, target: Target, capability: Capability, chunk: Sequence[_Ready]
    ) -> dict[str, tuple[Found, ...]]:
        found = self._look_once(target, chunk)
        missing = [r for r in chunk if not found[r.entry.entry_id]]
        if missing and capability.find_lag_seconds > 0:
            self.sleep(capability.find_lag_seconds)
            found.update(self._look_once(target, missing))
        return found

    def _look_once(self, target: Target, chunk: Sequence[_Ready]) -> dict[str, tuple[Found, ...]]:
        names = sorted({name for r in chunk for name in r.row.fields})
        found: dict[str, tuple[Found, ...]] = {}
        creates = [r.row for r in chunk if r.row.verb is Verb.create]
        if creates:
            back = target.read_back(self.sync.object, creates, key_field=self._key_field, fields=names)
            found.update({row.entry_id: tuple(back[row.entry_id]) for row in creates})
        updates = [r.row for r in chunk if r.row.verb is Verb.update]
        if updates:
            by_id = target.find(self.sync.object, TARGET_ID, sorted({str(r.target_id) for r in updates}), names)
            found.update({row.entry_id: tuple(by_id[str(row.target_id)]) for row in updates})
        return found

    def _conclude(self, target: Target, chunk: Sequence[_Ready], found: Mapping[str, tuple[Found, ...]]) -> None:
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[_Ready, str]] = []
        for r in chunk:
            there = found[r.entry.entry_id]
            conflict = self._conflicts.pop(r.entry.entry_id, None)
            if len(there) > 1:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"{len(there)} records carry the key {r.entry.key}: {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self._case(r, Trouble.duplicate, reason))
            elif not there and conflict is not None:
                reason = conflict.message or "the platform says it exists, but no record carries our key"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self._case(r, Trouble.conflict, reason, conflict))
            elif not there:
                reason = "read back: not there"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.pending, reason=reason))
            else:
                moves.append(self._found(r, there[0]))
                if moves[-1].to is State.confirmed:
                    records.append(self._known(r, there[0].target_id, there[0].version))
                    done.append((r, there[0].target_id))
        self._keep_read_back(moves, records, cases, [r for r, _ in done])
        self._count_done(target, done, created=None)

    def _keep_read_back(
        self,
        moves: Sequence[Move],
        records: Sequence[Known],
        cases: Sequence[Case],
        done: Sequence[_Ready],
        turned: Sequence[Move] = (),
    ) -> None:
        """What a look at the platform taught, in one transaction; `turned` are creates that become updates."""
        with self.journal.write(self.sync.name) as tx:
            self.journal.move(tx, moves)
            if turned:
                self.journal.turn_into_updates(tx, turned)
            self.journal.remember(tx, records)
            open_cases(self.journal, tx, cases)
            self._close_done(tx, done)
        with self._lock:
            self.tallies.refused += len(cases)
            self.tallies.confirmed_by_read_back += len(done)

    def _found(self, r: _Ready, there: Found) -> Move:
        """One record is there: is it what we wanted, or does it take another update?"""
        create_only = {self.sync.fields[c] for c in self.sync.create_only}
        is_same = all(
            same(value, there.fields[name])
            for name, value in r.row.fields.items()
            if name in there.fields and name not in create_only
        )
        adopting = r.row.verb is Verb.update and r.row.adopt
        if (is_same and not adopting) or (r.row.verb is Verb.create and self.sync.mode is Mode.create):
            return Move(
                entry_id=r.entry.entry_id,
                to=State.confirmed,
                reason="read back: there",
                target_id=there.target_id,
                target_version=there.version,
                desired_json=r.desired_json,
            )
        return Move(
            entry_id=r.entry.entry_id,
            to=State.pending,
            reason="read back: there, with other values",
            target_id=there.target_id,
            target_version=there.version,
            verb=Verb.update.value,
        )

    # -- release ----------------------------------------------------------------------------------------------------

    def release(self) -> int:
        """Parked entries whose references are known by now become pending; returns how many."""
        released = 0
        for part in self.journal.pages(self.sync.name, [State.parked]):
            ready, _ = self.rows(part)
            if ready:
                with self.journal.write(self.sync.name) as tx:
                    self.journal.move(
                        tx,
                        [
                            Move(entry_id=r.entry.entry_id, to=State.pending, reason="what it waited for is there")
                            for r in ready
                        ],
                    )
                released += len(ready)
        return released

    # -- send -------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Send what is pending, in passes, until nothing is left or patience is."""
        self.release()
        self.each_connection([State.pending], self._send)

    def _send(self, connection: str) -> None:
        target = self.target(connection)
        pause = self.patience.first_pause
        stops = 0
        while not self._halt.is_set():
            stopped: _Stopped | None = None
            wanted = 0.0
            try:
                for verb in Verb:
                    wanted = max(wanted, self._send_verb(connection, target, verb))
            except _Stopped as stop:
                stopped = stop
                stops += 1
                wanted = stop.error.retry_after or 0.0
            self._resolve_if_needed(connection)
            if stopped is not None and (stopped.final or stops >= self.patience.tries):
                self._trouble(connection, stopped.error)
                return
            released = self.release()
            if next(self._eligible(connection), None) is None:
                return
            if stopped is not None or not released:
                self.sleep(max(wanted, self.random.uniform(0, pause)))
                pause = min(pause * 2, self.patience.longest_pause)

    def _resolve_if_needed(self, connection: str) -> None:
        if connection in self.journal.connections(self.sync.name, [State.uncertain]):
            self._resolve(connection)

    def _eligible(self, connection: str, verb: Verb | None = None) -> Iterator[Entry]:
        pages = self.journal.pages(
            self.sync.name, [State.pending], connection=connection, verb=verb.value if verb else None
        )
        for part in pages:
            yield from (e for e in part if self._tries[e.entry_id] < self.patience.tries)

    def _ready(self, target: Target, capability: Capability, connection: str, verb: Verb) -> Iterator[_Ready]:
        """Pending entries as rows, page by page; parks what must wait, looks before it creates where that is needed."""
        look_first = verb is Verb.create and (
            capability.promise is not Promise.exactly_once or self.sync.mode is Mode.create
        )
        for part in chunked(self._eligible(connection, verb), 5_000):
            ready, parked = self.rows(part)
            if parked:
                with self.journal.write(self.sync.name) as tx:
                    self.journal.move(tx, parked)
            adopting = [r for r in ready if r.row.adopt]
            for chunk in chunked(adopting, max(1, capability.max_find)):
                yield from self._unclaimed(target, chunk)
            if adopting:
                ready = [r for r in ready if not r.row.adopt]
            if not look_first:
                yield from ready
                continue
            for chunk in chunked(ready, max(1, capability.max_find)):
                yield from self._absent(target, chunk)

    def _unclaimed(self, target: Target, chunk: Sequence[_Ready]) -> list[_Ready]:
        """Of records to adopt, those that still need a write: our key, or fields that differ. A record that carries our
        key already, or somebody else's that stays, and holds what is wanted is taken over without a call; a key that
        another record carries is told."""
        names = sorted({name for r in chunk for name in r.row.fields})
        found = target.find(self.sync.object, self.sync.key_field, [r.row.key for r in chunk], names)
        foreign, by_id = self._keyed_by_others(target, [r for r in chunk if not found[r.row.key]], names)
        needed: list[_Ready] = []
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[_Ready] = []
        for r in chunk:
            kept = foreign.get(r.entry.entry_id)
            there = found[r.row.key] if kept is None else by_id[str(r.row.target_id)]
            if not there:
                needed.append(r)
            elif [f.target_id for f in there] != [r.row.target_id]:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"record {r.row.target_id} was to be taken over, but the key {r.row.key} is carried by {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self._case(r, Trouble.duplicate, reason))
            elif all(same(value, there[0].fields[n]) for n, value in r.row.fields.items() if n in there[0].fields):
                moves.append(
                    Move(
                        entry_id=r.entry.entry_id,
                        to=State.confirmed,
                        reason="taken over as it is" + (f"; it keeps the key {kept} of others" if kept else ""),
                        target_id=there[0].target_id,
                        target_version=there[0].version,
                        desired_json=r.desired_json,
                    )
                )
                records.append(self._known(r, there[0].target_id, there[0].version))
                done.append(r)
            else:
                needed.append(replace(r, row=replace(r.row, adopt=False)))
        if moves:
            self._keep_read_back(moves, records, cases, done)
        return needed

    def _keyed_by_others(
        self, target: Target, chunk: Sequence[_Ready], names: Sequence[str]
    ) -> tuple[Mapping[str, str], Mapping[str, tuple[Found, ...]]]:
        """Of records to adopt, those whose key somebody else gave (entry -> that key), and how they are now, by id.
        One that is gone meanwhile is told by the platform when it is written to, so it does not count."""
        if not chunk or not isinstance(target, KeyedByOthers):
            return {}, {}
        foreign = target.keys_of_others(self.sync.object, [r.row for r in chunk], key_field=self.sync.key_field)
        ids = sorted({str(r.row.target_id) for r in chunk if r.entry.entry_id in foreign})
        return foreign, target.find(self.sync.object, TARGET_ID, ids, names) if ids else {}

    def _absent(self, target: Target, chunk: Sequence[_Ready]) -> list[_Ready]:
        """Of new records, those that are surely not there. The others are adopted, or told as duplicates."""
        names = sorted({name for r in chunk for name in r.row.fields})
        found = target.find(self.sync.object, self.sync.key_field, [r.row.key for r in chunk], names)
        absent = [r for r in chunk if not found[r.row.key]]
        present = [r for r in chunk if found[r.row.key]]
        moves: list[Move] = []
        turned: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[_Ready, str]] = []
        for r in present:
            there = found[r.row.key]
            if len(there) > 1:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"{len(there)} records carry the key {r.entry.key}: {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self._case(r, Trouble.duplicate, reason))
                continue
            move = self._found(r, there[0])
            if move.to is State.confirmed:
                moves.append(move)
                records.append(self._known(r, there[0].target_id, there[0].version))
                done.append((r, there[0].target_id))
            else:
                turned.append(move)
        if moves or turned:
            self._keep_read_back(moves, records, cases, [r for r, _ in done], turned)
            self._count_done(target, done, created=False)
        return absent

    def _send_verb(self, connection: str, target: Target, verb: Verb) -> float:
        """One pass over the pending entries of one verb; returns the longest pause the platform asked for."""
        capability = self.capability(connection)
        ready = self._ready(target, capability, connection, verb)
        if capability.supports_async_job and isinstance(target, JobTarget):
            head, ready = _peek(ready, max(1, capability.job_min_rows))
            if len(head) >= max(1, capability.job_min_rows):
                parts = chunked(ready, capability.job_max_rows or 1_000_000)
                return self._side_by_side(target, verb, parts, capability.parallel_writes, self._send_job)
        batches = chunked(ready, capability.max_batch(verb))
        return self._side_by_side(target, verb, batches, capability.parallel_writes, self._send_batch)

    def _side_by_side(
        self,
        target: Target,
        verb: Verb,
        batches: Iterator[list[_Ready]],
        lanes: int,
        send_one: Callable[[Target, Verb, Sequence[_Ready]], float],
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

    def _send_batch(self, target: Target, verb: Verb, batch: Sequence[_Ready]) -> float:
        if self._halt.is_set():
            return 0.0
        batch_id = self.journal.ids()
        self._mark_sent(batch_id, batch, remote=None)
        rows = [r.row for r in batch]
        try:
            receipts = target.write(self.sync.object, verb, rows, key_field=self._key_field, batch_id=batch_id)
        except (BadAnswer, Uncertain) as error:
            # Whoever answered BadAnswer was not the platform; it may still have been reached.
            self._take(target, batch_id, batch, receipts_for(_as_uncertain(error), rows))
            if isinstance(error, BadAnswer):
                raise _Stopped(error, final=True) from error
            return 0.0
        except PlatformError as error:
            return self._call_failed(target, batch_id, batch, error, self._send_batch)
        return self._take(target, batch_id, batch, receipts)

    def _call_failed(
        self,
        target: Target,
        batch_id: str,
        batch: Sequence[_Ready],
        error: PlatformError,
        resend: Callable[[Target, Verb, Sequence[_Ready]], float],
    ) -> float:
        """The whole call surely did nothing. One refused row is told; of several the culprit is sought by halves."""
        if isinstance(error, Refused) and len(batch) == 1:
            return self._take(target, batch_id, batch, receipts_for(error, [r.row for r in batch]))
        self._back(batch_id, batch, error)
        if isinstance(error, Refused):
            middle = len(batch) // 2
            halves = [self._refreshed(batch[:middle]), self._refreshed(batch[middle:])]
            return max(resend(target, half[0].row.verb, half) for half in halves)
        if isinstance(error, AskPerson):
            raise _Stopped(error, final=True) from error
        if isinstance(error, (Wait, NotSent)):
            raise _Stopped(error, final=False) from error
        return error.retry_after or 0.0

    def _refreshed(self, batch: Sequence[_Ready]) -> list[_Ready]:
        """The same rows, with the attempt just made counted."""
        return [replace(r, entry=replace(r.entry, attempts=r.entry.attempts + 1, state=State.pending)) for r in batch]

    def _mark_sent(self, batch_id: str, batch: Sequence[_Ready], remote: str | None) -> None:
        moves = [Move(entry_id=r.entry.entry_id, to=State.sent, desired_json=r.desired_json) for r in batch]
        with self.journal.write(self.sync.name) as tx:
            self.journal.mark_sent(
                tx, batch_id=batch_id, run_id=self.run_id, entries=[r.entry for r in batch], moves=moves, remote=remote
            )
        first = batch[0]
        fresh = sum(1 for r in batch if not self._tries[r.entry.entry_id])
        with self._lock:
            self._first_rows[first.entry.connection, first.row.verb] += fresh

    def _back(self, batch_id: str, batch: Sequence[_Ready], error: PlatformError) -> None:
        """The whole call surely did nothing: its entries are pending again."""
        with self.journal.write(self.sync.name) as tx:
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
            self.journal.close_batch(tx, batch_id, type(error).__name__, answers)
            self.journal.move(
                tx, [Move(entry_id=r.entry.entry_id, to=State.pending, reason=error.message) for r in batch]
            )
        with self._lock:
            self._tries.update(r.entry.entry_id for r in batch)
            self.tallies.retried += len(batch)

    # -- receipts ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _answer(r: _Ready, receipt: Receipt) -> Answer:
        return Answer(
            entry_id=r.entry.entry_id,
            attempt=r.attempt,
            outcome=receipt.outcome.value,
            code=receipt.code,
            message=receipt.message,
            request_id=receipt.request_id,
        )

    def _take(self, target: Target, batch_id: str, batch: Sequence[_Ready], receipts: Sequence[Receipt]) -> float:
        """Write down one receipt per row, in one transaction; returns the longest pause asked for."""
        verified = verify_all_processed(batch, receipts)
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[_Ready, str]] = []
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
                    records.append(self._known(r, target_id, receipt.target_version))
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
                    self._conflicts[entry_id] = receipt
                case Outcome.conflict | Outcome.refused | Outcome.ask_person:
                    reason = message or f"refused without a reason ({receipt.code or 'no code'})"
                    moves.append(Move(entry_id=entry_id, to=State.refused, reason=reason))
                    cases.append(self._case(r, Trouble(receipt.outcome.value), reason, receipt))
        with self.journal.write(self.sync.name) as tx:
            self.journal.close_batch(
                tx, batch_id, _summary(verified), [self._answer(r, receipt) for r, receipt in verified]
            )
            self.journal.move(tx, moves)
            self.journal.remember(tx, records)
            open_cases(self.journal, tx, cases)
            self._close_done(tx, [r for r, _ in done])
        with self._lock:
            self._tries.update(again)
            self.tallies.retried += len(again)
            self.tallies.refused += len(cases)
        for (r, target_id), created in zip(done, made, strict=True):
            self._count_done(target, [(r, target_id)], created=created)
        return longest

    def _known(self, r: _Ready, target_id: str, version: str | None) -> Known:
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

    def _case(self, r: _Ready, kind: Trouble, reason: str, receipt: Receipt | None = None) -> Case:
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

    def _close_done(self, tx: Any, done: Sequence[_Ready]) -> None:
        if done:
            records = [(r.entry.connection, r.entry.key) for r in done]
            close_cases(self.journal, tx, self.sync.name, [*records, (records[0][0], "")], "succeeded")

    def _count_done(self, target: Target, done: Sequence[tuple[_Ready, str]], *, created: bool | None) -> None:
        tallies = self.tallies
        with self._lock:
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

    # -- vendor jobs ------------------------------------------------------------------------------------------------

    def _send_job(self, target: Any, verb: Verb, part: Sequence[_Ready]) -> float:
        if self._halt.is_set():
            return 0.0
        batch_id = self.journal.ids()
        try:
            handle = target.open_job(
                self.sync.object, verb, key_field=self._key_field, batch_id=batch_id, rows=len(part)
            )
        except PlatformError as error:
            # Opening a job changes no record, so nothing is in doubt.
            raise _Stopped(error, final=isinstance(error, (Refused, AskPerson))) from error
        self._mark_sent(batch_id, part, remote=handle.remote)
        try:
            target.submit_job(handle, [r.row for r in part])
        except BadAnswer as error:
            # The rows may have arrived; the job stays journalled and is asked for by a later run.
            raise _Stopped(error, final=True) from error
        except Uncertain:
            pass
        except PlatformError as error:
            return self._call_failed(target, batch_id, part, error, self._send_job)
        return self._finish_job(handle, part)

    def _finish_job(self, handle: JobHandle, batch: Sequence[_Ready]) -> float:
        """Ask for a job's results until they are there; out of patience -> the entries stay `sent`, for a later run."""
        target: Any = self.target(handle.connection)
        rows = [r.row for r in batch]
        pause = self.patience.job_pause
        for _ in range(self.patience.job_looks):
            receipts = target.reattach(handle, rows)
            if receipts is not None:
                return self._take(target, handle.batch_id, batch, receipts)
            self.sleep(pause)
            pause = min(pause * 1.5, self.patience.longest_pause)
        raise Wait(
            f"job {handle.remote} of {len(rows)} rows is still running; a later run asks for its results",
            connection=handle.connection,
        )

    # -- settle -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Read confirmed entries again and compare with what was sent (H-12)."""
        self.each_connection([State.confirmed], self._settle)

    def _settle(self, connection: str) -> None:
        target, capability = self.target(connection), self.capability(connection)
        for part in self.journal.pages(self.sync.name, [State.confirmed], connection=connection):
            latest = self.journal.writers(self.sync.name, connection, [e.key for e in part])
            overtaken = [e for e in part if latest.get(e.key) != e.entry_id]
            if overtaken:
                with self.journal.write(self.sync.name) as tx:
                    self.journal.move(
                        tx,
                        [Move(entry_id=e.entry_id, to=State.settled, reason="written again since") for e in overtaken],
                    )
            current = [e for e in part if latest.get(e.key) == e.entry_id]
            for chunk in chunked(self.rows_even_if_unresolved(current), max(1, capability.max_find)):
                self._compare(target, capability, chunk)

    def _compare(self, target: Target, capability: Capability, chunk: Sequence[_Ready]) -> None:
        names = sorted({name for r in chunk for name in r.row.fields})
        ids = sorted({str(r.entry.target_id) for r in chunk})
        found = dict(target.find(self.sync.object, TARGET_ID, ids, names))
        doubtful = [r for r in chunk if self._difference(r, found[str(r.entry.target_id)])]
        if doubtful and capability.find_lag_seconds > 0:
            self.sleep(capability.find_lag_seconds)
            ids = sorted({str(r.entry.target_id) for r in doubtful})
            found.update(target.find(self.sync.object, TARGET_ID, ids, names))
        judged = [(r, found[str(r.entry.target_id)]) for r in chunk]
        different = [
            (r, there, *difference) for r, there in judged if (difference := self._difference(r, there)) is not None
        ]
        told = told_of(self.journal, [r.entry.entry_id for r, *_ in different], (Trouble.mismatch, Trouble.missing))
        odd = {r.entry.entry_id for r, *_ in different}
        moves = [Move(entry_id=r.entry.entry_id, to=State.settled) for r in chunk if r.entry.entry_id not in odd]
        fine = [(r.entry.connection, r.entry.key) for r in chunk if r.entry.entry_id not in odd]
        cases: list[Case] = []
        drifts: list[tuple[_Ready, dict[str, Any]]] = []
        for r, there, kind, reason, diff in different:
            entry, earlier = r.entry, told.get(r.entry.entry_id)
            as_told = earlier is not None and (earlier.kind, earlier.diff_json) == (kind.value, dump(diff))
            if earlier is not None and as_told and earlier.closed_at is not None:
                # A person has looked at just this difference and closed it; it is not told again.
                accepted = f"{reason}; accepted ({earlier.decision}) by {earlier.decided_by}: {earlier.note or '-'}"
                moves.append(Move(entry_id=entry.entry_id, to=State.settled, reason=accepted))
                continue
            if kind is Trouble.mismatch and not as_told and self._is_drift(r, there[0], earlier):
                kind, read_at = Trouble.drift, self.journal.clock()
                reason = (
                    f"{reason}. It was written {_second(entry.confirmed_at)}, there it was changed "
                    f"{there[0].version or 'at a time it does not tell'}, read {_second(read_at)}; "
                    "it stays as it is there"
                )
                moves.append(Move(entry_id=entry.entry_id, to=State.settled, reason=reason))
                fine.append((entry.connection, entry.key))
                detail = {"target_id": entry.target_id, "written_at": entry.confirmed_at, "read_at": read_at}
                drifts.append((r, {**detail, "changed_at": there[0].version, "sent_and_there": diff}))
            case = self._case(r, kind, reason)
            cases.append(replace(case, diff=diff, attempts=entry.attempts))
        with self.journal.write(self.sync.name) as tx:
            self.journal.move(tx, moves)
            close_cases(self.journal, tx, self.sync.name, fine, "settled", (Trouble.mismatch, Trouble.missing))
            open_cases(self.journal, tx, cases)
            for r, what in drifts:
                where = {"sync": self.sync.name, "connection": r.entry.connection, "entry_id": r.entry.entry_id}
                self.journal.note(tx, "drift", detail=dump(what), run_id=self.run_id, **where)
        with self._lock:
            self.tallies.settled += len(moves)
            self.tallies.drifted += len(drifts)
            self.tallies.mismatched += len(cases) - len(drifts)

    def _is_drift(self, r: _Ready, there: Found, earlier: Exceptional | None) -> bool:
        """Did somebody change the record after it was made, where making it was all we may do (O-1, O-2)? Then theirs
        is the last word. A record that never held what was sent is the platform's doing, and a mismatch."""
        entry = r.entry
        if self.sync.mode is not Mode.create:
            return False
        if entry.reason is not None or earlier is not None:
            # It was found there rather than made by this call; or it differs from what was told the last time.
            return True
        if entry.target_version is not None and there.version is not None:
            return entry.target_version != there.version
        return entry.confirmed_at is not None and entry.confirmed_at < self._began

    @staticmethod
    def _difference(r: _Ready, there: tuple[Found, ...]) -> tuple[Trouble, str, dict[str, list[Value]]] | None:
        """How what is there differs from what was sent; fields the target did not give back are not judged."""
        if not there:
            return Trouble.missing, f"record {r.entry.target_id} was confirmed, but cannot be found", {}
        held = there[0].fields
        diff = {
            name: [value, held[name]]
            for name, value in r.row.fields.items()
            if name in held and not same(value, held[name])
        }
        if not diff:
            return None
        told = "; ".join(
            f"{name}: sent {sent}, there is {is_there}" for name, (sent, is_there) in list(diff.items())[:5]
        )
        return Trouble.mismatch, f"record {r.entry.target_id} differs from what was sent: {told}", diff


def verify_all_processed(batch: Sequence[_Ready], receipts: Sequence[Receipt]) -> list[tuple[_Ready, Receipt]]:
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
    verified: list[tuple[_Ready, Receipt]] = []
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


def _as_uncertain(error: PlatformError) -> Uncertain:
    return Uncertain(error.message, code=error.code, request_id=error.request_id, connection=error.connection)


def _second(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else "at an unknown time"


def _summary(verified: Sequence[tuple[_Ready, Receipt]]) -> str:
    counted = Counter(receipt.outcome.value for _, receipt in verified)
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counted.items()))


def _peek(items: Iterator[T], count: int) -> tuple[list[T], Iterator[T]]:
    """The first `count` items, and an iterator that still has them all."""
    head = list(islice(items, count))
    return head, chain(head, items)
