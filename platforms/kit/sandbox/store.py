"""A sandbox's memory: one SQLite file that the HTTP server, the world and the tests open at the same time.

One connection per thread; writers take turns (BEGIN IMMEDIATE), readers never wait (WAL). Every transaction that
changed something moves the logical clock by a millisecond before it commits.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OWN_TABLES = """
CREATE TABLE IF NOT EXISTS _meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _clock (id INTEGER PRIMARY KEY CHECK (id = 1), at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS _numbers (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO _clock (id, at_ms) VALUES (1, 1767600000000);
"""
# 1767600000000 ms is 2026-01-05T08:00:00Z, a Monday: where a sandbox's time begins unless its room sets it.

Params = Sequence[Any] | Mapping[str, Any]


class _Local(threading.local):
    connection: sqlite3.Connection | None = None
    depth: int = 0
    changes: int = 0


class Meta:
    """Small facts about the sandbox as JSON values by key: `store.meta["org_id"]`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, key: str) -> Any:
        rows = self._store.read("SELECT value FROM _meta WHERE key = ?", (key,))
        if not rows:
            raise KeyError(key)
        return json.loads(rows[0]["value"])

    def __setitem__(self, key: str, value: Any) -> None:
        self._store.write(
            "INSERT INTO _meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, json.dumps(value, sort_keys=True)),
        )

    def __contains__(self, key: object) -> bool:
        return bool(self._store.read("SELECT 1 AS yes FROM _meta WHERE key = ?", (key,)))

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default


class Store:
    """One sandbox's SQLite file at `path`. `synchronous` OFF trades safety against power loss for speed (demo only)."""

    def __init__(self, path: Path, *, synchronous: str = "NORMAL") -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._synchronous = synchronous
        self._local = _Local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self.meta = Meta(self)
        self.script(_OWN_TABLES)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, for what `read` and `write` do not offer."""
        if self._local.connection is None:
            connection = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            connection.execute("PRAGMA busy_timeout = 30000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA cache_size = -32768")
            with self._lock:
                self._all.append(connection)
            self._local.connection = connection
        return self._local.connection

    @contextmanager
    def transaction(self) -> Iterator[Store]:
        """All or nothing. The outermost waits for other writers; a nested one is a savepoint that may fail alone."""
        connection, local = self.connection, self._local
        if local.depth:
            name = f"nested_{local.depth}"
            connection.execute(f"SAVEPOINT {name}")
            local.depth += 1
            try:
                yield self
            except BaseException:
                connection.execute(f"ROLLBACK TO {name}")
                connection.execute(f"RELEASE {name}")
                raise
            else:
                connection.execute(f"RELEASE {name}")
            finally:
                local.depth -= 1
            return
        connection.execute("BEGIN IMMEDIATE")
        local.depth, local.changes = 1, connection.total_changes
        try:
            yield self
            if connection.total_changes != local.changes:
                connection.execute("UPDATE _clock SET at_ms = at_ms + 1 WHERE id = 1")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            local.depth = 0

    def read(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        """All rows of a query as dicts."""
        return list(self.iterate(sql, params))

    def one(self, sql: str, params: Params = ()) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        cursor = self.connection.execute(sql, params)
        row = cursor.fetchone()
        return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))

    def iterate(self, sql: str, params: Params = ()) -> Iterator[dict[str, Any]]:
        """The rows of a query one by one, with flat memory. Do not write to the same tables while iterating."""
        cursor = self.connection.execute(sql, params)
        names = [column[0] for column in cursor.description or ()]
        for row in cursor:
            yield dict(zip(names, row, strict=True))

    def write(self, sql: str, params: Params = ()) -> sqlite3.Cursor:
        """Run one statement, in a transaction of its own when none is open; the cursor tells rowcount and lastrowid."""
        if self._local.depth:
            return self.connection.execute(sql, params)
        with self.transaction():
            return self.connection.execute(sql, params)

    def write_many(self, sql: str, rows: Iterable[Params]) -> None:
        """Run one statement for many rows; streams."""
        with self.transaction():
            self.connection.executemany(sql, rows)

    def script(self, sql: str) -> None:
        """Run several statements without parameters (schema). Commits; not for use inside a transaction."""
        if self._local.depth:
            raise RuntimeError("Store.script commits; call it outside a transaction")
        self.connection.executescript(f"BEGIN IMMEDIATE; {sql} COMMIT;")

    def next_number(self, name: str, count: int = 1, *, start: int = 1) -> int:
        """The first of `count` numbers of the sequence `name`, never given twice; the sequence begins at `start`."""
        with self.transaction():
            row = self.connection.execute(
                "INSERT INTO _numbers (name, last) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET last = last + ? RETURNING last",
                (name, start + count - 1, count),
            ).fetchone()
        return int(row[0]) - count + 1

    def digest(self, only: Callable[[str], bool] = lambda table: True) -> str:
        """A hash over every row of every table (that `only` accepts), in key order: equal digests, equal sandboxes."""
        seen = hashlib.blake2b(digest_size=16)
        tables = self.read("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql NOT NULL ORDER BY name")
        for table in filter(lambda found: only(found["name"]), tables):
            seen.update(f"{table['name']}\n{table['sql']}\n".encode())
            order = "" if "WITHOUT ROWID" in table["sql"].upper() else " ORDER BY rowid"
            for row in self.connection.execute(f'SELECT * FROM "{table["name"]}"{order}'):
                seen.update(repr(row).encode())
        return seen.hexdigest()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = _Local()
