"""The vendor's answer machine (its open-source library Brainstem), as an engine over `presenters.py`.

    parameters -> filters, order, page -> rows -> shown objects -> {"count", "results", "<key>": {...}, "meta"}

What is silently done, as the real one does it: unknown includes, fields, orders and parameters are ignored; a page size
over 200 becomes 200, under 1 becomes 20; a page under 1 becomes 1; a page past the end is empty and says the page asked
for; an empty result has page_count 0 and page_number 0; ties are in id order.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from platforms.kantata.sandbox.refusals import gone, system
from platforms.kantata.sandbox.schema import TABLES, BadValue, Kind, from_stored, to_stored, truthy

if TYPE_CHECKING:
    from platforms.kantata.sandbox.service import Service

DEFAULT_PER_PAGE = 20
MAX_PER_PAGE = 200

Row = dict[str, Any]
Clause = tuple[str, tuple[Any, ...]]
# A filter gets the parameter's text and the request, and answers with SQL over the table (alias t), or None.
Filter = Callable[[str, "Query"], Clause | None]


@dataclass(frozen=True, kw_only=True)
class Association:
    """One `include`. `key` is the collection of the included objects; None for a polymorphic one.

    `column` is the belongs-to column; without it `ids_sql` selects (owner, id) pairs for `{owners}` (a list of marks),
    shown as `ids_field`. A `single` one is shown as an id instead of a list.
    """

    key: str | None
    column: str = ""
    ids_sql: str = ""
    ids_field: str = ""
    single: bool = False
    only_with_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Presenter:
    """How one collection is shown and asked for. See the module for what each part does."""

    table: str
    default_order: str = "created_at:desc"
    orders: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    plain_ids: frozenset[str] = frozenset()
    money: frozenset[str] = frozenset()
    included_only: frozenset[str] = frozenset()
    derive: Callable[[Engine, Sequence[Row], Sequence[Row], Query], None] | None = None
    associations: Mapping[str, Association] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    default_filters: Sequence[Filter] = ()
    search: tuple[str, ...] = ()
    required_params: tuple[str, ...] = ()
    results_key: str = ""


class Query:
    """One request's parameters: the last of repeated ones counts, `name[]` makes a comma list."""

    def __init__(self, pairs: Sequence[tuple[str, str]], *, viewer_sees_money: bool = True) -> None:
        self.params: dict[str, str] = {}
        for name, value in pairs:
            if name.endswith("[]"):
                name = name[:-2]
                if name in self.params:
                    value = f"{self.params[name]},{value}"
            self.params[name] = value
        self.viewer_sees_money = viewer_sees_money

    def get(self, name: str) -> str | None:
        return self.params.get(name)

    def items(self, name: str) -> list[str]:
        """A comma list, blanks dropped."""
        return [part.strip() for part in (self.params.get(name) or "").split(",") if part.strip()]

    def on(self, name: str) -> bool:
        """A real boolean parameter (`include_archived=true`)."""
        return truthy(self.params.get(name, ""))


def to_i(text: str | None) -> int:
    """Ruby's String#to_i: the leading integer, else 0."""
    found = re.match(r"\s*[-+]?\d+", text or "")
    return int(found.group()) if found else 0


@dataclass(frozen=True, kw_only=True)
class Paging:
    """Rows to skip and take, and what `meta` says about it."""

    offset: int
    limit: int
    page: int
    per_page: int

    @classmethod
    def of(cls, query: Query) -> Paging:
        """Clamp the request's paging parameters."""
        per_page = to_i(query.get("per_page")) if query.get("per_page") is not None else DEFAULT_PER_PAGE
        per_page = DEFAULT_PER_PAGE if per_page < 1 else min(per_page, MAX_PER_PAGE)
        page = max(to_i(query.get("page")) if query.get("page") is not None else 1, 1)
        if query.get("limit") and query.get("offset"):
            limit = min(max(to_i(query.get("limit")), 1), MAX_PER_PAGE)
            return cls(offset=max(to_i(query.get("offset")), 0), limit=limit, page=page, per_page=per_page)
        return cls(offset=(page - 1) * per_page, limit=per_page, page=page, per_page=per_page)

    def meta(self, count: int) -> dict[str, int]:
        return {
            "count": count,
            "page_count": -(-count // self.per_page),
            "page_number": self.page if count else 0,
            "page_size": self.per_page,
        }


class Engine:
    """Answers list and show requests from a service's store."""

    def __init__(self, service: Service, presenters: Mapping[str, Presenter]) -> None:
        self.service = service
        self.presenters = presenters
        self.store = service.store
        minutes = int(service.store.meta.get("utc_offset_minutes", 0))
        self.zone = timezone(timedelta(minutes=minutes)) if minutes else UTC
        self._lock = threading.Lock()
        self._version = -1
        # Counts and the places where pages begin, valid until the next write: a crawl of ten million rows would
        # otherwise count them for every page and walk ever longer to its beginning.
        self._counts: dict[tuple[str, tuple[Any, ...]], int] = {}
        self._marks: OrderedDict[tuple[Any, ...], dict[int, tuple[Any, int]]] = OrderedDict()

    # ---- requests ---------------------------------------------------------------------------------------------

    def index(self, name: str, query: Query, scope: Sequence[Clause] = ()) -> dict[str, Any]:
        """The answer to an index request."""
        presenter = self.presenters[name]
        for needed in presenter.required_params:
            if not query.get(needed):
                raise system(f"{needed} is required")
        clauses = [*scope, *self._clauses(presenter, query, listing=True)]
        paging = Paging.of(query)
        search = query.get("search")
        if search and not presenter.search:
            raise system("Search is not supported for this resource", 503)
        if search:
            like = " OR ".join(f"t.{column} LIKE ?" for column in presenter.search)
            clauses.append((f"({like})", (f"%{search}%",) * len(presenter.search)))
            order = f"length(t.{presenter.search[0]}) ASC"
        else:
            order = self._order(presenter, query)
        where = " AND ".join(sql for sql, _ in clauses) or "1"
        params = tuple(p for _, values in clauses for p in values)
        count = self._count(presenter.table, where, params)
        rows = self._page(presenter.table, where, params, order, paging, count)
        return self._answer(presenter, rows, query, count, paging.meta(count))

    def show(self, name: str, id: str, query: Query) -> dict[str, Any]:
        """The answer to a show request; 404 also when a default filter hides the row."""
        presenter = self.presenters[name]
        if not id.isdigit():
            raise gone(name)
        clauses = [("t.id = ?", (int(id),)), *self._clauses(presenter, query, listing=False)]
        where = " AND ".join(sql for sql, _ in clauses)
        rows = self.store.read(
            f"SELECT t.* FROM {presenter.table} t WHERE {where}", tuple(p for _, values in clauses for p in values)
        )
        if not rows:
            raise gone(name)
        return self.present(name, [rows[0]["id"]], query)

    def present(self, name: str, ids: Sequence[int | str], query: Query) -> dict[str, Any]:
        """The answer to a create or update: these records, whatever any filter says, in this order."""
        presenter = self.presenters[name]
        found = self._load(presenter.table, [int(i) for i in ids])
        rows = [found[int(i)] for i in ids if int(i) in found]
        meta = {"count": len(rows), "page_count": 1 if rows else 0, "page_number": 1 if rows else 0}
        return self._answer(presenter, rows, query, len(rows), {**meta, "page_size": DEFAULT_PER_PAGE})

    # ---- where, order, page -----------------------------------------------------------------------------------

    def _clauses(self, presenter: Presenter, query: Query, *, listing: bool) -> list[Clause]:
        found: list[Clause | None] = []
        if listing:
            only = query.get("only")
            if only is not None:
                found.append(id_in("id", query.items("only")))
            for name, value in query.params.items():
                maker = presenter.filters.get(name)
                if maker is not None:
                    found.append(maker(value, query))
            found.extend(self._common(presenter, query))
        if query.get("apply_default_filters") not in ("false", "0"):
            found.extend(maker("", query) for maker in presenter.default_filters)
        return [clause for clause in found if clause is not None]

    def _common(self, presenter: Presenter, query: Query) -> list[Clause | None]:
        """Filters that nearly every collection has: dates and external references."""
        table = TABLES[presenter.table]
        found: list[Clause | None] = []
        strict = self.service.option("updated_after_bound", "inclusive") == "exclusive"
        for column in ("created_at", "updated_at"):
            if column not in table.columns:
                continue
            stem = column.removesuffix("_at")
            for suffix, sign in (("_after", ">" if strict else ">="), ("_before", "<" if strict else "<=")):
                given = query.get(stem + suffix)
                if given:
                    found.append((f"t.{column} {sign} ?", (read_moment(given, self.zone),)))
        found.append(self._references(table.subject, query))
        if query.get("without_external_reference_service_name"):
            found.append(
                (
                    "t.id NOT IN (SELECT subject_id FROM external_references WHERE subject_type = ? AND"
                    " service_name = ?)",
                    (table.subject, query.params["without_external_reference_service_name"]),
                )
            )
        if query.get("has_external_references") is not None:
            negation = "" if query.on("has_external_references") else "NOT "
            found.append(
                (
                    f"t.id {negation}IN (SELECT subject_id FROM external_references WHERE subject_type = ?)",
                    (table.subject,),
                )
            )
        custom = query.get("by_custom_text_value")
        if custom:
            found.append(self._custom_text(table.subject, custom))
        return found

    def _references(self, subject: str, query: Query) -> Clause | None:
        if subject == "ExternalReference":
            return None
        wanted: list[str] = []
        params: list[Any] = [subject]
        for name, column in (
            ("service_name", "service_name"),
            ("service_model", "service_model"),
            ("service_model_ref", "service_model_ref"),
            ("status", "status"),
            ("external_status", "external_status"),
            ("external_message", "external_message"),
        ):
            value = query.get(f"external_reference_{name}")
            if value:
                wanted.append(f"{column} = ?")
                params.append(value)
        refs = query.items("external_reference_service_model_refs")
        if refs:
            refs = refs[:200]
            wanted.append(f"service_model_ref IN ({','.join('?' * len(refs))})")
            params.extend(refs)
        if not wanted:
            return None
        where = " AND ".join(wanted)
        return (
            f"t.id IN (SELECT subject_id FROM external_references WHERE subject_type = ? AND {where})",
            tuple(params),
        )

    def _custom_text(self, subject: str, given: str) -> Clause | None:
        found = re.fullmatch(r"\(?\s*([^:()]+)\s*:\s*(.*?)\s*\)?", given)
        if not found:
            return None
        name, value = found.groups()
        subject = "Resource" if subject == "WorkspaceResource" else subject
        return (
            "t.id IN (SELECT v.subject_id FROM custom_field_values v JOIN custom_fields f ON f.id = v.custom_field_id"
            " WHERE v.subject_type = ? AND (f.name = ? OR f.id = ?) AND v.value = ?)",
            (subject, name, to_i(name), to_stored(Kind.JSON, value)),
        )

    def _order(self, presenter: Presenter, query: Query) -> str:
        field_name, _, direction = (query.get("order") or "").partition(":")
        if field_name not in presenter.orders:
            field_name, _, direction = presenter.default_order.partition(":")
        expression = presenter.orders.get(field_name, "t.created_at")
        return f"{expression} {'DESC' if direction == 'desc' else 'ASC'}"

    def _count(self, table: str, where: str, params: tuple[Any, ...]) -> int:
        with self._lock:
            self._forget_if_changed()
            key = (f"{table}|{where}", params)
            if key not in self._counts:
                self._counts[key] = int(
                    self.store.read(f"SELECT count(*) AS n FROM {table} t WHERE {where}", params)[0]["n"]
                )
            return self._counts[key]

    def _forget_if_changed(self) -> None:
        version = self.service.clock.milliseconds()
        if version != self._version:
            self._version = version
            self._counts.clear()
            self._marks.clear()

    def _page(
        self, table: str, where: str, params: tuple[Any, ...], order: str, paging: Paging, count: int
    ) -> Sequence[Row]:
        if paging.offset >= count:
            return []
        expression, direction = order.rsplit(" ", 1)
        if expression == "t.created_at" and direction == "ASC":
            # Ids are given in time order, so the primary key serves this order without a sort.
            expression = "t.id"
        key = (table, where, params, order)
        start: tuple[Any, int] | None = None
        skip = paging.offset
        with self._lock:
            marks = self._marks.get(key)
            if marks:
                at = max((m for m in marks if m <= paging.offset), default=None)
                if at is not None:
                    start, skip = marks[at], paging.offset - at
        clause, extra = where, params
        if start is not None:
            value, id = start
            sign = ">" if direction == "ASC" else "<"
            if expression == "t.id":
                clause, extra = f"({where}) AND t.id > ?", (*params, id)
            elif value is not None:
                clause = f"({where}) AND ({expression} {sign}= ? AND ({expression} {sign} ? OR t.id > ?))"
                extra = (*params, value, value, id)
            else:
                skip = paging.offset
        sort = "t.id ASC" if expression == "t.id" else f"{expression} {direction}, t.id ASC"
        rows = self.store.read(
            f"SELECT t.*, {expression} AS _sort FROM {table} t WHERE {clause} ORDER BY {sort} LIMIT ? OFFSET ?",
            (*extra, paging.limit, skip),
        )
        if rows and rows[-1]["_sort"] is not None:
            with self._lock:
                kept = self._marks.setdefault(key, {})
                kept[paging.offset + len(rows)] = (rows[-1]["_sort"], rows[-1]["id"])
                self._marks.move_to_end(key)
                while len(self._marks) > 64:
                    self._marks.popitem(last=False)
        return rows

    # ---- showing ----------------------------------------------------------------------------------------------

    def _load(self, table: str, ids: Sequence[int]) -> dict[int, Row]:
        found: dict[int, Row] = {}
        for at in range(0, len(ids), 500):
            part = list(ids[at : at + 500])
            marks = ",".join("?" * len(part))
            for row in self.store.read(f"SELECT * FROM {table} WHERE id IN ({marks})", part):
                found[row["id"]] = row
        return found

    def _answer(
        self, presenter: Presenter, rows: Sequence[Row], query: Query, count: int, meta: Mapping[str, int]
    ) -> dict[str, Any]:
        table = presenter.table
        key = presenter.results_key or table
        shown = self.shape(presenter, rows, query)
        body: dict[str, Any] = {
            "count": count,
            "results": [{"key": key, "id": one["id"]} for one in shown],
            table: {one["id"]: one for one in shown},
        }
        for name in dict.fromkeys(query.items("include")):
            association = presenter.associations.get(name)
            if association is not None and (not association.only_with_only or query.get("only")):
                self._include(association, rows, shown, body, query)
        body["meta"] = dict(meta)
        return body

    def shape(self, presenter: Presenter, rows: Sequence[Row], query: Query) -> list[Row]:
        """Rows as the vendor shows them, without includes."""
        wanted = set(query.items("optional_fields"))
        table = TABLES[presenter.table]
        left_out = presenter.hidden | presenter.included_only | (presenter.optional - wanted)
        if not query.viewer_sees_money:
            left_out = left_out | presenter.money
        columns = [
            (name, Kind.INT if name in presenter.plain_ids else column.kind)
            for name, column in table.columns.items()
            if name not in left_out
        ]
        shown = []
        for row in rows:
            one: Row = {"id": str(row["id"])}
            for name, kind in columns:
                value = row[name]
                if value is None or kind is Kind.TEXT or kind is Kind.INT or kind is Kind.DATE:
                    one[name] = value
                elif kind is Kind.ID:
                    one[name] = str(value)
                elif kind is Kind.BOOL:
                    one[name] = value == 1
                elif kind is Kind.MOMENT:
                    one[name] = self.moment(value)
                else:
                    one[name] = from_stored(kind, value)
            shown.append(one)
        if presenter.derive is not None and rows:
            presenter.derive(self, rows, shown, query)
            if not query.viewer_sees_money:
                for one in shown:
                    for name in presenter.money:
                        one.pop(name, None)
        return shown

    def moment(self, ms: int) -> str:
        """A stored moment as the vendor prints it: whole seconds with the account's offset, never Z."""
        text = datetime.fromtimestamp(ms // 1000, self.zone).isoformat()
        return text

    def _include(
        self,
        association: Association,
        rows: Sequence[Row],
        shown: Sequence[Row],
        body: dict[str, Any],
        query: Query,
    ) -> None:
        owners = [row["id"] for row in rows]
        pairs: dict[int, list[int]] = {owner: [] for owner in owners}
        if association.key is None:
            self._include_any(rows, shown, body, query)
            return
        if association.column:
            for row in rows:
                if row[association.column] is not None:
                    pairs[row["id"]].append(row[association.column])
        elif owners:
            marks = ",".join("?" * len(owners))
            for pair in self.store.read(association.ids_sql.format(owners=marks), owners):
                pairs[pair["owner"]].append(pair["id"])
        target = self.presenters[association.key]
        ids = list(dict.fromkeys(i for found in pairs.values() for i in found))
        loaded = self._load(target.table, ids)
        present = [loaded[i] for i in ids if i in loaded]
        plain = Query([], viewer_sees_money=query.viewer_sees_money)
        into = body.setdefault(target.table, {})
        for one in self.shape(target, present, plain):
            into.setdefault(one["id"], one)
        for row, one in zip(rows, shown, strict=True):
            found = [str(i) for i in pairs[row["id"]] if i in loaded]
            if association.single or association.column:
                one[association.ids_field or association.column] = found[0] if found else None
            else:
                one[association.ids_field] = found

    def _include_any(self, rows: Sequence[Row], shown: Sequence[Row], body: dict[str, Any], query: Query) -> None:
        """A polymorphic `subject`: each row names its own collection; no empty key appears."""
        from platforms.kantata.sandbox.schema import BY_SUBJECT

        plain = Query([], viewer_sees_money=query.viewer_sees_money)
        for row, one in zip(rows, shown, strict=True):
            name = BY_SUBJECT.get(row["subject_type"] or "")
            target = self.presenters.get(name or "")
            found = self._load(target.table, [int(row["subject_id"])]) if target and row["subject_id"] else {}
            if target is None or not found:
                one["subject_ref"] = None
                continue
            one["subject_ref"] = {"key": target.table, "id": str(row["subject_id"])}
            for item in self.shape(target, list(found.values()), plain):
                body.setdefault(target.table, {}).setdefault(item["id"], item)


def read_moment(text: str, zone: timezone) -> int:
    """A moment parameter as milliseconds; a bare day or time is in the account's zone. `system` error otherwise."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if re.search(r"\d \d\d:\d\d$", text) else text)
    except ValueError:
        raise system(f"{text!r} is not a valid date") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.timestamp() * 1000)


# ---- filter makers --------------------------------------------------------------------------------------------------


def id_in(column: str, values: Sequence[str]) -> Clause:
    """Rows whose column is one of these ids; what is no number matches nothing."""
    ids = [int(v) for v in values if v.isdigit()]
    if not ids:
        return ("0", ())
    return (f"t.{column} IN ({','.join('?' * len(ids))})", tuple(ids))


def ids(column: str) -> Filter:
    """`workspace_id=1,2`."""
    return lambda value, query: id_in(column, [v.strip() for v in value.split(",") if v.strip()])


def ids_by(sql: str) -> Filter:
    """Rows found by a sub-select over `{ids}`."""

    def make(value: str, query: Query) -> Clause:
        found = [int(v) for v in value.split(",") if v.strip().isdigit()]
        return (sql.format(ids=",".join("?" * len(found)) or "NULL"), tuple(found))

    return make


def flag(sql: str) -> Filter:
    """A flag-style filter: on whenever it is present, even as `=false`."""
    return lambda value, query: (sql, ())


def switch(when_true: str, when_false: str = "") -> Filter:
    """A real boolean filter; an empty SQL means no filtering."""

    def make(value: str, query: Query) -> Clause | None:
        sql = when_true if truthy(value) else when_false
        return (sql, ()) if sql else None

    return make


def texts(column: str) -> Filter:
    """A comma list of texts."""

    def make(value: str, query: Query) -> Clause:
        wanted = [v.strip() for v in value.split(",") if v.strip()]
        return (f"t.{column} IN ({','.join('?' * len(wanted)) or 'NULL'})", tuple(wanted))

    return make


def between(column: str, separator: str = ":") -> Filter:
    """`A:B` days, both included; `A:` and `:B` are open."""

    def make(value: str, query: Query) -> Clause | None:
        start, _, end = value.partition(separator)
        clauses, params = [], []
        for given, sign in ((start.strip(), ">="), (end.strip(), "<=")):
            if given:
                try:
                    params.append(to_stored(Kind.DATE, given))
                except BadValue:
                    raise system(f"{given!r} is not a valid date") from None
                clauses.append(f"t.{column} {sign} ?")
        return (" AND ".join(clauses), tuple(params)) if clauses else None

    return make


def hides(sql: str, *switches: str) -> Filter:
    """A default filter: keeps rows where `sql` holds unless one of the switches is true in the request."""
    return lambda value, query: None if any(query.on(name) for name in switches) else (sql, ())
