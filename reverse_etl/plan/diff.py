"""One sync's desired rows against what we know to be on the platform, as one SQL statement.

Flows through: the sync model's table (DuckDB file, read only), known records and open entries (Arrow batches).
Comes out: a temporary DuckDB table `changes` with one row per desired record that is not simply unchanged, field-level
JSON texts ready for the journal, and the entries that a newer wish replaces. No Python runs per row; unchanged rows are
only counted. Memory is bounded by DuckDB's limit, beyond which it spills to disk.

How values are compared: by the model's column type. The known text is cast to that type, so 10.5 and 10.50 are one
decimal and two spellings of one instant are one timestamp; '' is null; JSON columns are compared as the texts they
were sent as. Floating-point columns are refused: money must not pass through them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from reverse_etl.journal.states import IN_DOUBT
from reverse_etl.journal.store import Journal
from reverse_etl.plan.known import load_known
from reverse_etl.sync import Approval, Mode, SyncSettings
from reverse_etl.values import Kind


class ModelError(Exception):
    """A sync model's table cannot be planned: missing column, empty or double key, wrong type. That sync only."""


@dataclass(frozen=True)
class _Column:
    name: str
    field: str
    kind: Kind
    sql_type: str


MOST_THREADS = 4
"""Threads of a comparison that was not told how many: each needs some 125 MB of its own, and a plan's limit is 1 GB."""
_UNSAFE = re.compile(r"^(FLOAT|DOUBLE|REAL)")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL text."""
    return "'" + text.replace("'", "''") + "'"


def open_snapshot(
    path: Path, database: str, *, memory_limit: str = "", threads: int = 0, spill: Path | None = None
) -> Any:
    """A DuckDB connection with the snapshot attached read-only under the name dbt knew it by (views stay valid).

    Beyond `memory_limit` it writes to a folder of its own in `spill` (by default beside the snapshot), which goes with
    the connection: two plans that shared one would read each other's files. Missing or locked file -> ModelError that
    says what to do.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("set global timezone = 'UTC'")
    # Every reader of a plan sorts; keeping the order of insertion would hold all of it in memory.
    connection.execute("set preserve_insertion_order = false")
    if memory_limit:
        connection.execute(f"set memory_limit = {literal(memory_limit)}")
    connection.execute(f"set threads = {threads or min(os.cpu_count() or 1, MOST_THREADS)}")
    folder = (spill or path.parent) / f"spill-{os.getpid()}-{id(connection)}"
    connection.execute(f"set temp_directory = {literal(str(folder))}")
    if not path.exists():
        connection.close()
        raise ModelError(f"the warehouse snapshot {path} is not there; run `tieout build` first")
    try:
        connection.execute(f"attach {literal(str(path))} as {quoted(database)} (read_only)")
    except duckdb.Error as error:
        connection.close()
        raise ModelError(f"the warehouse snapshot {path} cannot be opened: {error}") from error
    return connection


def kind_of(sql_type: str, *, is_json: bool) -> Kind | None:
    """What a DuckDB column type means for a field; None if such a column cannot be sent."""
    upper = sql_type.upper()
    if is_json:
        return Kind.json
    if upper in ("VARCHAR", "UUID") or upper.startswith("ENUM"):
        return Kind.text
    if upper.startswith("DECIMAL"):
        return Kind.decimal
    if upper in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"):
        return Kind.integer
    if upper == "BOOLEAN":
        return Kind.boolean
    if upper == "DATE":
        return Kind.date
    if upper.startswith("TIMESTAMP"):
        return Kind.timestamp
    return None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the comparison counted. `changes` are rows by action and verb, with amounts by currency."""

    desired: int
    unchanged: int
    retired: int
    known: int
    by_action: Mapping[str, int]
    amounts: Mapping[str, Mapping[str, Decimal]]
    fresh: Mapping[str, int]
    """Creates, updates and adoptions that were not let through before (what brakes look at)."""
    fresh_amounts: Mapping[str, Decimal]
    """Sum of their absolute amounts by currency."""
    digest: str


class Diff:
    """The comparison of one sync. Holds a DuckDB connection; close it, or use `with`.

    After construction: `tally`, `kinds`; then `changes()` and `replaced()` stream. `known_folder` is where known
    records are kept in columns between plans; None = nowhere.
    """

    def __init__(self, connection: Any, sync: SyncSettings, journal: Journal, known_folder: Path | None = None) -> None:
        self.sync = sync
        self._db = connection
        self._columns = self._read_columns()
        self.kinds: dict[str, str] = {c.field: c.kind.value for c in self._columns}
        self._check_keys()
        self._known = load_known(connection, journal, sync, [c.field for c in self._columns], known_folder)
        with journal.open_stream(sync.name) as reader:
            connection.register("open_arrow", reader)
            connection.execute("create table open_entries as select * from open_arrow")
            connection.unregister("open_arrow")
        self._compare()
        self.tally = self._count()

    # -- reading the model ------------------------------------------------------------------------------------------

    @property
    def _table(self) -> str:
        s = self.sync
        return ".".join(quoted(part) for part in (s.database, s.schema, s.table))

    def _read_columns(self) -> list[_Column]:
        sync = self.sync
        try:
            described = self._db.execute(f"describe select * from {self._table}").fetchall()
        except duckdb.Error as error:
            raise ModelError(f"{sync.name}: its table {self._table} cannot be read: {error}") from error
        types = {name: str(sql_type) for name, sql_type, *_ in described}
        self._types = types
        needed = {sync.key_column, "_connection", *sync.fields}
        needed |= {c for c in (sync.amount_column, sync.currency_column) if c}
        missing = sorted(needed - set(types))
        if missing:
            raise ModelError(
                f"{sync.file}: model {sync.name}: column {', '.join(missing)} of config.meta.sync is not in the table"
            )
        columns: list[_Column] = []
        for name, target in sync.fields.items():
            kind = kind_of(types[name], is_json=name in sync.json)
            if kind is None or (name in sync.references and kind is not Kind.text):
                what = "cast it to a decimal" if _UNSAFE.match(types[name]) else "cast it, or list it under json"
                what = "a reference holds the other sync's key; cast it to varchar" if name in sync.references else what
                raise ModelError(
                    f"{sync.file}: model {sync.name}: column {name} has type {types[name]}, "
                    f"which cannot be sent; {what}"
                )
            columns.append(_Column(name, target, kind, types[name]))
        if sync.amount_column and not re.match(r"DECIMAL|.*INT", types[sync.amount_column].upper()):
            raise ModelError(
                f"{sync.file}: model {sync.name}: amount column {sync.amount_column} has type "
                f"{types[sync.amount_column]}; money is DECIMAL"
            )
        return columns

    def _check_keys(self) -> None:
        key, name = quoted(self.sync.key_column), self.sync.name
        empty, total = self._db.execute(
            f"select count(*) filter (where coalesce(cast({key} as varchar), '') = ''"
            f" or coalesce(_connection, '') = ''), count(*) from {self._table}"
        ).fetchall()[0]
        if empty:
            raise ModelError(
                f"{self.sync.file}: model {name}: {empty} of {total} rows have no {self.sync.key_column} "
                "or no _connection"
            )
        doubles = self._db.execute(
            f"select _connection, cast({key} as varchar) k, count(*) n from {self._table} group by all"
            " having count(*) > 1 order by 1, 2 limit 5"
        ).fetchall()
        if doubles:
            named = ", ".join(f"{k} ({n} rows, connection {c})" for c, k, n in doubles)
            raise ModelError(f"{self.sync.file}: model {name}: {self.sync.key_column} must be unique; not so: {named}")

    # -- comparing --------------------------------------------------------------------------------------------------

    def _value(self, column: _Column, source: str = "d.") -> str:
        """The normalised desired value as SQL."""
        name = source + quoted(column.name)
        match column.kind:
            case Kind.text:
                return f"nullif(cast({name} as varchar), '')"
            case Kind.json:
                plain = column.sql_type.upper() in ("VARCHAR", "JSON")
                return f"nullif(cast({name} as varchar), '')" if plain else f"cast(to_json({name}) as varchar)"
            case Kind.timestamp:
                return f"cast({name} as timestamptz)"
            case _:
                return name

    @staticmethod
    def _json(kind: Kind, value: str) -> str:
        """A JSON literal of a normalised value, never null."""
        match kind:
            case Kind.text | Kind.json:
                made = f"cast(to_json({value}) as varchar)"
            case Kind.boolean | Kind.integer:
                made = f"cast({value} as varchar)"
            case Kind.timestamp:
                made = f"'\"' || strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ') || '\"'"
            case Kind.decimal | Kind.date:
                made = f"'\"' || cast({value} as varchar) || '\"'"
        return f"coalesce({made}, 'null')"

    def _known_value(self, column: _Column, at: str) -> str:
        text = f"k.f{at}"
        match column.kind:
            case Kind.text | Kind.json:
                return f"nullif({text}, '')"
            case Kind.timestamp:
                return f"try_cast({text} as timestamptz)"
            case Kind.decimal:
                # Wider than any money, so that a model whose scale shrinks cannot round a difference away.
                return f"try_cast({text} as decimal(38, 10))"
            case _:
                return f"try_cast({text} as {column.sql_type})"

    def _compare(self) -> None:
        sync, db, columns = self.sync, self._db, self._columns

        def reserved(name: str) -> str:
            return f"nullif(cast(d.{quoted(name)} as varchar), '')" if name in self._types else "cast(null as varchar)"

        wanted = [f"{self._value(c)} as v{i}" for i, c in enumerate(columns)]
        differs, changed, before, whole = [], [], [], []
        for i, column in enumerate(columns):
            value, old = f"v{i}", self._known_value(column, str(i))
            left = f"try_cast({value} as decimal(38, 10))" if column.kind is Kind.decimal else value
            name = literal('"' + _json_name(column.field) + '":')
            new_json = self._json(column.kind, value)
            if column.kind is Kind.decimal:
                old_json = f"coalesce('\"' || k.f{i} || '\"', 'null')"
            else:
                old_json = self._json(column.kind, old)
            if column.name in sync.create_only:
                changed.append(f"case when is_new then {name} || {new_json} end")
                whole.append(f"{name} || case when is_new then {new_json} else {old_json} end")
                continue
            differs.append(f"{left} is distinct from {old}")
            changed.append(f"case when is_new or {left} is distinct from {old} then {name} || {new_json} end")
            before.append(f"case when not is_new and {left} is distinct from {old} then {name} || {old_json} end")
            whole.append(f"{name} || {new_json}")
        invalid = " ".join(
            f"when v{i} is not null and not json_valid(v{i}) then {literal(f'column {c.name} is not valid JSON')}"
            for i, c in enumerate(columns)
            if c.kind is Kind.json
        )
        amount = (
            f"cast(d.{quoted(sync.amount_column)} as decimal(38, 10))"
            if sync.amount_column
            else "cast(null as decimal(38, 10))"
        )
        currency = (
            f"cast(d.{quoted(sync.currency_column)} as varchar)" if sync.currency_column else "cast(null as varchar)"
        )
        frozen = sync.mode is Mode.create
        update_only = sync.mode is Mode.update
        approval = sync.approval is Approval.always
        doubt = ", ".join(literal(s.value) for s in sorted(IN_DOUBT))

        # 1. joined: every desired and every known record once, unless nothing is to be said about it.
        # 2. judged: what would be done, and what holds it back. 3. matched: beside what is open in the journal already.
        # `is_new` = we have never written this record, so all of its fields are sent.
        different = " or ".join(differs) or "false"
        relinked = "false" if update_only else "d.asked_id is not null and d.asked_id <> k.target_id"
        db.execute(
            f"""
            create table changes as
            with desired as (
                select cast(d.{quoted(sync.key_column)} as varchar) as key,
                    cast(d._connection as varchar) as connection,
                    {reserved("_target_id")} as asked_id, {reserved("_hold_reason")} as hold_reason,
                    {reserved("_source_refs")} as source_refs, {amount} as amount, {currency} as currency,
                    {", ".join(wanted)}
                from {self._table} as d
            ),
            compared as (
                select coalesce(d.connection, k.connection) as connection, coalesce(d.key, k.key) as key,
                    d.key is not null as is_desired, k.key is not null as is_known, k.key is null as is_new,
                    d.asked_id, d.hold_reason, d.source_refs, d.amount, d.currency,
                    k.target_id as known_id, k.target_version,
                    d.key is not null and (k.key is null or {different}) as is_different,
                    k.key is not null and {relinked} as is_relinked,
                    {", ".join(f"v{i}, k.f{i}" for i in range(len(columns)))}
                from desired as d
                full outer join known as k on d.connection = k.connection and d.key = k.key
                where d.key is null or k.key is null or d.hold_reason is not null or {relinked} or {different}
            ),
            joined as (
                select k.* exclude ({", ".join(f"v{i}, f{i}" for i in range(len(columns)))}),
                    {f"case {invalid} end" if invalid else "cast(null as varchar)"} as invalid,
                    case when is_desired then '{{' || concat_ws(',', {", ".join(changed)}) || '}}' end as fields_json,
                    case when is_desired and is_known
                        then '{{' || concat_ws(',', {", ".join(before) or "null"}) || '}}' end as before_json,
                    case when is_desired then '{{' || concat_ws(',', {", ".join(whole)}) || '}}' end as desired_json,
                    case
                        when {"true" if update_only else "is_known"} then 'update'
                        when asked_id is not null then 'adopt'
                        else 'create'
                    end as verb_action,
                    {"key" if update_only else "coalesce(known_id, asked_id)"} as target_id
                from compared as k
            ),
            judged as (
                select *,
                    md5(concat_ws(chr(31), desired_json, fields_json, verb_action, target_id)) as desired_digest,
                    case
                        when hold_reason is not null then 'model'
                        when is_different and invalid is not null then 'model'
                        when is_relinked then 'model'
                        when {"is_different and is_known" if frozen else "false"} then 'frozen'
                        when is_different and {"true" if approval else "false"} then 'approval'
                    end as hold_kind,
                    case
                        when hold_reason is not null then hold_reason
                        when is_different and invalid is not null then invalid
                        when is_relinked then 'linked to ' || known_id || ', but the model now says ' || asked_id
                        when {"is_different and is_known" if frozen else "false"}
                            then 'changed after it was created; this sync only creates'
                        when is_different and {"true" if approval else "false"} then 'waits for approval'
                    end as why_held
                from joined
            ),
            matched as (
                select j.*, o.entry_id as open_id, o.state as open_state, o.hold_kind as open_hold_kind,
                    o.reason as open_reason, coalesce(o.approved, false) as approved,
                    coalesce(o.desired_digest = j.desired_digest, false) as is_carried
                from judged as j
                left join open_entries as o on j.connection = o.connection and j.key = o.key
            )
            select * exclude (verb_action),
                case
                    when not is_desired then 'retired'
                    when open_state in ({doubt}) then 'in_doubt'
                    when hold_kind in ('model', 'frozen') then 'held'
                    when not is_different then 'unchanged'
                    when is_carried and open_state = 'refused' then 'refused'
                    when hold_kind = 'approval' and not (is_carried and approved) then 'held'
                    else verb_action
                end as action,
                case when verb_action = 'create' then 'create' else 'update' end as verb,
                verb_action = 'adopt' as adopt
            from matched
            """
        )

    # -- counting ---------------------------------------------------------------------------------------------------

    def _count(self) -> Tally:
        db = self._db
        desired = db.execute(f"select count(*) from {self._table}").fetchall()[0][0]
        by_action = dict(db.execute("select action, count(*) from changes group by action order by action").fetchall())
        retired = by_action.pop("retired", 0)
        by_action.pop("unchanged", 0)
        amounts: dict[str, dict[str, Decimal]] = {}
        for action, currency, total in db.execute(
            "select action, coalesce(currency, ''), sum(amount) from changes where amount is not null"
            " and action not in ('retired', 'unchanged') group by all order by all"
        ).fetchall():
            amounts.setdefault(action, {})[currency] = _money(total)
        # Entries that wait to be sent passed the brakes when they were staged; they are not counted a second time.
        through = "is_carried and (approved or open_state in ('pending', 'parked'))"
        writes = f"action in ('create', 'update', 'adopt') and not ({through})"
        fresh = dict(db.execute(f"select action, count(*) from changes where {writes} group by action").fetchall())
        fresh_amounts = {
            currency: _money(total)
            for currency, total in db.execute(
                f"select coalesce(currency, ''), sum(abs(amount)) from changes where {writes}"
                " and amount is not null group by 1"
            ).fetchall()
        }
        digest = db.execute(
            "select cast(bit_xor(md5_number(concat_ws(chr(31), connection, key, action, verb, target_id,"
            " fields_json, why_held))) as varchar) || ':' || count(*) from changes"
            " where action not in ('retired', 'unchanged')"
        ).fetchall()[0][0]
        return Tally(
            desired=desired,
            unchanged=desired - sum(by_action.values()),
            retired=retired,
            known=self._known,
            by_action=by_action,
            amounts=amounts,
            fresh=fresh,
            fresh_amounts=fresh_amounts,
            digest=digest or "",
        )

    # -- what the journal gets --------------------------------------------------------------------------------------

    _ROW = (
        "connection, key, action, verb, adopt, target_id, target_version, hold_kind, why_held, fields_json, "
        "before_json,"
        " case when desired_json is distinct from fields_json then desired_json end as desired_json, desired_digest,"
        " cast(amount as varchar) as amount, currency, source_refs, is_carried, open_id, open_state, open_hold_kind,"
        " open_reason, approved"
    )

    def changes(self, *, limit: int | None = None, batch: int = 20_000) -> Iterator[list[dict[str, Any]]]:
        """Rows that are not unchanged or retired, by connection and key, as lists of dicts."""
        query = f"select {self._ROW} from changes where action not in ('retired', 'unchanged') order by connection, key"
        if limit is not None:
            query += f" limit {int(limit)}"
        reader = self._db.cursor().sql(query).to_arrow_reader(batch)
        for part in reader:
            yield part.to_pylist()

    def replaced(self) -> Iterator[list[str]]:
        """Open entries, not in doubt, that no longer say what is desired: changed, satisfied or gone from the model."""
        doubt = ", ".join(literal(s.value) for s in sorted(IN_DOUBT))
        reader = (
            self._db.cursor()
            .sql(
                "select o.entry_id from open_entries as o left join changes as c on o.entry_id = c.open_id"
                f" where o.state not in ({doubt}) and (c.open_id is null or c.action in ('unchanged', 'retired')"
                " or not c.is_carried)"
                " order by 1"
            )
            .to_arrow_reader(20_000)
        )
        for part in reader:
            yield part.column(0).to_pylist()

    def has_news(self) -> bool:
        """Is there anything to write into the journal? False for a second run with nothing changed."""
        news = self._db.execute(
            "select exists (from changes where case"
            " when action = 'held' then not (is_carried and open_state = 'held'"
            " and open_hold_kind is not distinct from hold_kind and open_reason is not distinct from why_held)"
            " when action in ('create', 'update', 'adopt')"
            " then not (is_carried and open_state in ('pending', 'parked'))"
            " else false end)"
        ).fetchall()[0][0]
        return bool(news) or next(self.replaced(), None) is not None

    def sample(self, limit: int = 20) -> list[dict[str, Any]]:
        """The first rows, for people."""
        return [row for part in self.changes(limit=limit) for row in part]

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Diff:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _json_name(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _money(value: Any) -> Decimal:
    total = Decimal(value).normalize()
    return total.quantize(Decimal(1)) if total == total.to_integral() else total
