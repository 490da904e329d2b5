"""The planted secrets of every connection are nowhere: not in a log, journal, table, Dagster record, plan or error.

Searched after the whole loop, and after commands that fail in the ways that tempt a program to print its credentials.
The sandboxes' own stores and the output of the sandboxes are theirs and are left out.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click.testing
import duckdb
import pytest

from ingestion import pipelines
from orchestration import stacks
from orchestration.cli import main
from platforms.kit.registry import spec
from tests.end_to_end.harness import UNLIMITED, Firm
from tests.end_to_end.test_bad_input import a_page_in_the_vendors_place

pytestmark = pytest.mark.timeout(1200)


def secrets_of(firm: Firm) -> dict[str, str]:
    """Name -> secret: the secret settings of all connections (each long line of a key), and tokens that were given out."""
    env, found = firm.env, {}
    for platform in stacks.connections().values():
        for setting in spec(platform).settings:
            value = env.get(f"CONNECTIONS__{platform.upper()}__{setting.name.upper()}")
            if setting.secret and value:
                lines = [line for line in value.replace("\\n", "\n").splitlines() if "-----" not in line]
                for number, line in enumerate(lines):
                    if len(line) >= 8:
                        found[f"{platform}.{setting.name}.{number}"] = line
    for number, (token,) in enumerate(firm.books.ask("salesforce", "SELECT token FROM _sessions")):
        found[f"salesforce session {number}"] = str(token)
    return found


def spellings(secret: str) -> set[str]:
    """As it is, and as it would stand in a URL or form body."""
    return {secret, quote(secret, safe=""), quote(secret)}


def in_text(text: str, secrets: dict[str, str]) -> set[str]:
    return {name for name, secret in secrets.items() if any(spelling in text for spelling in spellings(secret))}


def in_files(folder: Path, secrets: dict[str, str]) -> set[str]:
    """Secrets in any file under `folder`, as bytes (SQLite and logs hold text as it is)."""
    found = set()
    wanted = [(name, spelling.encode()) for name, secret in secrets.items() for spelling in spellings(secret)]
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            found |= {f"{name} in {file.relative_to(folder)}" for name, spelling in wanted if spelling in content}
    return found


def in_database(path: Path, secrets: dict[str, str]) -> set[str]:
    """Secrets in any text column of any table (DuckDB packs its strings, so bytes say nothing)."""
    found = set()
    with duckdb.connect(str(path), read_only=True) as database:
        tables: list[tuple[str, str, list[str]]] = database.execute(
            "SELECT c.schema_name, c.table_name, list(c.column_name) FROM duckdb_columns() c JOIN duckdb_tables() t"
            " USING (schema_name, table_name) WHERE NOT c.internal AND (c.data_type LIKE 'VARCHAR%' OR c.data_type = 'JSON')"
            " GROUP BY 1, 2"
        ).fetchall()
        assert len(tables) > 50
        for schema, table, columns in tables:
            row = "concat_ws(' ', " + ", ".join(f'"{column}"' for column in columns) + ")"
            hits = ", ".join(f"bool_or(contains({row}, ?))" for _ in secrets)
            answer = (
                database.execute(f'SELECT {hits} FROM "{schema}"."{table}"', list(secrets.values())).fetchone() or ()
            )
            found |= {f"{name} in {schema}.{table}" for name, hit in zip(secrets, answer, strict=True) if hit}
    return found


def test_no_secret_is_anywhere_after_the_loop_and_after_failures(looped: Path, tmp_path: Path) -> None:
    outputs = {file.name: file.read_text() for file in looped.glob("*.*") if file.suffix in (".json", ".stderr")}
    with Firm.copy_of(looped, tmp_path, limits=UNLIMITED) as firm:
        secrets = secrets_of(firm)
        assert {name.partition(".")[0] for name in secrets if "." in name} == set(stacks.connections().values())
        run = click.testing.CliRunner().invoke
        with firm.here():
            for arguments in (
                ["plan", "--format", "html"],
                ["plan", "--json"],
                ["status"],
                ["exceptions", "list", "--json"],
                ["doctor"],
            ):
                outputs[" ".join(arguments)] = run(main, arguments).output
        # The right credentials sent to the wrong place, and refused ones: what comes back is quoted in errors.
        with a_page_in_the_vendors_place() as url:
            wrong = {f"CONNECTIONS__{name.upper()}__BASE_URL": url for name in stacks.connections()}
            with firm.here(**wrong):
                result = run(main, ["ingest"])
                outputs["ingest, html"] = result.output + repr(result.exception)
                outputs["doctor, html"] = run(main, ["doctor", "--json"]).output
        for sandbox in firm.running.values():
            sandbox.faults.use({"name": "revoked", "expire_token": 1.0})
        with firm.here():
            result = run(main, ["ingest"])
            outputs["ingest, revoked"] = result.output + repr(result.exception)
        secrets |= secrets_of(firm)

    assert {name for name, text in outputs.items() if in_text(text, secrets)} == set()
    assert in_files(tmp_path / "home", secrets) == set()
    place = pipelines.home_of(tmp_path / "home")
    assert in_database(place.warehouse, secrets) == set()
    assert in_database(place.published, secrets) == set()


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    secrets = {"planted": "s3cret/with+signs=="}
    (tmp_path / "log.txt").write_text("GET /?token=s3cret%2Fwith%2Bsigns%3D%3D")
    assert in_files(tmp_path, secrets) == {"planted in log.txt"}
    assert in_text("Authorization: Bearer s3cret/with+signs==", secrets) == {"planted"}
