"""What may be written where: vendor names, secrets, addresses, promises, and silenced warnings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.house.conftest import House

# Written in pieces, so that this file does not break its own rules.
PROMISES = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.$}\])>*~-])/(wo" + r"rk|tm" + r"p|ro" + r"ot|ho" + r"me)/[\w.]")
REGISTRIES = re.compile(
    r"(pypi\.o"
    + r"rg|pythonho"
    + r"sted|npmjs\.o"
    + r"rg|rubyge"
    + r"ms|index-u"
    + r"rl|arti"
    + r"factory|/sim"
    + r"ple/"
    r"|registry\.y" + r"arnpkg|gopr" + r"oxy|proxy\.gol" + r"ang)",
    re.IGNORECASE,
)
SILENCED = re.compile(r"#\s*(noqa\b|type:\s*ignore)")
WORDS = re.compile(r"[A-Za-z]{4}|[A-Za-z]+ [A-Za-z]+")
# The code in brackets or after the colon, then what must be there: words.
NOQA = re.compile(r"#\s*noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?(?P<rest>.*)$")
IGNORE = re.compile(r"#\s*type:\s*ignore(\[[\w, -]+\])?(?P<rest>.*)$")


def numbered(text: str) -> Iterator[tuple[int, str]]:
    return enumerate(text.splitlines(), start=1)


def spoken(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the names and strings a Python file runs on: comments and docstrings are free to explain."""
    prose = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.add(node.value.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("NAME", "STRING", "FSTRING_MIDDLE") and token.start[0] not in prose:
            yield token.start[0], token.string


def vendor_names(house: House, text: dict[str, str]) -> list[str]:
    names = re.compile("|".join(map(re.escape, house.rooms)) or r"(?!)", re.IGNORECASE)
    found = []
    for name, source in text.items():
        lines = spoken(source) if name.endswith(".py") else numbered(source)
        found += [f"{name}:{line}: {said.strip()[:80]}" for line, said in lines if names.search(said)]
    return found


def test_the_engine_says_no_vendors_name_outside_its_targets(house: House) -> None:
    files = {n: t for n, t in house.texts(under="reverse_etl/").items() if not n.startswith("reverse_etl/targets/")}
    found = vendor_names(house, files)
    assert not found, (
        "the engine treats all platforms alike: put the special case behind the target protocol in "
        "reverse_etl/targets/<platform>.py, or read the name from the sync\n" + "\n".join(found)
    )


def test_orchestration_says_no_vendors_name(house: House) -> None:
    found = vendor_names(house, house.texts(under="orchestration/"))
    assert not found, (
        "orchestration loops over the registries (platform_names(), the dbt manifest); a vendor's special case belongs "
        "into its room or its source\n" + "\n".join(found)
    )


def test_no_file_promises_to_be_finished_later(house: House) -> None:
    found = [
        f"{n}:{i}: {line.strip()[:80]}"
        for n, t in house.texts().items()
        for i, line in numbered(t)
        if PROMISES.search(line)
    ]
    assert not found, "do it now, or open an issue, or leave a test that fails when the reason is gone\n" + "\n".join(
        found
    )


def test_no_file_names_a_path_of_somebodys_machine(house: House) -> None:
    found = [
        f"{n}:{i}: {line.strip()[:100]}"
        for n, t in house.texts().items()
        for i, line in numbered(t)
        if MACHINE_PATHS.search(line)
    ]
    assert not found, "use a path relative to the project, TIEOUT_HOME, or tmp_path in tests\n" + "\n".join(found)


def test_no_file_names_a_package_registry(house: House) -> None:
    found = [
        f"{n}:{i}: {line.strip()[:100]}"
        for n, t in house.texts().items()
        for i, line in numbered(t)
        if REGISTRIES.search(line)
    ]
    assert not found, (
        "where packages come from is each machine's own setting (pip.conf, UV_INDEX); locks hold hashes only\n"
        + "\n".join(found)
    )


def unexplained(line: str) -> bool:
    """Whether the line silences a tool without saying why."""
    for pattern in (NOQA, IGNORE):
        match = pattern.search(line)
        # An ignore of mypy's may be followed by a comment for ruff: one reason serves both.
        if match is not None and not WORDS.search(NOQA.sub("", match["rest"])):
            after = NOQA.search(match["rest"])
            if after is None or not WORDS.search(after["rest"]):
                return True
    return False


def test_a_silenced_warning_says_why(house: House) -> None:
    found = []
    for name, text in house.texts(".py").items():
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and SILENCED.search(token.string) and unexplained(token.string):
                found.append(f"{name}:{token.start[0]}: {token.string[:80]}")
    assert not found, (
        "write the reason behind it, `# type: "
        + "ignore[code]  # why` or `# no"
        + "qa: CODE - why`, or mend the cause\n"
        + "\n".join(found)
    )


def test_the_rules_on_silencing_tell_reasons_from_none() -> None:
    ignore, noqa = "# type: " + "ignore[arg-type]", "# no" + "qa: BLE001"
    assert unexplained(ignore)
    assert unexplained(noqa)
    assert unexplained("# no" + "qa")
    assert not unexplained(f"{ignore}  # the toy has no buttons")
    assert not unexplained(f"{noqa} - carried over to the consumer")
    assert not unexplained(f"{ignore}  {noqa} - carried over to the consumer")


def test_the_path_rule_tells_machines_from_urls() -> None:
    assert MACHINE_PATHS.search("open('/tm" + "p/x')")
    assert MACHINE_PATHS.search("cd /wo" + "rk/main")
    assert not MACHINE_PATHS.search("https://host/wo" + "rk/items")
    assert not MACHINE_PATHS.search("a/tm" + "p/x, {base}/ho" + "me/x")


def test_secrets_planted_by_the_sandboxes_are_in_no_file(house: House, tmp_path: Path) -> None:
    from platforms.kit.registry import platform_names, spec
    from platforms.kit.sandbox.registry import open_ready, sandbox, sandbox_names

    texts = house.texts()
    for name in sandbox_names():
        if name not in platform_names():
            continue
        secret = {setting.name for setting in spec(name).settings if setting.secret}
        service = open_ready(sandbox(name), tmp_path / name, seed=7)
        variables = sandbox(name).environment(service, "http://127.0.0.1:1", "https://127.0.0.1:2")
        service.store.close()
        planted = {
            piece
            for variable, value in variables.items()
            if variable.rsplit("__", 1)[-1].lower() in secret
            for piece in value.splitlines()
            if len(piece) >= 8 and "-----" not in piece
        }
        assert planted, f"the {name} sandbox plants no secret; its environment() must give the secret settings"
        leaked = [f"{file} holds a secret of {name}" for file, text in texts.items() if any(p in text for p in planted)]
        assert not leaked, "derive credentials from the seed at set-up; never write one down\n" + "\n".join(leaked)
