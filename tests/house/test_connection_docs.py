"""The pages on connecting say what the code asks for: every field, setting and record, and none besides."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingestion import connections, requirements, sources
from orchestration import stacks
from platforms.kantata.client import REQUIRED_CUSTOM_FIELDS, singular
from platforms.kit.registry import platform_names, spec
from platforms.kit.sandbox.registry import open_ready, sandbox
from platforms.salesforce.sandbox.schema import describe_field
from platforms.salesforce.sandbox.service import SalesforceService
from tests.house.conftest import ROOT

MODELS = ROOT / "dbt_project" / "models"
Row = Mapping[str, str]


def page(platform: str) -> str:
    return (ROOT / "docs" / f"connect-{platform}.md").read_text(encoding="utf-8")


def table(text: str, *header: str) -> list[Row]:
    """The rows of the table whose header begins with these cells."""
    lines = iter(text.splitlines())
    for line in lines:
        if cells(line)[: len(header)] == list(header):
            names = cells(line)
            next(lines)
            return [dict(zip(names, cells(row), strict=True)) for row in rows_until_gap(lines)]
    raise AssertionError(f"no table with the columns {', '.join(header)}")


def rows_until_gap(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def written(platform: str) -> dict[str, set[str]]:
    """{vendor object: fields} that the syncs write."""
    found: dict[str, set[str]] = {}
    for file in sorted((MODELS / "reverse_etl" / platform).glob("*.yml")):
        for model in yaml.safe_load(file.read_text()).get("models", ()):
            sync = model.get("config", {}).get("meta", {}).get("sync")
            if sync:
                found.setdefault(sync["object"], set()).update(sync["fields"].values())
    assert found, f"no sync writes to {platform}"
    return found


@pytest.mark.parametrize("platform", platform_names())
def test_every_platform_has_a_page_that_the_readme_leads_to(platform: str) -> None:
    assert f"docs/connect-{platform}.md" in (ROOT / "README.md").read_text()
    text = page(platform)
    assert f"tieout doctor {platform}" in text
    assert "## What Tieout never does there" in text
    assert "never a person's account" in text.replace("\n", " ")


@pytest.mark.parametrize("platform", platform_names())
def test_a_page_lists_every_setting_with_its_variable_and_no_other(platform: str) -> None:
    listed = {row["key"]: row for row in table(page(platform), "key", "environment variable")}
    told = {name.removesuffix(" (secret)").strip("`"): name.endswith("(secret)") for name in listed}
    # Every connection may name a CA, whether its room reads that setting itself or leaves it to the kit.
    assert told == {setting.name: setting.secret for setting in spec(platform).settings} | {"ca_bundle": False}
    for name, row in listed.items():
        setting = name.removesuffix(" (secret)").strip("`")
        assert row["environment variable"] == connections.environment_name(platform, setting)


@pytest.mark.parametrize("platform", platform_names())
def test_a_page_names_every_object_that_is_read(platform: str) -> None:
    text = page(platform)
    objects = {one.vendor_object for one in sources.tables(platform)}
    missing = sorted(name for name in objects if not re.search(rf"\b{name}\b", text))
    assert not missing, f"docs/connect-{platform}.md: say that {', '.join(missing)} is read"


def salesforce_type(field: Mapping[str, Any]) -> str:
    """The type of a described field as the set-up screens name it."""
    digits = f"({field['precision'] - field['scale']}, {field['scale']})"
    values = ", ".join(one["value"] for one in field["picklistValues"])
    kinds = {
        "string": f"Text({field['length']})",
        "picklist": f"Picklist: {values}{' (restricted)' if field['restrictedPicklist'] else ''}",
        "boolean": "Checkbox",
        "email": "Email",
        "url": "URL",
        "date": "Date",
        "currency": f"Currency{digits}",
        "percent": f"Percent{digits}",
        "double": f"Number{digits}",
    }
    return kinds[field["type"]]


def test_the_fields_to_make_in_salesforce_are_those_that_are_read_and_written(tmp_path: Path) -> None:
    asked = requirements.of("salesforce").items()
    needed = {(name, field) for name, fields in asked for field in fields if field.endswith("__c")}
    ours = {(name, field) for name, fields in written("salesforce").items() for field in fields}
    listed = {(row["object"], row["API name"]): row for row in table(page("salesforce"), "object", "API name")}
    assert listed.keys() == needed | ours
    assert {key for key, row in listed.items() if row["written by"] == "Tieout"} == ours
    org = open_ready(sandbox("salesforce"), tmp_path, seed=7)
    assert isinstance(org, SalesforceService)
    for (name, field), row in listed.items():
        described = describe_field(org.object(name).by_name[field])
        assert (row["label"], row["type"]) == (described["label"], salesforce_type(described)), f"{name}.{field}"
        assert row["what for"]
    org.store.close()


def test_the_fields_to_make_in_kantata_are_those_that_are_read_and_written() -> None:
    rows = table(page("kantata"), "on", "name", "type")
    listed = {(re.sub(r".*\((\w+)\)", r"\1", row["on"]), row["name"]): row for row in rows}
    asked = {(on, name): kind for on, names in REQUIRED_CUSTOM_FIELDS.items() for name, kind in names.items()}
    assert {key: row["type"] for key, row in listed.items()} == asked
    ours = {
        ("".join(word.capitalize() for word in singular(name).split("_")), field.removeprefix("custom_fields."))
        for name, fields in written("kantata").items()
        for field in fields
        if field.startswith("custom_fields.")
    }
    assert {key for key, row in listed.items() if row["written by"].startswith("Tieout")} == ours
    models = "\n".join(file.read_text() for file in MODELS.rglob("*__from_kantata.sql"))
    read = set(re.findall(r"field_name = '([^']+)'", models))
    assert read == {name for _, name in listed}


def test_the_fields_to_make_in_netsuite_are_those_that_are_read_and_written() -> None:
    listed = {row["id"]: row for row in table(page("netsuite"), "id", "kind", "applies to")}
    read = {field: name for name, fields in requirements.of("netsuite").items() for field in fields if is_custom(field)}
    assert {field: row["read from"] for field, row in listed.items()} == read
    models = "\n".join(file.read_text() for file in (MODELS / "reverse_etl" / "netsuite").glob("*.sql"))
    ours = {field for fields in written("netsuite").values() for field in fields if is_custom(field)}
    ours |= set(re.findall(r"custcol_\w+", models))  # lines are sent as JSON, so no sync names their fields
    assert listed.keys() == ours
    kinds = {"custentity": "Entity Field", "custbody": "Transaction Body Field", "custcol": "Transaction Line Field"}
    for field, row in listed.items():
        assert row["kind"] == kinds[field.partition("_")[0]]
        assert row["written by"].startswith("Tieout")


def is_custom(field: str) -> bool:
    return re.match(r"cust(entity|body|col|item)_", field) is not None


def test_the_records_that_must_be_there_are_those_that_models_name() -> None:
    models = "\n".join(file.read_text() for file in MODELS.rglob("*.sql"))
    named = requirements.records("netsuite", ["US", "UK"])
    assert set(named["serviceSaleItem"]) == set(re.findall(r"'(SVC-[A-Z]+)'", models))
    assert named["subsidiary"] == ("US", "UK")
    rows = table(page("netsuite"), "record", "external id")
    assert {row["external id"] for row in rows if "serviceSaleItem" in row["record"]} == set(named["serviceSaleItem"])
    entities = ", ".join(stacks.legal_entities_of("netsuite"))
    assert entities in page("netsuite")
    assert f"Picklist: {entities} (restricted)" in page("salesforce")


def uncommented(text: str) -> dict[str, Any]:
    """An example file with all that is commented out taken in."""
    return tomllib.loads(re.sub(r"^# (?=\[\w|\w+ = )", "", text, flags=re.MULTILINE))


def test_the_example_settings_are_settings_that_there_are() -> None:
    config = (ROOT / ".dlt" / "config.toml").read_text()
    example = (ROOT / ".dlt" / "secrets.toml.example").read_text()
    assert "connections" not in tomllib.loads(config), "as committed it must leave every connection alone"
    plain, secret = uncommented(config)["connections"], tomllib.loads(example)["connections"]
    for sections, is_secret in ((plain, False), (secret, True)):
        assert platform_names() == sorted(name for name in sections if "platform" not in sections[name])
        for name, section in sections.items():
            settings = spec(section.get("platform", name)).settings
            known = {setting.name for setting in settings if setting.secret is is_secret}
            known |= set() if is_secret else set(connections._COMMON_SETTINGS)
            assert section.keys() <= known, (
                f"[connections.{name}] in the {'secrets' if is_secret else 'config'} example"
            )
    assert not any(value for section in secret.values() for value in section.values())
    for platform in platform_names():
        assert secret[platform].keys() == {setting.name for setting in spec(platform).settings if setting.secret}
