"""`tieout doctor` against the sandboxes: what is well, what is wrong, what to do about it, and the exit status."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestration.cli import main
from platforms.kit.registry import spec
from platforms.kit.sandbox.registry import open_ready, sandbox, sandbox_names
from platforms.kit.sandbox.server import RunningSandbox, certificate
from platforms.netsuite.sandbox import credentials, schema, suiteql
from platforms.netsuite.sandbox.service import NetSuiteService
from platforms.salesforce.sandbox.service import SalesforceService

PLATFORMS = ("kantata", "netsuite", "salesforce")
WRONG = "wrong-secret-0815-of-a-test"


@dataclass(frozen=True)
class Answer:
    """What one `tieout doctor` said."""

    status: int
    output: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """The document of `--json`."""
        found = json.loads(self.output)
        assert isinstance(found, list)
        return found

    def wrong(self, connection: str, level: str = "error") -> dict[str, str]:
        """{what: fix} of one connection."""
        (result,) = [one for one in self.results if one["connection"] == connection]
        return {one["what"]: one["fix"] for one in result["findings"] if one["level"] == level}


Serve = Callable[..., dict[str, RunningSandbox]]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The states of three fresh platforms, certificates included."""
    base = tmp_path_factory.mktemp("fresh")
    for name in sandbox_names():
        open_ready(sandbox(name), base / name, 7).store.close()
        certificate(base / name, sandbox(name).hosts)
    return base


@pytest.fixture
def serve(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """`serve("kantata")`: these platforms running, and an environment that points Tieout at them only."""
    monkeypatch.setenv("TIEOUT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    with ExitStack() as stack:

        def start(*names: str) -> dict[str, RunningSandbox]:
            found = {}
            for name in names:
                state = Path(shutil.copytree(fresh / name, tmp_path / name))
                found[name] = stack.enter_context(RunningSandbox(name, state))
                for variable, value in found[name].env.items():
                    monkeypatch.setenv(variable, value)
            return found

        yield start


def doctor(*arguments: str) -> Answer:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return Answer(done.exit_code, done.stdout)


def secrets_of(running: RunningSandbox) -> set[str]:
    """Every piece of a secret that the sandbox was set up with and Tieout was given."""
    platform = spec(running.spec.name)
    prefix = f"CONNECTIONS__{platform.name.upper()}__"
    planted = [running.env.get(prefix + setting.name.upper(), "") for setting in platform.settings if setting.secret]
    return {line for value in planted for line in value.splitlines() if len(line) > 8 and "-----" not in line}


def without_field(monkeypatch: pytest.MonkeyPatch, record: str, field: str) -> None:
    """An account in which nobody made this custom field: neither the record type nor its table has it."""
    made = schema.BY_NAME[record]
    fewer = tuple(one for one in made.fields if one.name != field)
    assert len(fewer) == len(made.fields) - 1
    monkeypatch.setitem(schema.BY_NAME, record, replace(made, fields=fewer))
    monkeypatch.delitem(suiteql._SCHEMA[made.table], field)
    suiteql.compile_query.cache_clear()


def test_three_ready_platforms_pass_every_check(serve: Serve) -> None:
    running = serve(*PLATFORMS)
    told = doctor()
    assert told.status == 0, told.output
    assert "FAIL" not in told.output
    assert "warn" not in told.output.replace("0 warnings", "")
    assert told.output.rstrip().endswith("checks passed, 0 warnings, 0 to fix")
    as_json = doctor("--json")
    assert as_json.status == 0
    assert [one["connection"] for one in as_json.results] == sorted(PLATFORMS)
    assert all(set(found) == {"level", "what", "fix"} for one in as_json.results for found in one["findings"])
    for platform in running.values():
        assert not [piece for piece in secrets_of(platform) if piece in told.output + as_json.output]


@pytest.mark.parametrize(
    ("platform", "setting", "what", "fix"),
    [
        ("kantata", "token", "OAuth", "CONNECTIONS__KANTATA__TOKEN"),
        ("netsuite", "private_key", "cannot log in", "certificate"),
        ("salesforce", "client_secret", "the log-in was refused: invalid client credentials", "CLIENT_SECRET"),
    ],
)
def test_a_wrong_secret_is_told_and_never_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, platform: str, setting: str, what: str, fix: str
) -> None:
    running = serve(platform)[platform]
    wrong = strange_key() if setting == "private_key" else WRONG
    monkeypatch.setenv(f"CONNECTIONS__{platform.upper()}__{setting.upper()}", wrong)
    told = doctor(platform, "--json")
    assert told.status == 1
    ((said, step),) = told.wrong(platform).items()
    assert what in said
    assert fix.lower() in step.lower()
    in_words = doctor(platform)
    assert in_words.status == 1
    assert "FAIL" in in_words.output
    assert in_words.output.rstrip().endswith("1 to fix")
    for piece in secrets_of(running) | {line for line in wrong.splitlines() if "-----" not in line}:
        assert piece not in told.output + in_words.output


def strange_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def test_a_field_that_nobody_made_in_salesforce_is_told(serve: Serve) -> None:
    org = cast(SalesforceService, serve("salesforce")["salesforce"].service)
    org.remove_field("Account", "VAT_Number__c")
    org.remove_field("Opportunity", "Tieout_Paid__c")
    told = doctor("salesforce", "--json")
    assert told.status == 1
    wrong = told.wrong("salesforce")
    assert len(wrong) == 2
    fix = wrong["Account.VAT_Number__c is missing or hidden from the integration user"]
    assert "Setup > Object Manager > Account > Fields & Relationships" in fix
    assert "Opportunity.Tieout_Paid__c is missing or hidden from the integration user" in wrong


def test_a_field_that_nobody_made_in_kantata_is_told(serve: Serve) -> None:
    account = serve("kantata")["kantata"].service
    (field,) = account.rows("custom_fields", "name = 'Billing Type'")
    account.delete("custom_field", field["id"], actor=str(account.store.meta["integration_user_id"]))
    told = doctor("kantata", "--json")
    assert told.status == 1
    ((what, fix),) = told.wrong("kantata").items()
    assert what == "The custom field 'Billing Type' on Workspace is missing."
    assert fix == "Create it in Kantata under Settings > Custom Fields with type string."


def test_a_field_that_nobody_made_in_netsuite_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("netsuite")
    without_field(monkeypatch, "customer", "custentity_tieout_account")
    monkeypatch.delitem(suiteql._SCHEMA["transactionline"], "custcol_tieout_source")
    told = doctor("netsuite", "--json")
    assert told.status == 1
    wrong = told.wrong("netsuite")
    assert set(wrong) == {
        "customer has no field custentity_tieout_account",
        "transactionline has no field custcol_tieout_source",
    }
    assert "Entity Fields > New" in wrong["customer has no field custentity_tieout_account"]
    assert "Transaction Line Fields > New" in wrong["transactionline has no field custcol_tieout_source"]


def test_a_legal_entity_or_service_item_without_its_code_is_told(serve: Serve) -> None:
    ledger = cast(NetSuiteService, serve("netsuite")["netsuite"].service)
    ledger.set_row("subsidiary", 3, {"externalid": None})
    (item,) = ledger.rows("item", "externalid = 'SVC-RETAINER'")
    ledger.set_row("item", item["id"], {"externalid": None})
    told = doctor("netsuite", "--json")
    assert told.status == 1
    wrong = told.wrong("netsuite")
    assert "Setup > Company > Subsidiaries" in wrong["there is no subsidiary with external ID DE"]
    assert "Service for Sale" in wrong["there is no serviceSaleItem with external ID SVC-RETAINER"]


def test_a_user_who_may_not_write_in_salesforce_is_told(serve: Serve) -> None:
    org = cast(SalesforceService, serve("salesforce")["salesforce"].service)
    org.alter_field("Account", "Tieout_Open__c", updateable=False)
    told = doctor("salesforce", "--json")
    assert told.status == 1
    ((what, fix),) = told.wrong("salesforce").items()
    assert what == "Account.Tieout_Open__c cannot be written by the integration user"
    assert "Permission Sets" in fix


def test_a_user_who_may_not_see_rates_in_kantata_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve("kantata")["kantata"]
    monkeypatch.setenv("CONNECTIONS__KANTATA__TOKEN", str(running.store.meta["limited_token"]))
    told = doctor("kantata", "--json")
    assert told.status == 1
    assert any(
        "hides rates or budgets" in what and "financial access" in fix for what, fix in told.wrong("kantata").items()
    )
    assert any("Subscribed events" in what for what in told.wrong("kantata", "warning"))


def test_a_role_that_may_not_see_employees_in_netsuite_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = cast(NetSuiteService, serve("netsuite")["netsuite"].service)
    for name, value in credentials(ledger, "auditor").items():
        monkeypatch.setenv(f"CONNECTIONS__NETSUITE__{name.upper()}", value)
    told = doctor("netsuite", "--json")
    assert told.status == 1
    (fix,) = [fix for what, fix in told.wrong("netsuite").items() if what.startswith("employee cannot be read")]
    assert "View" in fix


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_host_that_does_not_answer_is_told_and_the_others_are_still_examined(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    other = next(name for name in PLATFORMS if name != platform)
    running = serve(platform, other)
    address = running[platform].env[f"CONNECTIONS__{platform.upper()}__BASE_URL"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, and nobody else can
        nowhere = address.replace(running[platform].url, f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv(f"CONNECTIONS__{platform.upper()}__BASE_URL", nowhere)
        told = doctor(platform, other, "--json")
    assert told.status == 1
    ((what, fix),) = told.wrong(platform).items()
    assert "127.0.0.1" in what
    assert "base_url" in fix
    assert told.wrong(other) == {}
    assert not [piece for piece in secrets_of(running[platform]) if piece in told.output]


def test_a_setting_that_is_missing_is_told_with_its_place(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve("kantata")
    monkeypatch.delenv("CONNECTIONS__KANTATA__TOKEN")
    told = doctor("kantata", "--json")
    assert told.status == 1
    ((what, fix),) = told.wrong("kantata").items()
    assert "missing setting: token" in what
    assert "CONNECTIONS__KANTATA__TOKEN" in fix
    assert "[connections.kantata]" in fix


def test_a_connection_that_nobody_configured_is_told(serve: Serve) -> None:
    serve()
    told = doctor("nobody", "--json")
    assert told.status == 1
    ((what, fix),) = told.wrong("nobody").items()
    assert "there is no connection 'nobody'" in what
    assert "[connections.nobody]" in fix


def test_a_second_org_that_no_stack_names_is_warned_of(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve("kantata")["kantata"]
    monkeypatch.setenv("CONNECTIONS__KANTATA_EMEA__PLATFORM", "kantata")
    for variable, value in running.env.items():
        monkeypatch.setenv(variable.replace("__KANTATA__", "__KANTATA_EMEA__"), value)
    told = doctor("kantata_emea", "--json")
    assert told.status == 0
    ((what, fix),) = told.wrong("kantata_emea", "warning").items()
    assert "no stack names this connection" in what
    assert "dbt_project.yml" in fix
