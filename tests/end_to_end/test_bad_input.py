"""What goes wrong outside is told in one clear sentence, loses nothing, and the exit status is not 0.

Each through the command line; most in this process (click's runner), because starting Dagster and dlt takes seconds.
After each fault the same command without it succeeds and finds everything: that is what "nothing lost" means here.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import duckdb
import pytest
from sqlalchemy import Engine, event

from ingestion import pipelines
from orchestration import write_back
from orchestration.cli import main
from orchestration.home import PROJECT_ROOT
from reverse_etl.journal.store import Journal
from tests.end_to_end.books import Books, difference
from tests.end_to_end.harness import UNLIMITED, Firm

pytestmark = pytest.mark.timeout(1200)

PLATFORMS = ("kantata", "netsuite", "salesforce")
# The setting that proves who we are, and a wrong one of the right form.
WRONG = {
    "salesforce": {"CONNECTIONS__SALESFORCE__CLIENT_SECRET": "not-the-secret-1234567890"},
    "kantata": {"CONNECTIONS__KANTATA__TOKEN": "not-the-token-1234567890"},
    "netsuite": {"CONNECTIONS__NETSUITE__CLIENT_ID": "not-the-client-1234567890"},
}


UNMAPPED = ("canonical__opportunity", "canonical__unmapped_value")


@pytest.fixture
def firm(built: Path, tmp_path: Path) -> Iterator[Firm]:
    with Firm.copy_of(built, tmp_path, limits=UNLIMITED) as firm:
        yield firm


def tieout(firm: Firm, *arguments: str, **variables: str) -> click.testing.Result:
    """`tieout <arguments>` in this process, on this firm."""
    with firm.here(**variables):
        return click.testing.CliRunner().invoke(main, list(arguments))


def refused(result: click.testing.Result) -> str:
    """What a command that did not do what was asked said; no trace, and a status that is not 0."""
    assert result.exit_code != 0, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return str(result.output)


def change_something(firm: Firm, platform: str) -> str:
    """A change that the next ingestion has to bring; returns the SQL that counts it in the warehouse (1 when it is there)."""
    service: Any = firm.running[platform].service
    service.clock.tick(5000)
    if platform == "salesforce":
        row = next(iter(service.rows("Account")))
        service.update("Account", row["Id"], {"Phone": "+44 20 7946 0000"}, actor="")
        return "SELECT count(*) FROM raw_salesforce.account WHERE phone = '+44 20 7946 0000'"
    if platform == "kantata":
        row = next(iter(service.rows("workspaces")))
        service.update("workspaces", str(row["id"]), {"title": "Renamed in trouble"}, actor=None)
        return "SELECT count(*) FROM raw_kantata.workspaces WHERE title = 'Renamed in trouble'"
    row = next(iter(service.rows("customer")))
    service.update("customer", str(row["id"]), {"phone": "+49 30 5550100"}, actor="")
    return "SELECT count(*) FROM raw_netsuite.customer WHERE phone = '+49 30 5550100'"


def in_warehouse(firm: Firm, question: str) -> Any:
    with duckdb.connect(str(pipelines.home_of(firm.home.root).warehouse), read_only=True) as database:
        return database.execute(question).fetchall()[0][0]


def refused_then_healed(firm: Firm, platform: str, **variables: str) -> str:
    """Ingest with the fault and without: refused and nothing loaded, then all of it; returns what was said."""
    count = change_something(firm, platform)
    said = refused(tieout(firm, "ingest", f"raw_{platform}", **variables))
    assert platform in said
    assert in_warehouse(firm, count) == 0
    assert tieout(firm, "ingest", f"raw_{platform}").exit_code == 0
    assert in_warehouse(firm, count) == 1
    return said


# -- the platform ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", PLATFORMS)
def test_wrong_credentials(firm: Firm, platform: str) -> None:
    said = refused_then_healed(firm, platform, **WRONG[platform])
    assert "Next: " in said, "the message says what to do"
    assert all(value not in said for value in WRONG[platform].values() if "SECRET" in value or "TOKEN" in value)
    examined = refused(tieout(firm, "doctor", platform, **WRONG[platform]))
    assert "FAIL" in examined


@pytest.mark.parametrize("platform", ["salesforce"])
def test_an_unreachable_platform(firm: Firm, platform: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets the port
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused_then_healed(
            firm, platform, **{f"CONNECTIONS__{platform.upper()}__BASE_URL": f"http://{address}"}
        )
    assert "127.0.0.1" in said


@contextlib.contextmanager
def a_page_in_the_vendors_place() -> Iterator[str]:
    """A proxy's maintenance page, with status 200, whatever is asked."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><html><body><h1>We are down for maintenance</h1></body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_vendor_that_answers_html(firm: Firm, platform: str) -> None:
    with a_page_in_the_vendors_place() as url:
        path = "/api/v1" if platform == "kantata" else ""
        said = refused_then_healed(firm, platform, **{f"CONNECTIONS__{platform.upper()}__BASE_URL": f"{url}{path}"})
    assert "maintenance page" in said, "the message says what it may be"


def test_a_removed_column(firm: Firm) -> None:
    service: Any = firm.running["salesforce"].service
    change_something(firm, "salesforce")
    before = in_warehouse(firm, "SELECT count(*) FROM raw_salesforce.account WHERE legal_name__c IS NOT NULL")
    service.remove_field("Account", "Legal_Name__c")
    said = refused(tieout(firm, "ingest", "raw_salesforce"))
    assert "Legal_Name__c" in said
    assert "account" in said.lower()
    assert (
        in_warehouse(firm, "SELECT count(*) FROM raw_salesforce.account WHERE legal_name__c IS NOT NULL") == before > 0
    )


def test_a_changed_type(firm: Firm) -> None:
    service: Any = firm.running["salesforce"].service
    count = change_something(firm, "salesforce")
    service.alter_field("Account", "Phone", type="boolean")
    said = refused(tieout(firm, "ingest", "raw_salesforce"))
    assert "phone" in said.lower()
    assert in_warehouse(firm, count) == 0
    service.alter_field("Account", "Phone", type="phone")
    assert tieout(firm, "ingest", "raw_salesforce").exit_code == 0
    assert in_warehouse(firm, count) == 1


def test_an_unknown_picklist_value(firm: Firm) -> None:
    service: Any = firm.running["salesforce"].service
    service.clock.tick(5000)
    service.alter_field("Opportunity", "Billing_Type__c", restricted=False)
    deal = next(iter(service.rows("Opportunity", '"IsWon" = 1')))
    service.update("Opportunity", deal["Id"], {"Billing_Type__c": "Barter"}, actor="")
    published = firm.snapshot.stat().st_mtime_ns
    assert tieout(firm, "ingest", "raw_salesforce").exit_code == 0
    # Only the models that look: a whole build says the same and takes half a minute.
    said = refused(tieout(firm, "build", *UNMAPPED))
    assert "Barter" in said
    assert "value_mappings.csv" in said
    assert firm.snapshot.stat().st_mtime_ns == published, "readers and plans keep the last good build"
    service.update("Opportunity", deal["Id"], {"Billing_Type__c": deal["Billing_Type__c"]}, actor="")
    assert tieout(firm, "ingest", "raw_salesforce").exit_code == 0
    assert tieout(firm, "build", *UNMAPPED).exit_code == 0


# -- this machine ------------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_while_the_journal_is_written(firm: Firm, undisturbed: Path) -> None:
    """The journal may take a few pages more and no others, which SQLite tells as it tells a full disk."""
    Journal.open(firm.home.journal_url).close()
    journal = firm.home.root / "journal.sqlite"
    allowed = journal.stat().st_size // 4096 + 30

    def small(connection: Any, _: Any) -> None:
        if any(str(row[2]) == str(journal) for row in connection.execute("PRAGMA database_list")):
            connection.execute(f"PRAGMA max_page_count = {allowed}")

    event.listen(Engine, "connect", small)
    try:
        said = refused(tieout(firm, "apply"))
    finally:
        event.remove(Engine, "connect", small)
    assert "disk is full" in said
    assert tieout(firm, "apply").exit_code == 0
    assert tieout(firm, "apply").exit_code == 0
    assert [source for source, n in firm.books.lines().items() if n > 1] == []
    assert difference(Books(undisturbed / "sandbox").content(), firm.books.content()) == []


def test_a_locked_warehouse(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    # The product waits half a minute for a person's DuckDB shell; the test does not.
    opened: Any = pipelines.connected
    monkeypatch.setitem(opened.__wrapped__.__kwdefaults__, "timeout", 0.5)
    warehouse = pipelines.home_of(firm.home.root).warehouse
    shell = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb; c = duckdb.connect({str(warehouse)!r}); print('open', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    count = change_something(firm, "salesforce")
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline().strip() == "open"
        said = refused(tieout(firm, "ingest", "raw_salesforce"))
    finally:
        shell.communicate("\n", timeout=30)
    assert str(shell.pid) in said
    assert "published.duckdb" in said, "the message says where to read instead"
    assert tieout(firm, "ingest", "raw_salesforce").exit_code == 0
    assert in_warehouse(firm, count) == 1


def test_a_settings_file_that_is_not_toml(firm: Firm, tmp_path: Path) -> None:
    folder = tmp_path / "settings" / ".dlt"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[connections.salesforce]\nbase_url = "https://example.my.salesforce.com\n')
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "ingest"], cwd=PROJECT_ROOT, text=True, timeout=120, check=False,
        env={**os.environ, **firm.env, "DLT_PROJECT_DIR": str(folder.parent)}, capture_output=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "config.toml is not valid TOML" in said
    assert "line 2" in said
    assert "Traceback" not in said


def test_a_setting_that_is_missing_or_misspelt(firm: Firm) -> None:
    with firm.here(CONNECTIONS__KANTATA__TOKEN=None):
        said = refused(click.testing.CliRunner().invoke(main, ["ingest", "raw_kantata"]))
    assert "CONNECTIONS__KANTATA__TOKEN" in said
    said = refused(tieout(firm, "ingest", "raw_kantata", CONNECTIONS__KANTATA__TOKN="x"))
    assert "tokn" in said


def test_a_warehouse_that_was_never_built(tmp_path: Path) -> None:
    write_back.target.cache_clear()
    with Firm(root=tmp_path) as firm:
        said = refused(tieout(firm, "plan"))
    assert "tieout run" in said
