"""Connections by name, from the environment and from files; what is wrong is named, what is secret is not shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion import connections, sources
from ingestion.errors import ConfigError
from platforms.kit.secrets import Secret

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("CONNECTIONS__", "INGESTION__")):
            monkeypatch.delenv(name)


def test_settings_come_from_secrets_and_config_and_the_environment_wins(
    settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings("config.toml", '[connections.kantata]\nbase_url = "https://one.example/api/v1"\n')
    settings("secrets.toml", '[connections.kantata]\ntoken = "from-the-file"\n')
    found = connections.resolve("kantata")
    assert found.settings["base_url"] == "https://one.example/api/v1"
    assert isinstance(found.settings["token"], Secret)
    assert "from-the-file" not in repr(found)
    monkeypatch.setenv("CONNECTIONS__KANTATA__TOKEN", "from-the-environment")
    assert connections.resolve("kantata").settings["token"] == Secret("from-the-environment")


def test_a_missing_setting_names_the_connection_the_setting_and_both_places(settings: Write) -> None:
    settings("config.toml", "")
    with pytest.raises(ConfigError) as caught:
        connections.resolve("kantata")
    assert caught.value.connection == "kantata"
    for part in ("token", "CONNECTIONS__KANTATA__TOKEN", "[connections.kantata]"):
        assert part in str(caught.value)


def test_a_malformed_file_is_named_with_its_line_and_shows_no_secret(settings: Write) -> None:
    settings("secrets.toml", '[connections.kantata]\ntoken = "abcdef-secret\n')
    with pytest.raises(ConfigError, match=r"secrets.toml is not valid TOML: .*line 2") as caught:
        connections.names()
    assert "abcdef-secret" not in str(caught.value)


def test_another_org_becomes_a_connection_by_naming_its_platform(
    settings: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings("config.toml", '[connections.acquired]\nplatform = "salesforce"\n')
    monkeypatch.setenv("CONNECTIONS__PARENT__PLATFORM", "kantata")
    assert {"acquired", "parent", "salesforce", "kantata", "netsuite"} <= set(connections.names())
    assert connections.platform_of("acquired") == "salesforce"


def test_a_connection_can_be_switched_off(settings: Write) -> None:
    settings("config.toml", "[connections.netsuite]\nenabled = false\n")
    assert "netsuite" not in connections.names()


@pytest.mark.parametrize("name", ["nonsense", "acquired"])
def test_an_unknown_connection_or_platform_is_refused_with_what_there_is(settings: Write, name: str) -> None:
    settings("config.toml", '[connections.acquired]\nplatform = "salesfroce"\n')
    with pytest.raises(ConfigError, match="salesforce"):
        connections.platform_of(name)


def test_a_misspelt_setting_is_refused_and_not_ignored(settings: Write) -> None:
    settings("config.toml", '[connections.kantata]\ntoken = "secret-token"\nbase_ulr = "x"\n')
    with pytest.raises(ConfigError, match="unknown setting base_ulr"):
        connections.resolve("kantata")


def test_a_certificate_bundle_that_is_not_there_is_named(settings: Write, tmp_path: Path) -> None:
    settings("config.toml", '[connections.kantata]\ntoken = "secret-token"\nca_bundle = "/nowhere/ca.pem"\n')
    with pytest.raises(ConfigError, match=r"/nowhere/ca.pem, which is not a file"):
        connections.client("kantata", tmp_path)


def test_a_key_on_one_line_gets_its_line_breaks_back(settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    settings("config.toml", "")
    monkeypatch.setenv("CONNECTIONS__KANTATA__TOKEN", "-----BEGIN KEY-----\\nabc\\n-----END KEY-----")
    token = connections.resolve("kantata").settings["token"]
    assert isinstance(token, Secret)
    assert token.reveal().splitlines()[1] == "abc"


def test_how_a_connection_is_read_is_set_for_all_or_for_one(settings: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    settings("config.toml", '[ingestion]\nsweep_every = 5\n[ingestion.kantata]\nextra_columns = ["users.mood"]\n')
    monkeypatch.setenv("INGESTION__KANTATA__OVERLAP_SECONDS", "90")
    options = sources.read_options("kantata")
    assert (options.sweep_every, options.extra_columns, options.overlap.total_seconds()) == (5, ("users.mood",), 90)
    assert sources.read_options("netsuite").extra_columns == ()
    monkeypatch.setenv("INGESTION__KANTATA__OVERLAP_SECONDS", "long")
    with pytest.raises(ConfigError, match="overlap_seconds must be a number"):
        sources.read_options("kantata")


def test_a_source_is_made_without_credentials_and_describes_its_tables(settings: Write, tmp_path: Path) -> None:
    settings("config.toml", "")
    source = sources.source("salesforce", home=tmp_path)
    assert source.name == "raw_salesforce"
    assert {"account", "opportunity", "_observed", "quarantine"} <= set(source.resources)
    assert "One row per Account" in source.resources["account"]._pipe.gen.__doc__
