"""Entries become rows: references are replaced by target ids; what refers to something unknown is parked meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from reverse_etl.dispatch.work import Ready, Work
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Entry, Move
from reverse_etl.sync import Mode
from reverse_etl.targets.base import (
    Verb,
    WriteRow,
)
from reverse_etl.values import dump, load, typed_fields


class Parking:
    """See the module."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def rows(self, entries: Sequence[Entry]) -> tuple[list[Ready], list[Move]]:
        """Entries as rows, references replaced by target ids; those that must wait for one come back as moves."""
        references = self.work.sync.field_references()
        optional = {self.work.sync.fields[c] for c in self.work.sync.optional_references}
        create_only = {self.work.sync.fields[c] for c in self.work.sync.create_only}
        values = [typed_fields(entry.fields_json, self.work.kinds_of(entry.plan_id)) for entry in entries]
        wanted: dict[str, set[str]] = {}
        for fields in values:
            for name, other in references.items():
                if fields.get(name) is not None:
                    wanted.setdefault(other, set()).add(str(fields[name]))
        known = {other: self.work.journal.targets_of(other, keys) for other, keys in wanted.items()}
        ready: list[Ready] = []
        parked: list[Move] = []
        for entry, fields in zip(entries, values, strict=True):
            verb = Verb(entry.verb)
            if entry.adopt and self.work.sync.mode is Mode.create:
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
            ready.append(Ready(entry, row, self._without(entry, left_out)))
        return ready, parked

    @staticmethod
    def _without(entry: Entry, left_out: Sequence[str]) -> str | None:
        """What will be known once sent without some references: they stay to be done."""
        if not left_out:
            return None
        return dump({**load(entry.desired_json or entry.fields_json), **dict.fromkeys(left_out)})

    def rows_even_if_unresolved(self, entries: Sequence[Entry]) -> list[Ready]:
        """`rows`, with an entry whose references cannot be resolved kept, bare of them."""
        ready, parked = self.rows(entries)
        waiting = {move.entry_id for move in parked}
        references = self.work.sync.field_references()
        for entry in entries:
            if entry.entry_id in waiting:
                fields = typed_fields(entry.fields_json, self.work.kinds_of(entry.plan_id))
                plain = {n: v for n, v in fields.items() if n not in references and v is not None}
                ready.append(
                    Ready(
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

    def release(self) -> int:
        """Parked entries whose references are known by now become pending; returns how many."""
        released = 0
        for part in self.work.journal.pages(self.work.sync.name, [State.parked]):
            ready, _ = self.rows(part)
            if ready:
                with self.work.journal.write(self.work.sync.name) as tx:
                    self.work.journal.move(
                        tx,
                        [
                            Move(entry_id=r.entry.entry_id, to=State.pending, reason="what it waited for is there")
                            for r in ready
                        ],
                    )
                released += len(ready)
        return released
