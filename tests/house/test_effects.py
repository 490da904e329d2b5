"""Clock, ids, chance and sleep are arguments: the engine and the clients never reach for them.

That is what lets a test, a replay and the simulator decide what time it is and which reply gets lost. Nonces of a
signature (`secrets.token_hex`) are free: nothing is decided by them, and they must never repeat.
"""

from __future__ import annotations

import ast

import pytest

from tests.house.conftest import House

# Calls that read the world. A default at the edge is fine: a parameter `clock=time.time`, or a function that does
# nothing but return such a call.
REACHING = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.sleep",
    "uuid.uuid4",
    "uuid.uuid1",
    "random.random",
    "random.uniform",
    "random.choice",
    "random.randint",
    "random.shuffle",
}


def reaching(source: str) -> list[tuple[int, str]]:
    """(line, call) of every call in REACHING that is not a named default."""
    tree = ast.parse(source)
    allowed = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            body = function.body if isinstance(function.body, list) else [ast.Return(function.body)]
            spoken = [
                part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
            if len(spoken) == 1 and isinstance(spoken[0], ast.Return) and not function.args.args:
                allowed |= {id(node) for node in ast.walk(spoken[0])}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and id(node) not in allowed:
            called = ast.unparse(node.func)
            if called in REACHING or called.removeprefix("datetime.") in REACHING:
                found.append((node.lineno, called))
    return found


def test_the_engine_and_the_clients_get_clock_chance_and_ids_as_arguments(house: House) -> None:
    files = house.texts(".py", under="reverse_etl/")
    for room in house.rooms:
        live = house.texts(".py", under=f"platforms/{room}/")
        files |= {name: text for name, text in live.items() if "/sandbox/" not in name}
    found = [f"{name}:{line}: {call}()" for name, text in files.items() for line, call in reaching(text)]
    assert not found, (
        "take it as an argument (a dataclass field `clock: Callable[[], datetime]`, context.sleep, context.random), "
        "with the real one as its default\n" + "\n".join(found)
    )


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import time\ndef f(clock=time.time):\n    return clock()", []),
        ("def utc_now():\n    '''The default.'''\n    return datetime.now(UTC)", []),
        ("new_id = lambda: uuid.uuid4().hex", []),
        ("def f(x):\n    return datetime.now(UTC) - x", ["datetime.now"]),
        ("def f():\n    time.sleep(1)", ["time.sleep"]),
        ("STAMP = datetime.datetime.now()", ["datetime.datetime.now"]),
    ],
)
def test_the_rule_tells_a_default_from_a_reach(source: str, calls: list[str]) -> None:
    assert [call for _, call in reaching(source)] == calls
