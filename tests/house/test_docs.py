"""What the documentation tells people to type exists, and what it links to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tests.house.conftest import House

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# `tieout exceptions list`, `tieout ingest <table>`: the words that are commands, up to the first that cannot be one.
TIEOUT = re.compile(r"\btieout((?: +[a-z][a-z_-]*)+)")
MAKE = re.compile(r"\bmake +([a-z][a-z-]*)")
ANCHOR = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def documents(house: House) -> dict[str, str]:
    return {name: text for name, text in house.texts(".md").items() if "node_modules" not in name}


def code_of(text: str) -> Iterator[str]:
    return (found.group(0) for found in CODE.finditer(text))


def anchor(heading: str) -> str:
    """The anchor that a rendered heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_there_is_documentation(house: House) -> None:
    assert {"README.md", "docs/recipes.md", "docs/glossary.md", "docs/decisions.md"} <= set(documents(house))


def test_relative_links_lead_somewhere(house: House) -> None:
    broken = []
    for name, text in documents(house).items():
        for target in LINK.findall(CODE.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, fragment = target.partition("#")
            file = (house.root / name).parent / path if path else house.root / name
            if not file.exists():
                broken.append(f"{name}: {target}")
            elif fragment and file.suffix == ".md":
                headings = {anchor(heading) for heading in ANCHOR.findall(file.read_text())}
                if fragment not in headings:
                    broken.append(f"{name}: {target} (no such heading)")
    assert not broken, "links that lead nowhere: " + "; ".join(broken)


def test_make_targets_that_are_named_exist(house: House) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (house.root / "Makefile").read_text(), re.MULTILINE))
    named = {
        (name, target)
        for name, text in documents(house).items()
        for code in code_of(text)
        for target in MAKE.findall(code)
    }
    missing = sorted(f"{name}: make {target}" for name, target in named if target not in targets)
    assert named
    assert not missing, "the Makefile has no such target: " + "; ".join(missing)


def test_tieout_commands_that_are_named_exist(house: House) -> None:
    import click

    from orchestration.cli import main

    named = {
        (name, tuple(words.split()))
        for name, text in documents(house).items()
        for code in code_of(text)
        for words in TIEOUT.findall(code)
    }
    assert named
    missing, run = [], set()
    for name, words in sorted(named):
        command: click.Command = main
        path: list[str] = []
        for word in words:
            if not isinstance(command, click.Group):
                break  # the rest are arguments
            found = command.commands.get(word)
            if found is None:
                missing.append(f"{name}: tieout {' '.join(words)}")
                break
            command = found
            path.append(word)
        run.add(tuple(path))
    assert not missing, "there is no such command: " + "; ".join(missing)
    for known in sorted(run):
        done = CliRunner().invoke(main, [*known, "--help"])
        assert done.exit_code == 0, f"tieout {' '.join(known)} --help: {done.output}"


@pytest.mark.parametrize("document", ["README.md"])
def test_every_command_is_in_the_readme(house: House, document: str) -> None:
    from orchestration.cli import main

    text = (house.root / document).read_text()
    # `demo` and `dev` are make's.
    missing = [
        name for name in main.commands if name not in ("demo", "dev") and not re.search(rf"`(tieout )?{name}\b", text)
    ]
    assert not missing, f"{document} does not name: {', '.join(missing)}"
