"""The stacks file that takes the place of the project's own: read, checked, and handed to dbt."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import pytest
import yaml

from orchestration import stacks
from orchestration.cli import main
from orchestration.home import DBT_PROJECT_DIR

SHOWN = sorted((DBT_PROJECT_DIR / "stacks").glob("*.yml"))


def test_without_a_file_the_projects_own_stacks_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(stacks.VARIABLE, raising=False)
    assert stacks.dbt_arguments() == []
    assert stacks.connections() == {"salesforce": "salesforce", "kantata": "kantata", "netsuite": "netsuite"}
    assert list(stacks.stacks_of("netsuite")) == ["main"]


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: file.stem)
def test_a_file_takes_their_place_and_has_a_manifest_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = stacks.target_path()
    monkeypatch.setenv(stacks.VARIABLE, str(file))
    told = json.loads(stacks.dbt_arguments()[1])
    assert told == yaml.safe_load(file.read_text())
    assert stacks.target_path() != own
    result = click.testing.CliRunner().invoke(main, ["stacks"])
    assert result.exit_code == 0
    assert set(told["stacks"]) <= {line.partition(":")[0] for line in result.output.splitlines()}


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "not there"), ("stacks: {", "not YAML"), ("stacks: {}", "lacks connections"), ("- a", "lacks connections")],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    text: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stacks.yml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(stacks.VARIABLE, str(file))
    with pytest.raises(stacks.StacksError, match=words) as told:
        stacks.overrides()
    assert "stacks.yml" in str(told.value)


def test_the_command_line_says_so_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stacks.VARIABLE, "nowhere.yml")
    result = click.testing.CliRunner().invoke(main, ["stacks"])
    assert result.exit_code == 1
    assert "nowhere.yml" in result.output
    assert not isinstance(result.exception, stacks.StacksError)
