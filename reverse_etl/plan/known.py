"""Known records in columns, so that a plan over millions of them does not unpack millions of JSON texts each time.

The journal is the truth. Beside it, one Parquet file per sync holds the known records as they were at some revision of
the journal, already unpacked; the journal is asked only for what changed since. Deleting the files costs time, nothing
else. A file of another journal, of other fields, or newer than the journal is not used.

Nothing is held in Python: records flow in batches from the journal into DuckDB, or straight into the file, which DuckDB
then reads as it compares.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from reverse_etl.journal.store import Journal
from reverse_etl.sync import SyncSettings

WORTH_KEEPING = 20_000
"""Records read from the journal before the file is written anew; fewer are unpacked in less time than a file takes."""
_PLAIN = ("connection", "key", "target_id", "target_version")


@dataclass(frozen=True, kw_only=True)
class _File:
    """The kept records of one sync: where, and what is written in it to tell that it fits."""

    path: Path
    journal: str
    fields: str

    def revision(self) -> int | None:
        """The revision it was kept at; None if there is none that fits."""
        if not self.path.exists():
            return None
        query = "select value from parquet_kv_metadata(?) where key = 'tieout'"
        try:
            with duckdb.connect() as db:
                found = db.execute(query, [str(self.path)]).fetchall()
            stamp = json.loads(found[0][0])
        except (duckdb.Error, ValueError, IndexError):
            # A torn file is only a lost saving; it is written anew.
            return None
        if (stamp.get("journal"), stamp.get("fields")) != (self.journal, self.fields):
            return None
        return int(stamp["revision"])

    @property
    def rows(self) -> str:
        return f"read_parquet({_literal(str(self.path))})"

    def write(self, db: Any, query: str, revision: int) -> None:
        """Keep what a query gives, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        stamp = json.dumps({"journal": self.journal, "fields": self.fields, "revision": revision})
        try:
            db.execute(
                f"copy ({query}) to {_literal(str(draft))}"
                f" (format parquet, row_group_size 50_000, kv_metadata {{tieout: {_literal(stamp)}}})"
            )
            os.replace(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)


def load_known(db: Any, journal: Journal, sync: SyncSettings, fields: Sequence[str], folder: Path | None) -> int:
    """Make the relation `known` on a planning connection; returns how many records it has.

    One row per known record: connection, key, target_id, target_version, and f0, f1, ... the texts of `fields`. Most of
    them come from the file in `folder`, if it fits; without a folder all are unpacked from the journal.
    """
    # Read before the records: what is written in between is in both, and that does no harm.
    revision = journal.revision(sync.name)
    file = kept = None
    if folder is not None:
        digest = hashlib.sha256("\n".join(sorted(fields)).encode()).hexdigest()[:16]
        file = _File(path=folder / f"{sync.name}.parquet", journal=journal.identity, fields=digest)
        kept = file.revision()
        kept = None if kept is None or kept > revision else kept
    after = -1 if kept is None else kept
    count = journal.known_count(sync.name, after)
    if count or file is None or kept is None:
        with journal.known_stream(sync.name, after) as reader:
            db.register("known_arrow", reader)
            try:
                if file is not None and kept is None and count >= WORTH_KEEPING:
                    file.write(db, _unpacked(fields), revision)
                    kept, count = revision, 0
                else:
                    db.execute(f"create table fresh as {_unpacked(fields)}")
            finally:
                db.unregister("known_arrow")
    if file is None or kept is None:
        rows = "from fresh"
    elif not count:
        rows = f"from {file.rows}"
    else:
        overruled = "from fresh as f where f.connection = p.connection and f.key = p.key"
        rows = f"from fresh union all by name from {file.rows} as p where not exists ({overruled})"
        if count >= WORTH_KEEPING:
            file.write(db, rows, revision)
            db.execute("drop table fresh")
            rows = f"from {file.rows}"
    renamed = ", ".join(f"{_kept(name)} as f{i}" for i, name in enumerate(fields))
    db.execute(f"create view known as select {', '.join(_PLAIN)}, {renamed} from ({rows})")
    return int(db.execute("select count(*) from known").fetchall()[0][0])


def _unpacked(fields: Sequence[str]) -> str:
    """Records as they come from the journal, one column per field."""
    shape = json.dumps(dict.fromkeys(fields, "VARCHAR"), ensure_ascii=False)
    columns = ", ".join(f"s[{_literal(name)}] as {_kept(name)}" for name in fields)
    return (
        f"select {', '.join(_PLAIN)}, {columns}"
        f" from (select *, json_transform(fields_json, {_literal(shape)}) as s from known_arrow)"
    )


def _kept(field: str) -> str:
    """The column of a field. Set apart from the columns every record has; fields may be called anything."""
    return '"field ' + field.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
