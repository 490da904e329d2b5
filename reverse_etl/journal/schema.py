"""The journal's tables, and the steps that bring an older journal up to date.

SQLite (one machine) and PostgreSQL (a team) hold the same tables. Money is text on SQLite, because its numbers are
floats, and NUMERIC without a scale on PostgreSQL, because a scale rounds; times are ISO text there, timestamptz on
PostgreSQL. Texts have no length: SQLite ignores one, and PostgreSQL would refuse a receipt over it. Every version of
the schema is a list of statements run once, in order, inside one transaction; `schema_versions` remembers which.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    TypeDecorator,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy import DateTime as SqlDateTime

from reverse_etl.journal.states import OPEN

metadata = MetaData()


class Money(TypeDecorator[Decimal]):
    """Decimal, exact on both databases."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """Aware UTC datetime; fixed-width ISO text on SQLite, so that text order is time order."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(SqlDateTime(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("journal times are aware; a naive datetime came in")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromisoformat(value)


class Told(TypeDecorator[str]):
    """What a platform said, as far as a database can hold it: PostgreSQL refuses a NUL, both refuse half a surrogate.

    A receipt must be written down whatever is in its message; losing it would leave its entry in doubt for ever.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(value)


schema_versions = Table(
    "schema_versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("applied_at", UtcTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("outcome", Text),
    Column("report_json", Text),
)

plans = Table(
    "plans",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("sync", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("counts_json", Text, nullable=False),
    Column("types_json", Text, nullable=False, comment="platform field -> kind of value, to read fields_json back"),
    Column("brake", Text),
)

entries = Table(
    "entries",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, comment="order of the plan, also the order of sending"),
    Column("plan_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("sync", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("adopt", Integer, nullable=False, default=0),
    Column("state", Text, nullable=False),
    Column("hold_kind", Text, comment="model, approval, brake or frozen, while held"),
    Column("reason", Told),
    Column("fields_json", Text, nullable=False, comment="platform field -> value to write; money as text"),
    Column("before_json", Text, comment="the same fields as we last wrote them"),
    Column("desired_json", Text, comment="all owned fields once this is done; null = fields_json"),
    Column("desired_digest", Text, nullable=False),
    Column("target_id", Text),
    Column("target_version", Text),
    Column("batch_id", Text),
    Column("attempts", Integer, nullable=False, default=0),
    Column("amount", Money),
    Column("currency", Text),
    Column("owner", Text),
    Column("source_refs", Text),
    Column("approved_by", Text),
    Column("approved_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Column("confirmed_at", UtcTime),
    Column("settled_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
)
_open = text("state in (" + ", ".join(f"'{state}'" for state in sorted(OPEN)) + ")")
Index("entries_by_state", entries.c.sync, entries.c.state, entries.c.ordinal)
Index("entries_by_key", entries.c.sync, entries.c.connection, entries.c.key)
Index("entries_by_target", entries.c.target_id)
Index("entries_by_batch", entries.c.batch_id)
Index(
    "entries_one_open",
    entries.c.sync,
    entries.c.connection,
    entries.c.key,
    unique=True,
    sqlite_where=_open,
    postgresql_where=_open,
)

known_records = Table(
    "known_records",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("connection", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("target_id", Text, nullable=False),
    Column("fields_json", Text, nullable=False, comment="platform field -> value as last confirmed"),
    Column("target_version", Text),
    Column("written_at", UtcTime, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("revision", Integer, nullable=False, comment="the sync's revision that wrote it"),
)
Index("known_by_revision", known_records.c.sync, known_records.c.revision)
Index("known_by_target", known_records.c.target_id)

batches = Table(
    "batches",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("sync", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("remote", Text, comment="a vendor job's own id, to ask for its results again"),
    Column("opened_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("outcome", Text),
)

attempts = Table(
    "attempts",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("batch_id", Text, nullable=False),
    Column("sent_at", UtcTime, nullable=False),
    Column("answered_at", UtcTime),
    Column("outcome", Text),
    Column("code", Told),
    Column("message", Told),
    Column("request_id", Told),
)
Index("attempts_by_batch", attempts.c.batch_id)

exceptions = Table(
    "exceptions",
    metadata,
    Column("exception_id", Text, primary_key=True),
    Column("sync", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("key", Text, nullable=False, comment="'' = the whole connection"),
    Column("entry_id", Text),
    Column("target_id", Text),
    Column("kind", Text, nullable=False),
    Column("code", Told),
    Column("reason", Told, nullable=False),
    Column("cause", Text, nullable=False, comment="the same for the same trouble with other records"),
    Column("fields", Told),
    Column("diff_json", Told, comment="field -> [before, wanted]"),
    Column("owner", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
    Column("decision", Text),
    Column("decided_by", Text),
    Column("note", Told),
)
_exception_open = text("closed_at is null")
Index("exceptions_by_cause", exceptions.c.sync, exceptions.c.cause)
Index(
    "exceptions_one_open",
    exceptions.c.sync,
    exceptions.c.connection,
    exceptions.c.key,
    exceptions.c.kind,
    unique=True,
    sqlite_where=_exception_open,
    postgresql_where=_exception_open,
)

events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("run_id", Text),
    Column("sync", Text),
    Column("connection", Text),
    Column("entry_id", Text),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("detail_json", Told),
)

revisions = Table(
    "revisions",
    metadata,
    Column("sync", Text, primary_key=True),
    Column("revision", Integer, nullable=False, comment="moves with every change of the sync's entries or records"),
)


def _version_1(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _version_1}
"""Version -> what brings the version before it up to this one. Append; never edit one that has been released."""


class JournalTooNew(Exception):
    """The journal was written by a newer Tieout; use that one, or another journal."""


def migrate(connection: Connection, now: datetime) -> int:
    """Bring the journal to the newest version inside the caller's transaction; returns that version.

    A journal with a version this code does not know -> JournalTooNew; nothing is changed.
    """
    newest = max(MIGRATIONS)
    done: set[int] = set()
    if connection.dialect.name == "postgresql":
        # Two processes may open a new journal at once; SQLite's write turn keeps them apart by itself.
        connection.execute(text("select pg_advisory_xact_lock(hashtextextended('tieout:migrate', 0))"))
    if inspect(connection).has_table(schema_versions.name):
        done = set(connection.execute(select(schema_versions.c.version)).scalars())
    if done and max(done) > newest:
        raise JournalTooNew(f"the journal has version {max(done)}, this Tieout knows {newest}")
    for version in sorted(set(MIGRATIONS) - done):
        MIGRATIONS[version](connection)
        connection.execute(insert(schema_versions).values(version=version, applied_at=now))
    return newest
