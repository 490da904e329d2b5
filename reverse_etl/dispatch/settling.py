"""Confirmed entries are read again and compared with what was sent: settled, drifted, or a question for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reverse_etl.dispatch.parking import Parking
from reverse_etl.dispatch.work import Ready, Work
from reverse_etl.exceptions.desk import Case, Exceptional, Trouble, close_cases, open_cases, told_of
from reverse_etl.journal.states import State
from reverse_etl.journal.store import Move, chunked
from reverse_etl.sync import Mode
from reverse_etl.targets.base import (
    TARGET_ID,
    Capability,
    Found,
    Target,
    Value,
)
from reverse_etl.values import dump, same


class Settling:
    """See the module."""

    def __init__(self, work: Work, parking: Parking) -> None:
        self.work = work
        self.parking = parking

    def settle(self) -> None:
        """Read confirmed entries again and compare with what was sent (H-12)."""
        self.work.each_connection([State.confirmed], self._settle)

    def _settle(self, connection: str) -> None:
        target, capability = self.work.target(connection), self.work.capability(connection)
        for part in self.work.journal.pages(self.work.sync.name, [State.confirmed], connection=connection):
            latest = self.work.journal.writers(self.work.sync.name, connection, [e.key for e in part])
            overtaken = [e for e in part if latest.get(e.key) != e.entry_id]
            if overtaken:
                with self.work.journal.write(self.work.sync.name) as tx:
                    self.work.journal.move(
                        tx,
                        [Move(entry_id=e.entry_id, to=State.settled, reason="written again since") for e in overtaken],
                    )
            current = [e for e in part if latest.get(e.key) == e.entry_id]
            for chunk in chunked(self.parking.rows_even_if_unresolved(current), max(1, capability.max_find)):
                self._compare(target, capability, chunk)

    def _compare(self, target: Target, capability: Capability, chunk: Sequence[Ready]) -> None:
        names = sorted({name for r in chunk for name in r.row.fields})
        ids = sorted({str(r.entry.target_id) for r in chunk})
        found = dict(target.find(self.work.sync.object, TARGET_ID, ids, names))
        doubtful = [r for r in chunk if self._difference(r, found[str(r.entry.target_id)])]
        if doubtful and capability.find_lag_seconds > 0:
            self.work.sleep(capability.find_lag_seconds)
            ids = sorted({str(r.entry.target_id) for r in doubtful})
            found.update(target.find(self.work.sync.object, TARGET_ID, ids, names))
        judged = [(r, found[str(r.entry.target_id)]) for r in chunk]
        different = [
            (r, there, *difference) for r, there in judged if (difference := self._difference(r, there)) is not None
        ]
        told = told_of(
            self.work.journal, [r.entry.entry_id for r, *_ in different], (Trouble.mismatch, Trouble.missing)
        )
        odd = {r.entry.entry_id for r, *_ in different}
        moves = [Move(entry_id=r.entry.entry_id, to=State.settled) for r in chunk if r.entry.entry_id not in odd]
        fine = [(r.entry.connection, r.entry.key) for r in chunk if r.entry.entry_id not in odd]
        cases: list[Case] = []
        drifts: list[tuple[Ready, dict[str, Any]]] = []
        for r, there, kind, reason, diff in different:
            entry, earlier = r.entry, told.get(r.entry.entry_id)
            as_told = earlier is not None and (earlier.kind, earlier.diff_json) == (kind.value, dump(diff))
            if earlier is not None and as_told and earlier.closed_at is not None:
                # A person has looked at just this difference and closed it; it is not told again.
                accepted = f"{reason}; accepted ({earlier.decision}) by {earlier.decided_by}: {earlier.note or '-'}"
                moves.append(Move(entry_id=entry.entry_id, to=State.settled, reason=accepted))
                continue
            if kind is Trouble.mismatch and not as_told and self._is_drift(r, there[0], earlier):
                kind, read_at = Trouble.drift, self.work.journal.clock()
                reason = (
                    f"{reason}. It was written {_second(entry.confirmed_at)}, there it was changed "
                    f"{there[0].version or 'at a time it does not tell'}, read {_second(read_at)}; "
                    "it stays as it is there"
                )
                moves.append(Move(entry_id=entry.entry_id, to=State.settled, reason=reason))
                fine.append((entry.connection, entry.key))
                detail = {"target_id": entry.target_id, "written_at": entry.confirmed_at, "read_at": read_at}
                drifts.append((r, {**detail, "changed_at": there[0].version, "sent_and_there": diff}))
            case = self.work.case(r, kind, reason)
            cases.append(replace(case, diff=diff, attempts=entry.attempts))
        with self.work.journal.write(self.work.sync.name) as tx:
            self.work.journal.move(tx, moves)
            close_cases(
                self.work.journal, tx, self.work.sync.name, fine, "settled", (Trouble.mismatch, Trouble.missing)
            )
            open_cases(self.work.journal, tx, cases)
            for r, what in drifts:
                where = {"sync": self.work.sync.name, "connection": r.entry.connection, "entry_id": r.entry.entry_id}
                self.work.journal.note(tx, "drift", detail=dump(what), run_id=self.work.run_id, **where)
        with self.work.lock:
            self.work.tallies.settled += len(moves)
            self.work.tallies.drifted += len(drifts)
            self.work.tallies.mismatched += len(cases) - len(drifts)

    def _is_drift(self, r: Ready, there: Found, earlier: Exceptional | None) -> bool:
        """Did somebody change the record after it was made, where making it was all we may do (O-1, O-2)? Then theirs
        is the last word. A record that never held what was sent is the platform's doing, and a mismatch."""
        entry = r.entry
        if self.work.sync.mode is not Mode.create:
            return False
        if entry.reason is not None or earlier is not None:
            # It was found there rather than made by this call; or it differs from what was told the last time.
            return True
        if entry.target_version is not None and there.version is not None:
            return entry.target_version != there.version
        return entry.confirmed_at is not None and entry.confirmed_at < self.work.began

    @staticmethod
    def _difference(r: Ready, there: tuple[Found, ...]) -> tuple[Trouble, str, dict[str, list[Value]]] | None:
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
        told = "; ".join(_apart(name, sent, is_there) for name, (sent, is_there) in list(diff.items())[:5])
        return Trouble.mismatch, f"record {r.entry.target_id} differs from what was sent: {told}", diff


def _apart(name: str, sent: Any, there: Any) -> str:
    """Where two values differ, for a person; of two lists the first line that does, of two objects the members."""
    if isinstance(sent, list) and isinstance(there, list):
        if len(sent) != len(there):
            return f"{name}: sent {len(sent)} lines, there are {len(there)}"
        number = next(n for n, (one, other) in enumerate(zip(sent, there, strict=True), 1) if not same(one, other))
        return _apart(f"{name}, line {number}", sent[number - 1], there[number - 1])
    if isinstance(sent, Mapping) and isinstance(there, Mapping):
        return ", ".join(
            _apart(f"{name}, {member}", value, there.get(member))
            for member, value in sent.items()
            if not same(value, there.get(member))
        )
    return f"{name}: sent {sent}, there is {there}"


def _second(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else "at an unknown time"
