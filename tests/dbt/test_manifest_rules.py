"""The rules of the dbt project, read off its manifest. A failing rule names every model that breaks it and a cure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]
Node = dict[str, Any]

# What each layer may read. Canonical models are filled from staging, and from the steps that several of them share;
# identities are worked out from canonical records, so the steps of models/intermediate read them too.
MAY_READ = {
    "staging": {"source"},
    "intermediate": {"staging", "intermediate", "canonical", "seed"},
    "canonical": {"staging", "intermediate", "canonical", "seed"},
    "marts": {"staging_tieout", "intermediate", "canonical", "marts", "seed"},
    "reverse_etl": {"staging_tieout", "intermediate", "canonical", "marts", "reverse_etl", "seed"},
}
NAMES = {
    "staging": r"stg_(?P<folder>[a-z0-9]+)__[a-z0-9_]+",
    "intermediate": r"int_[a-z0-9_]+",
    "canonical": r"canonical__[a-z_]+|[a-z_]+__from_[a-z0-9]+",
    "marts": r"(dim|fct|rpt)_[a-z0-9_]+|[a-z_]+__[a-z0-9_]+",
    "reverse_etl": r"sync_(?P<folder>[a-z0-9]+)__[a-z0-9_]+",
}


def models(manifest: Manifest) -> Iterator[Node]:
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            yield node


def layer(node: Node) -> str:
    if node["resource_type"] in ("seed", "source"):
        return str(node["resource_type"])
    return str(node["fqn"][1])


def is_platform_part(node: Node) -> bool:
    """How one platform fills a contract: its columns are the contract's, which describes them."""
    return "__from_" in node["name"]


def data_tests_of(manifest: Manifest) -> dict[str, list[Node]]:
    """model unique id -> its data tests."""
    found: dict[str, list[Node]] = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test" and node.get("attached_node"):
            found.setdefault(node["attached_node"], []).append(node)
    return found


def explain(rule: str, broken: list[str]) -> str:
    return f"{rule}\n  " + "\n  ".join(sorted(broken))


def test_every_name_tells_its_layer_and_platform(manifest: Manifest) -> None:
    broken = []
    for node in models(manifest):
        match = re.fullmatch(NAMES.get(layer(node), r".*"), node["name"])
        folder = node["fqn"][2] if len(node["fqn"]) > 3 else None
        if match is None or match.groupdict().get("folder") not in (None, folder):
            broken.append(f"{node['original_file_path']}: expected {NAMES[layer(node)]}")
    assert not broken, explain(
        "A model's name says its layer (and platform, its folder): rename the file, its yml entry and its refs.",
        broken,
    )


def test_every_model_says_its_grain_first(manifest: Manifest) -> None:
    broken = [
        f"{node['original_file_path']}: {node['description'][:60]!r}"
        for node in models(manifest)
        if not node["description"].startswith(("One row per", "One row for"))
    ]
    assert not broken, explain(
        "A description opens with the grain, 'One row per ...': who joins the model must know it before anything else.",
        broken,
    )


def test_every_column_is_described(manifest: Manifest) -> None:
    broken = []
    for node in models(manifest):
        if is_platform_part(node):
            continue
        if not node["columns"]:
            broken.append(f"{node['name']}: no column is listed in its yml")
        broken += [f"{node['name']}.{name}" for name, column in node["columns"].items() if not column["description"]]
    assert not broken, explain(
        "Every column has one description; share it with a doc block when it is needed twice.", broken
    )


def test_every_key_is_tested(manifest: Manifest) -> None:
    tests = data_tests_of(manifest)
    broken = []
    for node in models(manifest):
        if layer(node) not in ("canonical", "marts", "reverse_etl") or is_platform_part(node):
            continue
        kinds = {(test.get("test_metadata") or {}).get("name") for test in tests.get(node["unique_id"], [])}
        if not kinds & {"unique", "unique_combination"}:
            broken.append(node["name"])
    assert not broken, explain(
        "A model above staging tests its key: unique and not_null on one column, or unique_combination on several.",
        broken,
    )


def test_every_contract_is_enforced_and_typed(manifest: Manifest) -> None:
    broken = []
    for node in models(manifest):
        if layer(node) not in ("canonical", "reverse_etl") or is_platform_part(node):
            continue
        if not node["contract"]["enforced"]:
            broken.append(f"{node['name']}: config.contract.enforced is not true")
        broken += [f"{node['name']}.{name}: no data_type" for name, c in node["columns"].items() if not c["data_type"]]
    assert not broken, explain(
        "canonical/ and reverse_etl/ are read by others: contracts are enforced and every column has a data_type.",
        broken,
    )


def test_every_money_column_has_its_currency_beside_it(manifest: Manifest) -> None:
    broken = []
    for node in models(manifest):
        if layer(node) != "canonical" or is_platform_part(node):
            continue
        money = [name for name in node["columns"] if name.endswith(("_amount", "_price")) or name == "amount"]
        if money and not any("currency" in name for name in node["columns"]):
            broken.append(f"{node['name']}: {', '.join(money)}")
        broken += [
            f"{node['name']}.{name} is {node['columns'][name]['data_type']}, not decimal(20,4)"
            for name in money
            if node["columns"][name]["data_type"] != "decimal(20,4)"
        ]
    assert not broken, explain("Money is decimal(20,4) with a currency column in the same row.", broken)


def test_no_column_of_a_contract_is_a_float(manifest: Manifest) -> None:
    floats = ("float", "double", "real")
    broken = [
        f"{node['name']}.{name} is {column['data_type']}"
        for node in models(manifest)
        for name, column in node["columns"].items()
        if str(column["data_type"] or "").lower().startswith(floats)
    ]
    assert not broken, explain("Use decimal: a float cannot hold a cent.", broken)


def test_layers_do_not_skip(manifest: Manifest) -> None:
    broken = []
    nodes = {**manifest["nodes"], **manifest["sources"]}
    for node in models(manifest):
        allowed = MAY_READ.get(layer(node))
        if allowed is None:
            broken.append(f"{node['original_file_path']}: models/{layer(node)} is no layer")
            continue
        for parent_id in node["depends_on"]["nodes"]:
            parent = nodes[parent_id]
            read = layer(parent)
            if read == "staging" and parent["fqn"][2] == "tieout" and "staging_tieout" in allowed:
                continue  # Tieout's own journal needs no contract between vendors
            if read not in allowed or (is_platform_part(parent) and layer(node) != "canonical"):
                broken.append(f"{node['name']} reads {parent['name']} ({read})")
    assert not broken, explain(
        "Layers are read in order: source -> staging -> canonical (with intermediate steps) -> marts -> reverse_etl. "
        "Above staging no vendor's table is read: what is missing in canonical belongs into its contract.",
        broken,
    )


def test_staging_is_one_to_one(manifest: Manifest) -> None:
    broken = [
        f"{node['name']} reads {len(node['depends_on']['nodes'])} relations"
        for node in models(manifest)
        if layer(node) == "staging" and len(node["depends_on"]["nodes"]) != 1
    ]
    assert not broken, explain(
        "A staging model renames one raw table; joins belong to intermediate or canonical.", broken
    )


def test_no_schema_is_written_by_hand(manifest: Manifest) -> None:
    hard_coded = re.compile(
        r"\b(from|join)\s+[\"`]?(raw_[a-z0-9]+|staging|intermediate|canonical|marts|reverse_etl|main)[\"`]?\s*\.", re.I
    )
    broken = [node["original_file_path"] for node in models(manifest) if hard_coded.search(node["raw_code"])]
    assert not broken, explain(
        "Relations are named by ref() and source(): a schema in the SQL breaks lineage and other targets.", broken
    )


def test_every_raw_table_of_ingestion_is_a_source(manifest: Manifest) -> None:
    from raw_warehouse import platforms, tables

    known = {(source["source_name"], source["name"]) for source in manifest["sources"].values()}
    broken = [
        f"raw_{platform}.{table.name}"
        for platform in platforms()
        for table in tables(platform)
        if (f"raw_{platform}", table.name) not in known
    ]
    assert not broken, explain(
        "Every table that ingestion declares is listed in models/staging/<platform>/_<platform>__sources.yml.", broken
    )


def test_every_source_is_a_raw_table_of_ingestion(manifest: Manifest) -> None:
    from raw_warehouse import platforms, tables

    declared = {(f"raw_{platform}", table.name) for platform in platforms() for table in tables(platform)}
    broken = [
        f"{source['source_name']}.{source['name']}"
        for source in manifest["sources"].values()
        if (source["source_name"], source["name"]) not in declared
    ]
    assert not broken, explain(
        "A source that ingestion does not declare hangs in the air: no load ever fills it.", broken
    )


def test_every_write_back_ends_in_an_exposure(manifest: Manifest) -> None:
    exposed = {parent for exposure in manifest["exposures"].values() for parent in exposure["depends_on"]["nodes"]}
    broken = [
        node["name"]
        for node in models(manifest)
        if node["name"].startswith("sync_") and node["unique_id"] not in exposed
    ]
    assert not broken, explain("Each sync_ model has an exposure, so that lineage ends where the data ends.", broken)


def test_every_deciding_case_has_a_unit_test(manifest: Manifest) -> None:
    tested = {test["depends_on"]["nodes"][0] for test in manifest["unit_tests"].values()}
    deciding = re.compile(r"\bcase\b(?:(?!\bend\b).)*?\bthen\s+'", re.S | re.I)
    broken = [
        node["original_file_path"]
        for node in models(manifest)
        if layer(node) in ("canonical", "intermediate", "marts")
        and deciding.search(node["raw_code"])
        and node["unique_id"] not in tested
    ]
    assert not broken, explain(
        "A case that decides a word (a state, a reason, a kind) has a unit test with a row for each branch.", broken
    )
