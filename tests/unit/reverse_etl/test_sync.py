"""Settings of a sync: read from a manifest, refused early with file, model and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.sync import Mode, SyncConfigError, load_syncs, read_syncs

GOOD: dict[str, Any] = {
    "platform": "shelf",
    "object": "invoice",
    "key": {"column": "external_id", "field": "externalId"},
    "fields": {"customer_key": "entity", "lines": "item.items"},
    "references": {"customer_key": "sync_shelf__customer"},
    "json": ["lines"],
    "amount": {"column": "total", "currency": "currency"},
    "brakes": {"max_changes": 5000, "max_change_ratio": 0.5, "max_amount": "100000.00"},
    "owner": "finance-operations",
    "link": "https://shelf.example/{id}",
}
CUSTOMER: dict[str, Any] = {
    "platform": "shelf",
    "object": "customer",
    "key": {"column": "k", "field": "externalId"},
    "fields": {"name": "name"},
    "owner": "finance-operations",
}


def manifest(**models: Any) -> dict[str, Any]:
    return {
        "nodes": {
            f"model.tieout.{name}": {
                "resource_type": "model",
                "name": name,
                "database": "warehouse",
                "schema": "main",
                "alias": name,
                "patch_path": f"tieout://models/reverse_etl/{name}.yml",
                "config": {"meta": {"sync": meta}},
            }
            for name, meta in models.items()
        }
    }


def test_settings_arrive_typed_and_in_the_order_of_doing() -> None:
    customer, invoice = read_syncs(manifest(sync_shelf__invoice=GOOD, sync_shelf__customer=CUSTOMER))
    assert (customer.name, invoice.name) == ("sync_shelf__customer", "sync_shelf__invoice")
    assert invoice.mode is Mode.upsert
    assert (invoice.brakes.max_changes, str(invoice.brakes.max_change_ratio)) == (5000, "0.5")
    assert invoice.field_references() == {"entity": "sync_shelf__customer"}
    assert invoice.prerequisites == ("sync_shelf__customer",)
    assert (invoice.database, invoice.schema, invoice.table) == ("warehouse", "main", "sync_shelf__invoice")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": "merge"}, "sync.mode: 'merge' is none of upsert, create, update"),
        ({"platfrom": "x"}, "sync.platfrom: there is no such setting"),
        ({"owner": ""}, "sync.owner: is missing"),
        ({"fields": {}}, "sync.fields: at least one column"),
        ({"fields": {"a": "x", "b": "x"}, "references": {}, "json": []}, "field 'x' is already filled from column 'a'"),
        ({"references": {"nobody": "sync_shelf__customer"}}, "sync.references.nobody: this column is not one of the"),
        ({"references": {"customer_key": "sync_shelf__c"}}, "sync.references: no sync named 'sync_shelf__c'"),
        ({"brakes": {"max_change_ratio": 50}}, "sync.brakes.max_change_ratio: 50 is a share"),
        ({"brakes": {"max_chnages": 5}}, "sync.brakes.max_chnages: there is no such brake"),
        ({"brakes": {"max_changes": "many"}}, "sync.brakes.max_changes: a number is needed, not 'many'"),
        ({"link": "https://x"}, "sync.link: must contain {id}"),
        ({"key": {"column": "k"}}, "sync.key: needs `column` and `field`"),
        ({"key": {"column": "k", "field": "entity"}}, "sync.key.field: 'entity' is written by the key itself"),
        ({"platform": "nowhere"}, "sync.platform: 'nowhere' cannot be written to; there are: shelf"),
        ({"depends_on": "sync_shelf__customer"}, "sync.depends_on: a list of names is needed"),
    ],
)
def test_a_mistake_is_told_with_file_model_and_key(change: dict[str, Any], told: str) -> None:
    with pytest.raises(SyncConfigError) as caught:
        read_syncs(manifest(sync_shelf__invoice={**GOOD, **change}, sync_shelf__customer=CUSTOMER), ["shelf"])
    text = str(caught.value)
    assert text.startswith("models/reverse_etl/sync_shelf__invoice.yml: model sync_shelf__invoice: config.meta.sync")
    assert told in text


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SyncConfigError) as caught:
        read_syncs(manifest(sync_shelf__a={"mode": "x"}, sync_shelf__b={**CUSTOMER, "owner": None}))
    assert len(caught.value.mistakes) >= 5


def test_a_circle_is_named() -> None:
    one = {**CUSTOMER, "depends_on": ["sync_shelf__b"]}
    two = {**CUSTOMER, "depends_on": ["sync_shelf__a"]}
    with pytest.raises(SyncConfigError, match="in a circle: sync_shelf__"):
        read_syncs(manifest(sync_shelf__a=one, sync_shelf__b=two))


def test_a_sync_may_refer_to_itself() -> None:
    meta = {
        **CUSTOMER,
        "fields": {"name": "name", "parent": "parent"},
        "references": {"parent": "sync_shelf__customer"},
    }
    (sync,) = read_syncs(manifest(sync_shelf__customer=meta))
    assert sync.prerequisites == ()


def test_a_missing_or_broken_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SyncConfigError, match="run `dbt parse`"):
        load_syncs(tmp_path / "manifest.json")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SyncConfigError, match="not a dbt manifest"):
        load_syncs(tmp_path / "manifest.json")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest(sync_shelf__customer=CUSTOMER)))
    assert len(load_syncs(tmp_path / "manifest.json")) == 1
