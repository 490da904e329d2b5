"""Looking before sending again: what nobody knows is read back, what might be there already is looked for first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reverse_etl.dispatch.parking import Parking
from reverse_etl.dispatch.work import Ready, Work
from reverse_etl.exceptions.desk import Case, Trouble, open_cases
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Known, Move, chunked
from reverse_etl.sync import Mode
from reverse_etl.targets.base import (
    TARGET_ID,
    Capability,
    Found,
    KeyedByOthers,
    Target,
    Verb,
)
from reverse_etl.values import same


class ReadBack:
    """See the module."""

    def __init__(self, work: Work, parking: Parking) -> None:
        self.work = work
        self.parking = parking

    # -- after a lost answer ----------------------------------------------------------------------------------------

    def resolve(self) -> None:
        """Read back every uncertain entry. Those of a connection that cannot be read stay uncertain."""
        self.work.each_connection([State.uncertain], self.of_connection)

    def of_connection(self, connection: str) -> None:
        target, capability = self.work.target(connection), self.work.capability(connection)
        for part in self.work.journal.pages(self.work.sync.name, [State.uncertain], connection=connection):
            # References were known when it was sent; a parked move is impossible for an uncertain entry, so an entry
            # whose reference has vanished since is compared without it.
            ready = self.parking.rows_even_if_unresolved(part)
            for chunk in chunked(ready, max(1, capability.max_find)):
                found = self._look_back(target, capability, chunk)
                self._conclude(target, chunk, found)

    def if_needed(self, connection: str) -> None:
        if connection in self.work.journal.connections(self.work.sync.name, [State.uncertain]):
            self.of_connection(connection)

    def _look_back(
        self, target: Target, capability: Capability, chunk: Sequence[Ready]
    ) -> dict[str, tuple[Found, ...]]:
        found = self._look_once(target, chunk)
        missing = [r for r in chunk if not found[r.entry.entry_id]]
        if missing and capability.find_lag_seconds > 0:
            self.work.sleep(capability.find_lag_seconds)
            found.update(self._look_once(target, missing))
        return found

    def _look_once(self, target: Target, chunk: Sequence[Ready]) -> dict[str, tuple[Found, ...]]:
        names = sorted({name for r in chunk for name in r.row.fields})
        found: dict[str, tuple[Found, ...]] = {}
        creates = [r.row for r in chunk if r.row.verb is Verb.create]
        if creates:
            back = target.read_back(self.work.sync.object, creates, key_field=self.work.key_field, fields=names)
            found.update({row.entry_id: tuple(back[row.entry_id]) for row in creates})
        updates = [r.row for r in chunk if r.row.verb is Verb.update]
        if updates:
            by_id = target.find(self.work.sync.object, TARGET_ID, sorted({str(r.target_id) for r in updates}), names)
            found.update({row.entry_id: tuple(by_id[str(row.target_id)]) for row in updates})
        return found

    def _conclude(self, target: Target, chunk: Sequence[Ready], found: Mapping[str, tuple[Found, ...]]) -> None:
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[Ready, str]] = []
        for r in chunk:
            there = found[r.entry.entry_id]
            conflict = self.work.conflicts.pop(r.entry.entry_id, None)
            if len(there) > 1:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"{len(there)} records carry the key {r.entry.key}: {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self.work.case(r, Trouble.duplicate, reason))
            elif not there and conflict is not None:
                reason = conflict.message or "the platform says it exists, but no record carries our key"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self.work.case(r, Trouble.conflict, reason, conflict))
            elif not there:
                reason = "read back: not there"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.pending, reason=reason))
            else:
                moves.append(self._found(r, there[0]))
                if moves[-1].to is State.confirmed:
                    records.append(self.work.known(r, there[0].target_id, there[0].version))
                    done.append((r, there[0].target_id))
        self._keep(moves, records, cases, [r for r, _ in done])
        self.work.count_done(target, done, created=None)

    def _keep(
        self,
        moves: Sequence[Move],
        records: Sequence[Known],
        cases: Sequence[Case],
        done: Sequence[Ready],
        turned: Sequence[Move] = (),
    ) -> None:
        """What a look at the platform taught, in one transaction; `turned` are creates that become updates."""
        with self.work.journal.write(self.work.sync.name) as tx:
            self.work.journal.move(tx, moves)
            if turned:
                self.work.journal.turn_into_updates(tx, turned)
            self.work.journal.remember(tx, records)
            open_cases(self.work.journal, tx, cases)
            self.work.close_done(tx, done)
        with self.work.lock:
            self.work.tallies.refused += len(cases)
            self.work.tallies.confirmed_by_read_back += len(done)

    def _found(self, r: Ready, there: Found) -> Move:
        """One record is there: is it what we wanted, or does it take another update?"""
        create_only = {self.work.sync.fields[c] for c in self.work.sync.create_only}
        is_same = all(
            same(value, there.fields[name])
            for name, value in r.row.fields.items()
            if name in there.fields and name not in create_only
        )
        adopting = r.row.verb is Verb.update and r.row.adopt
        if (is_same and not adopting) or (r.row.verb is Verb.create and self.work.sync.mode is Mode.create):
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

    # -- before a write ---------------------------------------------------------------------------------------------

    def unclaimed(self, target: Target, chunk: Sequence[Ready]) -> list[Ready]:
        """Of records to adopt, those that still need a write: our key, or fields that differ. A record that carries our
        key already, or somebody else's that stays, and holds what is wanted is taken over without a call; a key that
        another record carries is told."""
        names = sorted({name for r in chunk for name in r.row.fields})
        found = target.find(self.work.sync.object, self.work.sync.key_field, [r.row.key for r in chunk], names)
        foreign, by_id = self._keyed_by_others(target, [r for r in chunk if not found[r.row.key]], names)
        needed: list[Ready] = []
        moves: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[Ready] = []
        for r in chunk:
            kept = foreign.get(r.entry.entry_id)
            there = found[r.row.key] if kept is None else by_id[str(r.row.target_id)]
            if not there:
                needed.append(r)
            elif [f.target_id for f in there] != [r.row.target_id]:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"record {r.row.target_id} was to be taken over, but the key {r.row.key} is carried by {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self.work.case(r, Trouble.duplicate, reason))
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
                records.append(self.work.known(r, there[0].target_id, there[0].version))
                done.append(r)
            else:
                needed.append(replace(r, row=replace(r.row, adopt=False)))
        if moves:
            self._keep(moves, records, cases, done)
        return needed

    def _keyed_by_others(
        self, target: Target, chunk: Sequence[Ready], names: Sequence[str]
    ) -> tuple[Mapping[str, str], Mapping[str, tuple[Found, ...]]]:
        """Of records to adopt, those whose key somebody else gave (entry -> that key), and how they are now, by id.
        One that is gone meanwhile is told by the platform when it is written to, so it does not count."""
        if not chunk or not isinstance(target, KeyedByOthers):
            return {}, {}
        foreign = target.keys_of_others(
            self.work.sync.object, [r.row for r in chunk], key_field=self.work.sync.key_field
        )
        ids = sorted({str(r.row.target_id) for r in chunk if r.entry.entry_id in foreign})
        return foreign, target.find(self.work.sync.object, TARGET_ID, ids, names) if ids else {}

    def absent(self, target: Target, chunk: Sequence[Ready]) -> list[Ready]:
        """Of new records, those that are surely not there. The others are adopted, or told as duplicates."""
        names = sorted({name for r in chunk for name in r.row.fields})
        found = target.find(self.work.sync.object, self.work.sync.key_field, [r.row.key for r in chunk], names)
        absent = [r for r in chunk if not found[r.row.key]]
        present = [r for r in chunk if found[r.row.key]]
        moves: list[Move] = []
        turned: list[Move] = []
        records: list[Known] = []
        cases: list[Case] = []
        done: list[tuple[Ready, str]] = []
        for r in present:
            there = found[r.row.key]
            if len(there) > 1:
                ids = ", ".join(sorted(f.target_id for f in there))
                reason = f"{len(there)} records carry the key {r.entry.key}: {ids}"
                moves.append(Move(entry_id=r.entry.entry_id, to=State.refused, reason=reason))
                cases.append(self.work.case(r, Trouble.duplicate, reason))
                continue
            move = self._found(r, there[0])
            if move.to is State.confirmed:
                moves.append(move)
                records.append(self.work.known(r, there[0].target_id, there[0].version))
                done.append((r, there[0].target_id))
            else:
                turned.append(move)
        if moves or turned:
            self._keep(moves, records, cases, [r for r, _ in done], turned)
            self.work.count_done(target, done, created=False)
        return absent
