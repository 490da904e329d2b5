"""What each collection shows, includes, filters and sorts by: the vendor's reference as data.

`brainstem.py` turns these definitions into answers. A `derive` function adds, for a page of rows at once, the fields
that are not stored: display strings, sums over hours, currency of a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from platforms.kantata.sandbox.brainstem import (
    Association,
    Engine,
    Filter,
    Presenter,
    Query,
    Row,
    between,
    flag,
    hides,
    ids,
    ids_by,
    switch,
    texts,
)
from platforms.kantata.sandbox.rules.hours import locked_to
from platforms.kantata.sandbox.rules.work import STATUSES, base_unit, currency_symbol
from platforms.kantata.sandbox.schema import TABLES

# Half-up subunits of an hour's value, in SQL, as `rules.hours.line_amount` does it.
_VALUE = "(coalesce(rate_in_cents, 0) * time_in_minutes + 30) / 60"


def _money_text(cents: int | None, currency: str) -> str:
    """`$17,103`, with the subunits only when there are any; `TBD` when unset."""
    if cents is None:
        return "TBD"
    unit = base_unit(currency)
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), unit)
    digits = len(str(unit)) - 1
    text = f"{whole:,}" + (f".{part:0{digits}d}" if part else "")
    return f"{sign}{currency_symbol(currency)}{text}"


def _currency(shown: Row, currency: str | None) -> None:
    shown["currency"] = currency
    shown["currency_symbol"] = currency_symbol(currency)
    shown["currency_base_unit"] = base_unit(currency)


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _by(engine: Engine, sql: str, keys: Sequence[Any]) -> dict[Any, Row]:
    """Rows of a query over `{keys}`, by their column `k`."""
    unique = list({k for k in keys if k is not None})
    found: dict[Any, Row] = {}
    for at in range(0, len(unique), 500):
        part = unique[at : at + 500]
        for row in engine.store.read(sql.format(keys=_marks(part)), part):
            found[row["k"]] = row
    return found


def _names(engine: Engine, table: str, keys: Sequence[Any], column: str) -> dict[Any, Any]:
    found = _by(engine, f"SELECT id AS k, {column} AS v FROM {table} WHERE id IN ({{keys}})", keys)
    return {key: row["v"] for key, row in found.items()}


def _project_currency(engine: Engine, rows: Sequence[Row], shown: Sequence[Row]) -> None:
    currencies = _names(engine, "workspaces", [r["workspace_id"] for r in rows], "currency")
    for row, one in zip(rows, shown, strict=True):
        _currency(one, currencies.get(row["workspace_id"]))


# ---- derived fields ------------------------------------------------------------------------------------------


def _workspaces(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    keys = [r["id"] for r in rows]
    wanted = set(query.items("optional_fields"))
    time = _by(
        engine,
        f"SELECT workspace_id AS k, sum(CASE WHEN billable THEN {_VALUE} ELSE 0 END) AS value,"
        " sum(time_in_minutes) AS minutes, sum(CASE WHEN billable THEN time_in_minutes ELSE 0 END) AS billable,"
        " sum(CASE WHEN approved THEN time_in_minutes ELSE 0 END) AS approved"
        " FROM time_entries WHERE workspace_id IN ({keys}) GROUP BY 1",
        keys,
    )
    expenses = _by(
        engine,
        "SELECT workspace_id AS k, sum(amount_in_cents) AS total,"
        " sum(CASE WHEN is_billable THEN amount_in_cents ELSE 0 END) AS billable"
        " FROM expenses WHERE workspace_id IN ({keys}) GROUP BY 1",
        keys,
    )
    waiting = {
        kind: _by(
            engine,
            f"SELECT DISTINCT workspace_id AS k FROM {kind} WHERE status = 'pending' AND workspace_id IN ({{keys}})",
            keys,
        )
        for kind in ("timesheet_submissions", "expense_report_submissions")
    }
    invoiced: dict[Any, Row] = {}
    estimated: dict[Any, Row] = {}
    people: dict[Any, Any] = {}
    if "total_invoiced" in wanted:
        invoiced = _by(
            engine,
            "SELECT w.workspace_id AS k, sum(i.balance_in_cents) AS v FROM invoice_workspaces w JOIN invoices i"
            " ON i.id = w.invoice_id WHERE i.draft = 0 AND i.status <> 'cancelled' AND w.workspace_id IN ({keys})"
            " GROUP BY 1",
            keys,
        )
    if "estimated_minutes" in wanted:
        estimated = _by(
            engine,
            "SELECT workspace_id AS k, sum(time_estimate_in_minutes) AS v FROM stories WHERE deleted_at IS NULL AND"
            " workspace_id IN ({keys}) GROUP BY 1",
            keys,
        )
    if wanted & {"client_lead_name", "provider_lead_name"}:
        leads = [r["primary_maven_id"] for r in rows] + [r["primary_counterpart_id"] for r in rows]
        people = _names(engine, "users", leads, "full_name")
    lock = locked_to(engine.service) if "lock_date" in wanted else ""
    for row, one in zip(rows, shown, strict=True):
        currency = row["currency"]
        hours, costs = time.get(row["id"]), expenses.get(row["id"])
        used = (hours["value"] if hours else 0) or 0
        if row["expenses_in_burn_rate"] and costs:
            used += costs["billable"] or 0
        price = row["price_in_cents"]
        _currency(one, currency)
        message, color = STATUSES.get(row["status_key"], ("", "grey"))
        one.pop("status_key", None)
        one["status"] = {"key": row["status_key"], "message": message, "color": color}
        one["price"] = _money_text(price, currency)
        one["budget_used"] = _money_text(used, currency)
        one["budget_used_in_cents"] = used
        one["budget_remaining"] = None if price is None else _money_text(price - used, currency)
        one["percent_of_budget_used"] = 0 if not price else used * 100 // price
        one["over_budget"] = price is not None and used > price
        rate = row["default_rate_in_cents"]
        one["default_rate"] = None if rate is None else f"{Decimal(rate) / base_unit(currency):.2f}"
        one["total_expenses_in_cents"] = (costs["total"] if costs else 0) or 0
        one["has_active_timesheet_submissions"] = row["id"] in waiting["timesheet_submissions"]
        one["has_active_expense_report_submissions"] = row["id"] in waiting["expense_report_submissions"]
        one["permissions"] = {"can_upload_files": True, "can_private_message": True, "can_join": False}
        one["account_features"] = {"time_trackable": row["time_trackable"] == 1}
        extra = {
            "total_invoiced": (invoiced.get(row["id"]) or {}).get("v", 0),
            "minutes_logged": (hours["minutes"] if hours else 0),
            "billable_minutes": (hours["billable"] if hours else 0),
            "non_billable_minutes": (hours["minutes"] - hours["billable"] if hours else 0),
            "total_minutes_approved": (hours["approved"] if hours else 0),
            "estimated_minutes": (estimated.get(row["id"]) or {}).get("v") or 0,
            "lock_date": lock or None,
            "client_lead_name": people.get(row["primary_counterpart_id"]),
            "provider_lead_name": people.get(row["primary_maven_id"]),
            "revenue_recognition_method_name": None,
        }
        one.update({name: value for name, value in extra.items() if name in wanted})


def _stories(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    keys = [r["id"] for r in rows]
    time = _by(
        engine,
        f"SELECT story_id AS k, sum(CASE WHEN billable THEN {_VALUE} ELSE 0 END) AS value,"
        f" sum(CASE WHEN billable AND invoice_id IS NOT NULL THEN {_VALUE} ELSE 0 END) AS invoiced,"
        " sum(CASE WHEN billable THEN time_in_minutes ELSE 0 END) AS billable, sum(time_in_minutes) AS minutes"
        " FROM time_entries WHERE story_id IN ({keys}) GROUP BY 1",
        keys,
    )
    currencies = _names(engine, "workspaces", [r["workspace_id"] for r in rows], "currency")
    for row, one in zip(rows, shown, strict=True):
        hours = time.get(row["id"]) or {"value": 0, "invoiced": 0, "billable": 0, "minutes": 0}
        _currency(one, currencies.get(row["workspace_id"]))
        one["ancestor_ids"] = [str(i) for i in json.loads(row["ancestor_ids"] or "[]")]
        one["status"] = {"key": row["state"], "message": row["state"].title()}
        one["budget_used_in_cents"] = hours["value"]
        one["invoiced_balance_in_cents"] = hours["invoiced"]
        one["uninvoiced_balance_in_cents"] = hours["value"] - hours["invoiced"]
        one["logged_billable_time_in_minutes"] = hours["billable"]
        one["logged_nonbillable_time_in_minutes"] = hours["minutes"] - hours["billable"]
        one["due_date"] = row["due_date"] or ""  # the vendor's payloads show an unset due date as empty text


def _time_entries(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)
    for row, one in zip(rows, shown, strict=True):
        one["is_invoiced"] = row["invoice_id"] is not None


def _expenses(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)
    for row, one in zip(rows, shown, strict=True):
        one["is_invoiced"] = row["invoice_id"] is not None
        one["foreign_exchange_amount"] = (
            {
                "source_currency": row["fx_source_currency"],
                "source_value": Decimal(row["fx_source_value"]),
                "rate": Decimal(row["fx_rate"]),
                "date": row["fx_date"],
            }
            if row["fx_source_currency"]
            else None
        )


def _with_project_currency(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)


def _submissions(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)
    for row, one in zip(rows, shown, strict=True):
        pending = row["status"] == "pending"
        one["current_resolution_status"] = None if pending else row["status"]
        one["current_resolution_user_id"] = one.pop("current_resolution_creator_id", None)
        one["permissions"] = {
            "can_approve": pending,
            "can_reject": row["status"] in ("pending", "approved"),
            "can_cancel": pending,
        }


def _invoices(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    for row, one in zip(rows, shown, strict=True):
        _currency(one, row["currency"])


def _milestones(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)


def _participations(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    from platforms.kantata.sandbox.rules.rates import RateBook

    book = RateBook(engine.service)
    workspaces = engine._load("workspaces", list({r["workspace_id"] for r in rows}))
    today = engine.service.today()
    for row, one in zip(rows, shown, strict=True):
        card = workspaces[row["workspace_id"]]["rate_card_id"]
        role, rate, _ = book.member(row["user_id"])
        on_card = book.on_card(card, role, today) if card is not None else None
        one["default_rate_in_cents"] = on_card if on_card is not None else rate


def _resources(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    roles = _names(engine, "roles", [r["role_id"] for r in rows], "name")
    people = _names(engine, "users", [r["user_id"] for r in rows], "full_name")
    for row, one in zip(rows, shown, strict=True):
        one["role_name"] = roles.get(row["role_id"])
        one["display_label"] = people.get(row["user_id"]) or one["role_name"]


def _rate_card_sets(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    for row, one in zip(rows, shown, strict=True):
        one["active_currencies"] = [
            r["currency"]
            for r in engine.store.read(
                "SELECT currency FROM rate_cards WHERE rate_card_set_id = ? ORDER BY id", (row["id"],)
            )
        ]


def _memberships(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    for one in shown:
        _currency(one, engine.service.account_currency)


def _allocations(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    projects = _names(engine, "workspace_resources", [r["workspace_resource_id"] for r in rows], "workspace_id")
    for row, one in zip(rows, shown, strict=True):
        project = projects.get(row["workspace_resource_id"])
        one["workspace_id"] = None if project is None else str(project)


def _rate_card_versions(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    currencies = _names(engine, "rate_cards", [r["rate_card_id"] for r in rows], "currency")
    for row, one in zip(rows, shown, strict=True):
        _currency(one, currencies.get(row["rate_card_id"]))


def _rate_cards(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    titles = _names(engine, "rate_card_sets", [r["rate_card_set_id"] for r in rows], "title")
    for row, one in zip(rows, shown, strict=True):
        _currency(one, row["currency"])
        one["title"] = titles.get(row["rate_card_set_id"])
        version = engine.store.one(
            "SELECT v.id FROM rate_card_versions v JOIN rate_card_set_versions s ON s.id = v.rate_card_set_version_id"
            " WHERE v.rate_card_id = ? AND s.active = 1 AND s.effective_date <= ?"
            " ORDER BY s.effective_date DESC LIMIT 1",
            (row["id"], engine.service.today()),
        )
        one["effective_rate_card_version_id"] = str(version["id"]) if version else None


def _custom_field_values(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    fields = _by(
        engine,
        "SELECT id AS k, name, value_type FROM custom_fields WHERE id IN ({keys})",
        [r["custom_field_id"] for r in rows],
    )
    for row, one in zip(rows, shown, strict=True):
        definition = fields.get(row["custom_field_id"]) or {"name": None, "value_type": "string"}
        one["custom_field_name"] = definition["name"]
        one["type"] = definition["value_type"]
        one["account_id"] = engine.service.account_id
        one["display_value"] = _display(engine, definition["value_type"], one["value"])


def _display(engine: Engine, value_type: str, value: Any) -> str | None:
    if value is None:
        return None
    if value_type == "currency":
        return _money_text(value[0], value[1])
    if value_type in ("single", "multi"):
        labels = _names(engine, "custom_field_choices", value, "label")
        return ", ".join(str(labels.get(v, v)) for v in value)
    return str(value)


def _accounting_records(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    _project_currency(engine, rows, shown)
    for row, one in zip(rows, shown, strict=True):
        one["amount"] = (Decimal(row["amount_in_cents"] or 0) / base_unit(one["currency"])).quantize(Decimal("0.01"))


def _assignments(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    for row, one in zip(rows, shown, strict=True):
        one["workspace_resource_id"] = str(row["resource_id"]) if row["resource_id"] is not None else None


def _scenario_resources(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    for row, one in zip(rows, shown, strict=True):
        one["bill_rate"], one["cost_rate"] = row["bill_rate_in_cents"], row["cost_rate_in_cents"]


def _events(engine: Engine, rows: Sequence[Row], shown: Sequence[Row], query: Query) -> None:
    wanted = set(query.items("optional_fields"))
    for row, one in zip(rows, shown, strict=True):
        name = {t.subject: t.name for t in TABLES.values()}.get(row["subject_type"])
        exists = name is not None and engine.store.read(f"SELECT 1 FROM {name} WHERE id = ?", (row["subject_id"],))
        one["subject_ref"] = {"key": name, "id": str(row["subject_id"])} if exists else None
        changes = json.loads(row["payload_changes"] or "{}")
        if "payload_changes" in wanted:
            one["payload_changes"] = changes
        if "previous_payload" in wanted:
            one["previous_payload"] = {k: v["from"] for k, v in changes.items()}
        if "current_payload" in wanted:
            one["current_payload"] = {k: v["to"] for k, v in changes.items()}


# ---- associations ------------------------------------------------------------------------------------------


def _belongs(name: str, key: str, column: str = "") -> dict[str, Association]:
    return {name: Association(key=key, column=column or f"{name}_id")}


def _singular(name: str) -> str:
    return name[:-3] + "y" if name.endswith("ies") else name.removesuffix("s")


def _has_many(name: str, key: str, sql: str, ids_field: str = "") -> dict[str, Association]:
    return {name: Association(key=key, ids_sql=sql, ids_field=ids_field or f"{_singular(name)}_ids")}


def _children(name: str, key: str, column: str, where: str = "") -> dict[str, Association]:
    extra = f" AND {where}" if where else ""
    return _has_many(
        name, key, f"SELECT {column} AS owner, id FROM {key} WHERE {column} IN ({{owners}}){extra} ORDER BY id"
    )


def _references(subject: str) -> dict[str, Association]:
    return _has_many(
        "external_references",
        "external_references",
        "SELECT subject_id AS owner, id FROM external_references"
        f" WHERE subject_type = '{subject}' AND subject_id IN ({{owners}}) ORDER BY id",
    )


def _values(subject: str) -> dict[str, Association]:
    return _has_many(
        "custom_field_values",
        "custom_field_values",
        "SELECT subject_id AS owner, id FROM custom_field_values"
        f" WHERE subject_type = '{subject}' AND subject_id IN ({{owners}}) ORDER BY id",
    )


_ARCHIVED = "(SELECT id FROM workspaces WHERE archived = 1)"
_OUTSIDERS = "(SELECT id FROM users WHERE account_id <> (SELECT value FROM _meta WHERE key = 'account_id'))"
_hide_archived_projects = hides(f"t.workspace_id NOT IN {_ARCHIVED}", "from_archived_workspaces", "include_archived")


def _on_my_account(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    given = query.get("on_my_account")
    if given is not None and given in ("false", "0"):
        return None
    return (f"t.user_id NOT IN {_OUTSIDERS}", ())


def _archived_workspaces(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    mode = query.get("archived")
    if mode == "only":
        return ("t.archived = 1", ())
    if mode == "include" or query.on("include_archived"):
        return None
    return ("t.archived = 0", ())


def _deleted_records(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    # show_deleted returns only the deleted ones here, unlike on stories.
    return ("t.deleted_at IS NOT NULL" if query.on("show_deleted") else "t.deleted_at IS NULL", ())


def _member_state(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    if query.on("only_inactive"):
        return ("t.disabled_at IS NOT NULL", ())
    if query.get("only_active") is not None and not query.on("only_active"):
        return None  # only_active=false means "do not filter", not "inactive only"
    return ("t.disabled_at IS NULL", ())


def _pending(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    return ("t.draft = 0 AND t.status = 'new'", ())


def _within_dates(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    found = between("day")(value, query)
    if found is None:
        return None
    sql, params = found
    return (sql.replace("t.day", "strftime('%Y-%m-%d', t.created_at / 1000, 'unixepoch')"), params)


def _statuses(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    wanted = ["pending" if v.strip() == "new" else v.strip() for v in value.split(",") if v.strip()]
    return (f"t.status IN ({_marks(wanted) or 'NULL'})", tuple(wanted))


def _effective_on(value: str, query: Query) -> tuple[str, tuple[Any, ...]] | None:
    return (
        "t.active = 1 AND t.effective_date = (SELECT max(v.effective_date) FROM rate_card_set_versions v"
        " WHERE v.rate_card_set_id = t.rate_card_set_id AND v.active = 1 AND v.effective_date <= ?)",
        (value,),
    )


def _matching(column: str) -> Filter:
    return lambda value, query: (f"t.{column} LIKE ?", (f"%{value}%",))


def _text_is(column: str) -> Filter:
    return lambda value, query: (f"t.{column} = ?", (value,))


def _number_is(column: str) -> Filter:
    return lambda value, query: (f"t.{column} = ?", (int(value) if value.isdigit() else -1,))


def _approved_lines(kind: str) -> Filter:
    """Also matches lines of projects that need no approval (vendor reference)."""
    return flag(f"(t.approved = 1 OR t.workspace_id IN (SELECT id FROM workspaces WHERE require_{kind}_approvals = 0))")


def _dates(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {"created_at": "t.created_at", "updated_at": "t.updated_at", **(extra or {})}


_MONEY_OF_LINES = frozenset({"rate_in_cents", "cost_rate_in_cents"})

_LIST: tuple[Presenter, ...] = (
    Presenter(
        table="workspaces",
        default_order="updated_at:desc",
        orders=_dates(
            {"title": "t.title", "start_date": "t.start_date", "due_date": "t.due_date", "price": "t.price_in_cents"}
        ),
        hidden=frozenset(
            {"default_rate_in_cents", "creator_role", "project_tracker_template_id", "estimate_scenario_id"}
        ),
        optional=frozenset({"stage", "revenue_recognition_method_id"}),
        plain_ids=frozenset({"rate_card_id"}),
        money=frozenset(
            {
                "price",
                "price_in_cents",
                "budget_used",
                "budget_used_in_cents",
                "budget_remaining",
                "percent_of_budget_used",
                "over_budget",
                "default_rate",
                "target_margin",
                "total_expenses_in_cents",
                "total_invoiced",
            }
        ),
        derive=_workspaces,
        associations={
            **_belongs("primary_maven", "users"),
            **_belongs("primary_counterpart", "users"),
            **_belongs("creator", "users"),
            **_belongs("approver", "users"),
            **_belongs("primary_workspace_group", "workspace_groups"),
            **_belongs("workspace_invoice_preference", "workspace_invoice_preferences"),
            **_children("participations", "participations", "workspace_id"),
            **_has_many(
                "participants",
                "users",
                "SELECT workspace_id AS owner, user_id AS id FROM participations"
                " WHERE workspace_id IN ({owners}) ORDER BY id",
            ),
            **_has_many(
                "approvers",
                "users",
                "SELECT id AS owner, approver_id AS id FROM workspaces"
                " WHERE id IN ({owners}) AND approver_id IS NOT NULL",
            ),
            **_has_many(
                "workspace_groups",
                "workspace_groups",
                "SELECT workspace_id AS owner, workspace_group_id AS id FROM workspace_group_memberships"
                " WHERE workspace_id IN ({owners})",
            ),
            **_children("billing_milestones", "billing_milestones", "workspace_id"),
            **_children("timesheet_submissions", "timesheet_submissions", "workspace_id"),
            **_children("workspace_resources", "workspace_resources", "workspace_id", "user_id IS NOT NULL"),
            **_has_many(
                "workspace_resources_with_unnamed",
                "workspace_resources",
                "SELECT workspace_id AS owner, id FROM workspace_resources"
                " WHERE workspace_id IN ({owners}) ORDER BY id",
                "workspace_resources_with_unnamed_ids",
            ),
            **_values("Workspace"),
            **_references("Workspace"),
        },
        filters={
            "workspace_group_ids": ids_by(
                "t.id IN (SELECT workspace_id FROM workspace_group_memberships WHERE workspace_group_id IN ({ids}))"
            ),
            "workspace_groups": ids_by(
                "t.id IN (SELECT workspace_id FROM workspace_group_memberships WHERE workspace_group_id IN ({ids}))"
            ),
            "participant_ids": ids_by("t.id IN (SELECT workspace_id FROM participations WHERE user_id IN ({ids}))"),
            "with_primary_maven_ids": ids("primary_maven_id"),
            "matching": _matching("title"),
            "title": _text_is("title"),
            "workspace_status_key": ids("status_key"),
            "by_stage": texts("stage"),
        },
        default_filters=(_archived_workspaces,),
        search=("title", "description"),
    ),
    Presenter(
        table="workspace_groups",
        default_order="name:asc",
        orders=_dates({"name": "t.name"}),
        associations={
            **_has_many(
                "workspaces",
                "workspaces",
                "SELECT workspace_group_id AS owner, workspace_id AS id FROM workspace_group_memberships"
                " WHERE workspace_group_id IN ({owners})",
            ),
            **_has_many(
                "rate_card_sets",
                "rate_card_sets",
                "SELECT workspace_group_id AS owner, rate_card_set_id AS id FROM rate_card_set_groups"
                " WHERE workspace_group_id IN ({owners})",
            ),
            **_values("WorkspaceGroup"),
            **_references("WorkspaceGroup"),
        },
        filters={"companies_only": switch("t.company = 1"), "matching": _matching("name"), "name": _text_is("name")},
        search=("name",),
    ),
    Presenter(
        table="stories",
        default_order="updated_at:desc",
        orders=_dates(
            {
                "title": "t.title",
                "due_date": "t.due_date",
                "start_date": "t.start_date",
                "position": "t.position",
                "workspace_id": "t.workspace_id",
                "state": "t.state",
            }
        ),
        hidden=frozenset({"project_plan"}),
        money=frozenset(
            {
                "budget_estimate_in_cents",
                "budget_used_in_cents",
                "invoiced_balance_in_cents",
                "uninvoiced_balance_in_cents",
            }
        ),
        derive=_stories,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("creator", "users"),
            **_belongs("parent", "stories"),
            **_belongs("root", "stories"),
            **_children("sub_stories", "stories", "parent_id", "deleted_at IS NULL"),
            **_has_many(
                "assignees",
                "users",
                "SELECT story_id AS owner, assignee_id AS id FROM assignments"
                " WHERE story_id IN ({owners}) AND current = 1 AND assignee_id IS NOT NULL ORDER BY id",
            ),
            **_children("assignments", "assignments", "story_id"),
            **_values("Story"),
            **_references("Story"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "with_ancestor_ids": ids("root_id"),
            "parents_only": switch("t.parent_id IS NULL"),
            "story_type": texts("story_type"),
            "by_state": texts("state"),
            "only_deleted": switch("t.deleted_at IS NOT NULL"),
            "with_assignee_ids": ids_by("t.id IN (SELECT story_id FROM assignments WHERE assignee_id IN ({ids}))"),
        },
        default_filters=(
            hides("t.archived = 0", "show_archived"),
            hides("t.deleted_at IS NULL", "show_deleted", "only_deleted"),
            hides(f"t.workspace_id NOT IN {_ARCHIVED}", "show_from_archived_workspaces", "from_archived_workspaces"),
            hides("t.project_plan = 1", "show_todos"),
        ),
        search=("title", "description"),
    ),
    Presenter(
        table="users",
        default_order="created_at:asc",
        orders=_dates({"full_name": "t.full_name"}),
        plain_ids=frozenset({"account_id"}),
        optional=frozenset({"classification", "city", "country"}),
        associations={
            **_has_many(
                "account_membership",
                "account_memberships",
                "SELECT user_id AS owner, id FROM account_memberships WHERE user_id IN ({owners})",
                "account_membership_ids",
            ),
            **_values("User"),
            **_references("User"),
        },
        filters={
            "participant_in": ids_by("t.id IN (SELECT user_id FROM participations WHERE workspace_id IN ({ids}))"),
            "by_email_address": _text_is("email_address"),
            "on_my_account": switch("t.account_id = (SELECT value FROM _meta WHERE key = 'account_id')"),
            "by_full_name": _text_is("full_name"),
        },
        search=("full_name", "email_address"),
    ),
    Presenter(
        table="account_memberships",
        orders=_dates(),
        plain_ids=frozenset({"account_id"}),
        money=frozenset({"bill_rate_in_cents", "cost_rate_in_cents"}),
        derive=_memberships,
        associations={
            **_belongs("user", "users"),
            **_belongs("manager", "users"),
            **_belongs("default_role", "roles"),
            **_references("AccountMembership"),
        },
        filters={"user_id": ids("user_id"), "by_user_ids": ids("user_id"), "with_user_ids": ids("user_id")},
        default_filters=(_member_state,),
    ),
    Presenter(
        table="roles",
        default_order="name:asc",
        orders=_dates({"name": "t.name"}),
        associations=_references("Role"),
        filters={"matching": _matching("name")},
        default_filters=(hides("t.deleted_at IS NULL", "show_deleted", "include_deleted"),),
    ),
    Presenter(
        table="participations",
        default_order="created_at:asc",
        orders=_dates(),
        optional=frozenset({"access_level"}),
        money=frozenset({"rate_in_cents", "default_rate_in_cents", "cost_in_cents"}),
        derive=_participations,
        associations={**_belongs("user", "users"), **_belongs("workspace", "workspaces")},
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "user_id": ids("user_id"),
            "user_ids": ids("user_id"),
            "is_team_lead": switch("t.is_team_lead = 1", "t.is_team_lead = 0"),
        },
        default_filters=(_hide_archived_projects,),
    ),
    Presenter(
        table="workspace_resources",
        default_order="created_at:asc",
        orders=_dates(),
        optional=frozenset({"resource_bill_rate", "resource_cost_rate"}),
        money=frozenset({"resource_bill_rate", "resource_cost_rate"}),
        derive=_resources,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("user", "users"),
            **_belongs("role", "roles"),
            **_children("workspace_allocations", "workspace_allocations", "workspace_resource_id"),
            **_references("WorkspaceResource"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "user_ids": ids("user_id"),
            "role_ids": ids("role_id"),
            "only_unnamed": switch("t.user_id IS NULL"),
        },
        default_filters=(_hide_archived_projects,),
    ),
    Presenter(
        table="workspace_allocations",
        default_order="created_at:asc",
        orders=_dates({"start_date": "t.start_date", "end_date": "t.end_date"}),
        derive=_allocations,
        associations={
            **_belongs("workspace_resource", "workspace_resources"),
            **_belongs("creator", "users"),
            **_references("WorkspaceAllocation"),
        },
        filters={
            "workspace_id": ids_by(
                "t.workspace_resource_id IN (SELECT id FROM workspace_resources WHERE workspace_id IN ({ids}))"
            ),
            "workspace_ids": ids_by(
                "t.workspace_resource_id IN (SELECT id FROM workspace_resources WHERE workspace_id IN ({ids}))"
            ),
            "workspace_resource_ids": ids("workspace_resource_id"),
            "between": between("start_date"),
        },
    ),
    Presenter(
        table="assignments",
        default_order="created_at:asc",
        orders=_dates(),
        hidden=frozenset({"resource_id"}),
        derive=_assignments,
        associations={**_belongs("story", "stories"), **_belongs("assignee", "users")},
        filters={
            "with_story_ids": ids("story_id"),
            "story_ids": ids("story_id"),
            "with_assignee_ids": ids("assignee_id"),
            "current": switch("t.current = 1", "t.current = 0"),
        },
        default_filters=(
            lambda value, query: (
                (
                    "t.story_id NOT IN (SELECT s.id FROM stories s JOIN workspaces w ON w.id = s.workspace_id"
                    " WHERE w.archived = 1)",
                    (),
                )
                if query.get("in_unarchived_workspaces") in (None, "true", "1")
                else None
            ),
            lambda value, query: (
                ("t.story_id NOT IN (SELECT id FROM stories WHERE archived = 1 OR deleted_at IS NOT NULL)", ())
                if query.get("in_unarchived_stories") in (None, "true", "1")
                else None
            ),
        ),
    ),
    Presenter(
        table="rate_card_sets",
        default_order="created_at:desc",
        orders=_dates({"title": "t.title"}),
        derive=_rate_card_sets,
        associations={
            **_children("rate_cards", "rate_cards", "rate_card_set_id"),
            **_children("rate_card_set_versions", "rate_card_set_versions", "rate_card_set_id"),
            **_has_many(
                "workspace_groups",
                "workspace_groups",
                "SELECT rate_card_set_id AS owner, workspace_group_id AS id FROM rate_card_set_groups"
                " WHERE rate_card_set_id IN ({owners})",
            ),
            **_references("RateCardSet"),
        },
        filters={"account_default": switch("t.account_default = 1")},
    ),
    Presenter(
        table="rate_card_set_versions",
        default_order="created_at:asc",
        orders=_dates({"effective_date": "t.effective_date"}),
        associations={
            **_belongs("rate_card_set", "rate_card_sets"),
            **_children("rate_card_versions", "rate_card_versions", "rate_card_set_version_id"),
        },
        filters={"rate_card_set_id": ids("rate_card_set_id"), "effective_on_date": _effective_on},
    ),
    Presenter(
        table="rate_cards",
        orders=_dates(),
        derive=_rate_cards,
        associations={
            **_belongs("rate_card_set", "rate_card_sets"),
            **_children("rate_card_versions", "rate_card_versions", "rate_card_id"),
            "effective_rate_card_version": Association(
                key="rate_card_versions",
                ids_sql="SELECT v.rate_card_id AS owner, v.id FROM rate_card_versions v WHERE v.id IN ("
                "SELECT (SELECT x.id FROM rate_card_versions x JOIN rate_card_set_versions s ON"
                " s.id = x.rate_card_set_version_id WHERE x.rate_card_id = c.id AND s.active = 1"
                " AND s.effective_date <= (SELECT strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch') FROM _clock)"
                " ORDER BY s.effective_date DESC LIMIT 1) FROM rate_cards c WHERE c.id IN ({owners}))",
                ids_field="effective_rate_card_version_id",
                single=True,
            ),
            **_references("RateCard"),
        },
        filters={"rate_card_set_id": ids("rate_card_set_id"), "currency": texts("currency")},
    ),
    Presenter(
        table="rate_card_versions",
        default_order="created_at:asc",
        orders=_dates(),
        money=frozenset({"default_rate"}),
        derive=_rate_card_versions,
        associations={
            **_belongs("rate_card", "rate_cards"),
            **_belongs("rate_card_set_version", "rate_card_set_versions"),
            **_children("rate_card_roles", "rate_card_roles", "rate_card_version_id"),
        },
        filters={"rate_card_id": ids("rate_card_id"), "rate_card_set_version_id": ids("rate_card_set_version_id")},
    ),
    Presenter(
        table="rate_card_roles",
        default_order="created_at:asc",
        orders=_dates(),
        money=frozenset({"rate"}),
        associations={**_belongs("rate_card_version", "rate_card_versions"), **_belongs("role", "roles")},
        filters={"rate_card_version_id": ids("rate_card_version_id"), "role_id": ids("role_id")},
    ),
    Presenter(
        table="time_entries",
        default_order="date_performed:desc",
        orders=_dates({"date_performed": "t.date_performed"}),
        included_only=frozenset({"recent_submission_id", "invoice_id"}),
        money=_MONEY_OF_LINES,
        derive=_time_entries,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("user", "users"),
            **_belongs("story", "stories"),
            **_belongs("role", "roles"),
            **_belongs("active_submission", "timesheet_submissions"),
            **_belongs("recent_submission", "timesheet_submissions"),
            **_belongs("invoice", "invoices"),
            **_references("TimeEntry"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "with_user_ids": ids("user_id"),
            "date_performed_between": between("date_performed"),
            "billable": switch("t.billable = 1", "t.billable = 0"),
            "approved": _approved_lines("time"),
            "invoiced": flag("t.invoice_id IS NOT NULL"),
            "uninvoiced": flag("t.invoice_id IS NULL"),
            "in_active_invoice_id": ids("invoice_id"),
            "in_active_submission": switch("t.active_submission_id IS NOT NULL", "t.active_submission_id IS NULL"),
            "with_timesheet_id": ids("active_submission_id"),
            "with_recent_timesheet_ids": ids("recent_submission_id"),
            "with_story_ids": ids("story_id"),
        },
        default_filters=(_hide_archived_projects, _on_my_account),
    ),
    *(
        Presenter(
            table=kind,
            default_order="date:desc",
            orders={"date": "t.start_date"},
            money=frozenset({"line_item_total_in_cents"}),
            derive=_submissions,
            associations={
                **_belongs("workspace", "workspaces"),
                **_belongs("user", "users"),
                **_has_many(
                    lines,
                    lines,
                    f"SELECT recent_submission_id AS owner, id FROM {lines}"
                    " WHERE recent_submission_id IN ({owners}) ORDER BY id",
                ),
                **_has_many(
                    "line_items",
                    lines,
                    f"SELECT active_submission_id AS owner, id FROM {lines}"
                    " WHERE active_submission_id IN ({owners}) ORDER BY id",
                ),
                **_references(subject),
            },
            filters={
                "workspace_id": ids("workspace_id"),
                "workspace_ids": ids("workspace_id"),
                "user_id": ids("user_id"),
                "with_user_ids": ids("user_id"),
                "status": _statuses,
                "between": between("start_date"),
            },
        )
        for kind, lines, subject in (
            ("timesheet_submissions", "time_entries", "TimesheetSubmission"),
            ("expense_report_submissions", "expenses", "ExpenseReportSubmission"),
        )
    ),
    Presenter(
        table="expenses",
        default_order="date:desc",
        orders={"date": "t.date", "created_at": "t.created_at"},
        hidden=frozenset({"fx_source_currency", "fx_source_value", "fx_rate", "fx_date"}),
        included_only=frozenset({"recent_submission_id", "invoice_id"}),
        derive=_expenses,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("user", "users"),
            **_belongs("story", "stories"),
            **_belongs("role", "roles"),
            **_belongs("vendor", "vendors"),
            **_belongs("expense_category", "expense_categories"),
            **_belongs("active_submission", "expense_report_submissions"),
            **_belongs("recent_submission", "expense_report_submissions"),
            **_belongs("invoice", "invoices"),
            **_references("Expense"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "with_user_ids": ids("user_id"),
            "date_between": between("date"),
            "approved": _approved_lines("expense"),
            "invoiced": flag("t.invoice_id IS NOT NULL"),
            "uninvoiced": flag("t.invoice_id IS NULL"),
            "submitted": flag("t.active_submission_id IS NOT NULL"),
            "unsubmitted": flag("t.active_submission_id IS NULL"),
            "in_active_invoice_id": ids("invoice_id"),
            "with_expense_report_id": ids("active_submission_id"),
        },
        default_filters=(_hide_archived_projects, _on_my_account),
    ),
    Presenter(
        table="expense_categories",
        default_order="name:asc",
        orders=_dates({"name": "t.name"}),
        default_filters=(hides("t.deleted_at IS NULL", "show_deleted", "include_deleted"),),
    ),
    Presenter(
        table="vendors", default_order="name:asc", orders=_dates({"name": "t.name"}), associations=_references("Vendor")
    ),
    Presenter(
        table="invoices",
        orders=_dates({"invoice_date": "t.invoice_date", "due_date": "t.due_date"}),
        derive=_invoices,
        associations={
            **_belongs("user", "users"),
            **_belongs("recipient", "users"),
            **_children("time_entries", "time_entries", "invoice_id"),
            **_children("expenses", "expenses", "invoice_id"),
            **_children("fixed_fee_items", "fixed_fee_items", "invoice_id"),
            **_children("additional_items", "additional_items", "invoice_id"),
            **_children("billing_milestones", "billing_milestones", "invoice_id"),
            **_has_many(
                "workspaces",
                "workspaces",
                "SELECT invoice_id AS owner, workspace_id AS id FROM invoice_workspaces WHERE invoice_id IN ({owners})",
            ),
            **_references("Invoice"),
        },
        filters={
            "workspace_id": ids_by("t.id IN (SELECT invoice_id FROM invoice_workspaces WHERE workspace_id IN ({ids}))"),
            "workspace_ids": ids_by(
                "t.id IN (SELECT invoice_id FROM invoice_workspaces WHERE workspace_id IN ({ids}))"
            ),
            "paid": flag("t.status = 'accepted payment'"),
            "pending": _pending,
            "without_drafts": flag("t.draft = 0"),
            "user_invoice_number": _number_is("user_invoice_number"),
            "within_dates": _within_dates,
        },
    ),
    Presenter(
        table="fixed_fee_items",
        default_order="created_at:asc",
        orders=_dates(),
        associations={**_belongs("invoice", "invoices"), **_belongs("workspace", "workspaces")},
        filters={"invoice_id": ids("invoice_id")},
    ),
    Presenter(
        table="additional_items",
        default_order="created_at:asc",
        orders=_dates(),
        associations={**_belongs("invoice", "invoices"), **_belongs("workspace", "workspaces")},
        filters={"invoice_id": ids("invoice_id")},
    ),
    Presenter(
        table="external_payments",
        orders=_dates(),
        derive=_with_project_currency,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("invoice", "invoices"),
            **_belongs("user", "users"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "invoice_id": ids("invoice_id"),
        },
    ),
    Presenter(
        table="external_references",
        default_order="last_synced_at:desc",
        orders=_dates({"last_synced_at": "t.last_synced_at"}),
        plain_ids=frozenset({"subject_id"}),
        associations={"subject": Association(key=None)},
        filters={
            "subject_type": texts("subject_type"),
            "subject_id": ids("subject_id"),
            "subject_ids": ids("subject_id"),
            "service_name": _text_is("service_name"),
            "service_model": _text_is("service_model"),
            "service_model_ref": _text_is("service_model_ref"),
            "service_model_refs": texts("service_model_ref"),
            "status": texts("status"),
            "external_reference_service_name": _text_is("service_name"),
            "external_reference_service_model": _text_is("service_model"),
            "external_reference_service_model_ref": _text_is("service_model_ref"),
            "external_reference_service_model_refs": texts("service_model_ref"),
        },
        required_params=("subject_type",),
    ),
    Presenter(
        table="custom_fields",
        default_order="created_at:asc",
        orders=_dates({"name": "t.name"}),
        plain_ids=frozenset({"account_id"}),
        associations=_children("choices", "custom_field_choices", "custom_field_id"),
        filters={
            "subject_type": texts("subject_type"),
            "value_type": texts("value_type"),
            "matching": _matching("name"),
        },
    ),
    Presenter(
        table="custom_field_choices",
        default_order="created_at:asc",
        orders=_dates({"position": "t.position"}),
        associations=_belongs("custom_field", "custom_fields"),
        filters={"custom_field_id": ids("custom_field_id"), "active": switch("t.active = 1", "t.active = 0")},
    ),
    Presenter(
        table="custom_field_values",
        default_order="created_at:asc",
        orders=_dates(),
        derive=_custom_field_values,
        associations={**_belongs("setter", "users"), "subject": Association(key=None)},
        filters={
            "subject_type": texts("subject_type"),
            "with_subject_id": ids("subject_id"),
            "with_custom_field_id": ids("custom_field_id"),
            "subject_id": ids("subject_id"),
            "custom_field_id": ids("custom_field_id"),
        },
        required_params=("subject_type",),
    ),
    Presenter(
        table="billing_milestones",
        default_order="created_at:desc",
        orders=_dates({"date_to_invoice": "t.date_to_invoice"}),
        derive=_milestones,
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("story", "stories"),
            **_belongs("invoice", "invoices"),
            **_references("BillingMilestone"),
        },
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "invoiced": flag("t.invoice_id IS NOT NULL"),
            "uninvoiced": flag("t.invoice_id IS NULL"),
        },
    ),
    Presenter(
        table="line_item_locks",
        orders=_dates({"locked_to": "t.locked_to"}),
        associations=_belongs("user", "users"),
    ),
    Presenter(
        table="estimates",
        orders=_dates({"name": "t.name"}),
        associations={
            **_belongs("workspace_group", "workspace_groups"),
            **_belongs("workspace", "workspaces"),
            **_children("estimate_scenarios", "estimate_scenarios", "estimate_id"),
            **_values("Estimate"),
            **_references("Estimate"),
        },
        filters={"workspace_group_id": ids("workspace_group_id")},
        search=("name",),
    ),
    Presenter(
        table="estimate_scenarios",
        orders=_dates(),
        associations={
            **_belongs("estimate", "estimates"),
            **_children("estimate_scenario_resources", "estimate_scenario_resources", "estimate_scenario_id"),
        },
        filters={"estimate_id": ids("estimate_id")},
    ),
    Presenter(
        table="estimate_scenario_resources",
        orders=_dates(),
        hidden=frozenset({"bill_rate_in_cents", "cost_rate_in_cents"}),
        money=frozenset({"bill_rate", "cost_rate"}),
        derive=_scenario_resources,
        associations={**_belongs("role", "roles"), **_belongs("estimate_scenario", "estimate_scenarios")},
        filters={"estimate_scenario_id": ids("estimate_scenario_id")},
        required_params=("estimate_scenario_id",),
    ),
    Presenter(
        table="posts",
        orders=_dates(),
        associations={
            **_belongs("workspace", "workspaces"),
            **_belongs("user", "users"),
            **_belongs("subject", "posts"),
            **_children("replies", "posts", "subject_id"),
        },
        filters={"workspace_id": ids("workspace_id"), "parents_only": switch("t.subject_id IS NULL")},
        default_filters=(_hide_archived_projects,),
        search=("message",),
    ),
    Presenter(
        table="project_accounting_records",
        orders=_dates({"start_date": "t.start_date", "end_date": "t.end_date"}),
        hidden=frozenset({"amount_in_cents"}),
        money=frozenset({"amount"}),
        derive=_accounting_records,
        associations={**_belongs("workspace", "workspaces"), **_references("ProjectAccountingRecord")},
        filters={
            "workspace_id": ids("workspace_id"),
            "workspace_ids": ids("workspace_id"),
            "type": texts("type"),
            "status": texts("status"),
            "start_date_between": between("start_date", ";"),
            "end_date_between": between("end_date", ";"),
        },
        default_filters=(_deleted_records,),
    ),
    Presenter(
        table="workspace_invoice_preferences",
        orders=_dates(),
        associations=_belongs("workspace", "workspaces"),
    ),
    Presenter(table="exchange_tables", orders=_dates()),
    Presenter(
        table="exchange_rates",
        orders=_dates({"effective_date": "t.effective_date"}),
        filters={"source_currency": texts("source_currency"), "target_currency": texts("target_currency")},
        results_key="exchange_rate",  # the vendor's own slip: singular in `results`, plural in the map
    ),
    Presenter(
        table="subscribed_events",
        orders={"created_at": "t.created_at", "subject_changed_at": "t.subject_changed_at"},
        plain_ids=frozenset({"account_id", "subject_id"}),
        hidden=frozenset({"payload_changes"}),
        derive=_events,
        associations={"subject": Association(key=None), **_belongs("user", "users")},
        filters={
            "event_types": texts("event_type"),
            "subject_type": texts("subject_type"),
            "subject_id": ids("subject_id"),
            "subject_ids": ids("subject_id"),
            "user_ids": ids("user_id"),
            "most_recent": switch("t.id IN (SELECT max(id) FROM subscribed_events GROUP BY subject_type, subject_id)"),
            "most_recent_by_event_type": switch(
                "t.id IN (SELECT max(id) FROM subscribed_events GROUP BY subject_type, subject_id, event_type)"
            ),
        },
    ),
)

PRESENTERS: dict[str, Presenter] = {presenter.table: presenter for presenter in _LIST}
