"""Records as the record service shows them: references and enumerations as objects, sublists linked or expanded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from platforms.netsuite.sandbox import schema
from platforms.netsuite.sandbox.schema import BY_TYPE, ENUMS, TARGET_TABLES, Field, Record, Sublist
from platforms.netsuite.sandbox.service import NetSuiteService
from platforms.netsuite.sandbox.suiteql import _DISPLAY as DISPLAY
from platforms.netsuite.sandbox.values import dec

_RECORD_OF = {"item": "serviceSaleItem", "transaction": "invoice", "entity": "customer"}


class Shower:
    """Shows records of one service with links to `base` (`https://host/services/rest/record/v1`)."""

    def __init__(self, service: NetSuiteService, base: str, *, simple_enums: bool = False) -> None:
        self._service = service
        self.base = base
        self._simple = simple_enums

    def link(self, record: str, id: int | str) -> list[dict[str, str]]:
        """The self link of a record."""
        return [{"rel": "self", "href": f"{self.base}/{record}/{id}"}]

    def record(
        self, record: Record, row: Mapping[str, Any], *, expand: bool, only: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The body of a GET. `only` (lower-case names) limits fields and sublists; null fields are left out."""
        out: dict[str, Any] = {"links": self.link(record.name, row["id"])}
        row = self._derived(record, row)
        for field in record.fields:
            if field.in_rest and (not only or field.name.lower() in only):
                value = self._value(field, row.get(field.column))
                if value is not None:
                    out[field.name] = value
        out.setdefault("id", str(row["id"]))
        for sublist in record.sublists:
            if only and sublist.name.lower() not in only:
                continue
            href = f"{self.base}/{record.name}/{row['id']}/{sublist.name}"
            out[sublist.name] = {"links": [{"rel": "self", "href": href}]}
            if expand or only:
                items = self.sublist(record, row, sublist)
                out[sublist.name] |= {"items": items, "totalResults": len(items)}
        return out

    def sublist(self, record: Record, row: Mapping[str, Any], sublist: Sublist) -> list[dict[str, Any]]:
        """The lines of a sublist."""
        if sublist.name == "apply":
            return self._applications(row)
        rows = self._service.store.read(
            f'SELECT * FROM "{sublist.table}" WHERE "{sublist.parent}" = ? AND {sublist.where} ORDER '
            f"BY {sublist.order}",
            (row["id"],),
        )
        out = []
        for line in rows:
            if sublist.name == "item" and line["quantity"] is not None and row["type"] == "CustInvc":
                line["quantity"] = -line["quantity"]
            item = {}
            for field in sublist.fields:
                value = self._value(field, line.get(field.column))
                if value is not None:
                    item[field.name] = value
            if sublist.name == "addressBook":
                address = self._service.store.one(
                    "SELECT * FROM customeraddressbookentityaddress WHERE nkey = ?", (line["addressbookaddress"],)
                )
                item["addressBookAddress"] = {
                    field.name: self._value(field, (address or {}).get(field.column))
                    for field in schema.ADDRESS
                    if (address or {}).get(field.column) is not None
                }
            out.append(item)
        return out

    def _applications(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = self._service.store.read(
            'SELECT l.foreignamount, t.* FROM transactionlinelink l JOIN "transaction" t ON t.id = l.previousdoc '
            "WHERE l.nextdoc = ? ORDER BY t.id",
            (row["id"],),
        )
        out = []
        for n, line in enumerate(rows):
            currency = self._service.row("currency", line["currency"]) or {}
            out.append(
                {
                    "line": n,
                    "doc": {
                        "links": self.link("invoice", line["id"]),
                        "id": str(line["id"]),
                        "refName": line["tranid"],
                    },
                    "apply": True,
                    "amount": number(line["foreignamount"]),
                    "applyDate": line["trandate"],
                    "due": number(dec(line["amountremaining"]) + dec(line["foreignamount"])),
                    "total": number(line["total"]),
                    "refNum": line["tranid"],
                    "type": "Invoice",
                    "currency": currency.get("name"),
                }
            )
        return out

    def _derived(self, record: Record, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if record.name == "customer":
            balance = self._service.store.one(
                "SELECT sum(CASE type WHEN 'CustInvc' THEN amountremaining ELSE -unapplied END) AS "
                'balance FROM "transaction" '
                "WHERE entity = ? AND posting = 'T' AND voided = 'F' AND type IN ('CustInvc', 'CustCred', 'CustPymt')",
                (row["id"],),
            )
            return {**row, "balance": round((balance or {}).get("balance") or 0, 2)}
        return row

    def _value(self, field: Field, value: Any) -> Any:
        if value is None:
            return None
        kind = field.kind
        if kind == "ref":
            return self._reference(field, int(value))
        if kind == "enum":
            label = ENUMS[field.target].get(str(value), str(value))
            return str(value) if self._simple else {"id": str(value), "refName": label}
        if kind == "bool":
            return value == "T"
        if kind == "dec":
            return number(value)
        if kind == "int":
            return str(value) if field.name == "id" else int(value)
        if kind == "datetime":
            return f"{value[:10]}T{value[11:] or '00:00:00'}Z"
        return value

    def _reference(self, field: Field, id: int) -> dict[str, Any]:
        tables = ["customer", "job"] if field.target == "entity" else [TARGET_TABLES.get(field.target, "")]
        for table in tables:
            row = self._service.row(table, id) if table else None
            if row is not None:
                name = _RECORD_OF.get(field.target, field.target)
                if table == "transaction":
                    name = BY_TYPE[row["type"]].name
                elif table == "job":
                    name = "job"
                out = {
                    "links": self.link(name, id),
                    "id": str(id),
                    "refName": str(row.get(DISPLAY.get(table, "id")) or id),
                }
                if row.get("externalid"):
                    out["externalId"] = row["externalid"]
                return out
        return {"id": str(id)}


def number(value: Any) -> Decimal | int:
    """A stored number as JSON shall show it: exact, without needless zeros."""
    exact = dec(value)
    whole = exact.to_integral_value()
    return int(whole) if whole == exact else exact.normalize()


def json_schema(record: Record, base: str) -> dict[str, Any]:
    """The JSON Schema of a record type, with the vendor's extension keys."""
    kinds = {"int": "integer", "dec": "number", "bool": "boolean"}
    properties: dict[str, Any] = {}
    for field in record.fields:
        if not field.in_rest:
            continue
        shown: dict[str, Any] = {"title": field.name, "nullable": not field.required}
        if field.kind == "ref":
            shown |= {"type": "object", "properties": {"id": {"type": "string"}, "refName": {"type": "string"},
                      "externalId": {"type": "string"}, "links": _links()}}  # fmt: skip
        elif field.kind == "enum":
            shown |= {"type": "object", "properties": {"id": {"type": "string", "enum": list(ENUMS[field.target])},
                      "refName": {"type": "string"}}}  # fmt: skip
        else:
            shown["type"] = "string" if field.name == "id" else kinds.get(field.kind, "string")
            if field.kind in ("date", "datetime"):
                shown["format"] = "date" if field.kind == "date" else "date-time"
            if field.kind == "dec":
                shown["format"] = "double"
        if field.filterable:
            shown["x-ns-filterable"] = True
        if field.read_only:
            shown["readOnly"] = True
        if field.name.startswith("cust") and "_" in field.name:
            shown["x-ns-custom-field"] = True
        properties[field.name] = shown
    for sublist in record.sublists:
        line = {
            field.name: {
                "title": field.name,
                "type": kinds.get(field.kind, "object" if field.kind == "ref" else "string"),
            }
            | ({"x-ns-custom-field": True} if field.name.startswith("custcol") else {})
            for field in sublist.fields
        }
        properties[sublist.name] = {
            "type": "object",
            "properties": {"links": _links(),
                           "items": {"type": "array", "items": {"type": "object", "properties": line}},
                           "totalResults": {"type": "integer"}},
        }  # fmt: skip
    properties["links"] = _links(base)
    return {"type": "object", "properties": properties, "x-ns-record-type": record.name}


def _links(base: str = "") -> dict[str, Any]:
    return {
        "title": "Links",
        "type": "array",
        "readOnly": True,
        "items": {"$ref": "/services/rest/record/v1/metadata-catalog/nsLink"},
    }
