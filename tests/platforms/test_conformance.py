"""What every platform room must do, whoever wrote it. Rooms are found by looking; a new one is tested without an edit.

Run one room alone: `pytest tests/platforms/test_conformance.py -k salesforce`.
"""

from __future__ import annotations

import concurrent.futures
import http.server
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from platforms.kit.budget import Budget
from platforms.kit.context import ClientContext
from platforms.kit.errors import AskPerson, BadAnswer, NotSent, PlatformError
from platforms.kit.registry import Limits, PlatformSpec, platform_names, spec
from platforms.kit.sandbox.registry import open_ready, sandbox, sandbox_names
from platforms.kit.sandbox.server import RunningSandbox, ports_of, start_all
from platforms.kit.secrets import Secret

SECRET_WORDS = ("secret", "token", "password", "private_key")
SEED = 7


class Naps(list[float]):
    """A sleep that only writes down for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def complete() -> list[str]:
    """The rooms that have both a client and a sandbox."""
    return sorted(set(platform_names()) & set(sandbox_names()))


def prefix(platform: str) -> str:
    return f"CONNECTIONS__{platform.upper()}__"


def settings_of(platform: PlatformSpec, environment: Mapping[str, str]) -> dict[str, str | Secret]:
    """The room's own settings from the sandbox's environment, secret ones wrapped, defaults filled in."""
    found: dict[str, str | Secret] = {}
    for setting in platform.settings:
        value = environment.get(prefix(platform.name) + setting.name.upper(), setting.default)
        if value is not None:
            found[setting.name] = Secret(value) if setting.secret else value
    return found


def connect(
    running: RunningSandbox,
    replaced: Mapping[str, str | Secret] | None = None,
    *,
    naps: Naps | None = None,
    verify: str | bool = True,
    budget: Budget | None = None,
) -> Any:
    """A client of the room, pointed at its running sandbox; `replaced` settings replace the sandbox's."""
    platform = spec(running.spec.name)
    context = ClientContext(
        connection=platform.name,
        sleep=naps if naps is not None else Naps(),
        random=random.Random(SEED),
        verify=verify,
        budget=budget,
        timeout=10,
    )
    return platform.connect({**settings_of(platform, running.env), **(replaced or {})}, context)


def touch(client: Any) -> None:
    """The cheapest call that needs valid credentials: `ping()`, or `limits()` where a vendor has nothing cheaper."""
    for name in ("ping", "limits"):
        if hasattr(client, name):
            getattr(client, name)()
            return
    pytest.fail(f"{type(client).__name__} needs a method ping(): the cheapest call that needs valid credentials")


@pytest.fixture(scope="module", params=complete())
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with RunningSandbox(request.param, tmp_path_factory.mktemp(request.param), seed=SEED) as sandbox_running:
        yield sandbox_running


def allow(running: RunningSandbox, limits: Limits) -> None:
    """Let the sandbox allow this much from now on, as if nobody had asked it anything yet."""
    httpx.post(f"{running.url}/_sandbox/limits", json=vars(limits), trust_env=False).raise_for_status()


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test finds the sandbox without troubles and with the vendor's own limits."""
    if "running" not in request.fixturenames:
        yield
        return
    running = request.getfixturevalue("running")
    limits = running.app.limits
    yield
    running.faults.use("none")
    allow(running, limits)


# -- what a room declares --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", platform_names())
def test_a_room_declares_itself(name: str) -> None:
    room = spec(name)
    assert room.name == name
    assert room.label
    assert room.roles, f"{name} says no role: 'crm', 'psa' or 'erp'"
    names = [setting.name for setting in room.settings]
    assert len(names) == len(set(names))
    assert "base_url" in names, f"{name} cannot be pointed at a sandbox or a proxy without base_url"
    for setting in room.settings:
        assert len(setting.help.split()) >= 3, f"{name}.{setting.name} has no sentence of help"
        sounds_secret = any(word in setting.name for word in SECRET_WORDS)
        assert setting.secret or not sounds_secret, f"{name}.{setting.name} sounds secret; declare it secret=True"
        assert not (setting.secret and setting.default), f"{name}.{setting.name}: a secret has no default"


@pytest.mark.parametrize("name", sandbox_names())
def test_the_same_seed_makes_the_same_sandbox_and_another_seed_another(name: str, tmp_path: Path) -> None:
    digests = []
    for folder, seed in (("a", SEED), ("b", SEED), ("c", SEED + 1)):
        service = open_ready(sandbox(name), tmp_path / folder, seed)
        digests.append(service.store.digest())
        service.store.close()
    assert digests[0] == digests[1], "set-up depends on something beside the seed (wall clock, uuid4, set order?)"
    assert digests[0] != digests[2]


def test_ports_of_the_sandboxes_do_not_collide() -> None:
    offsets = {name: sandbox(name).port_offset for name in sandbox_names()}
    assert len(set(offsets.values())) == len(offsets), offsets


# -- the room against its sandbox ------------------------------------------------------------------------------------


def test_the_sandboxes_environment_is_what_the_room_declares(running: RunningSandbox) -> None:
    room = spec(running.spec.name)
    known = {prefix(room.name) + setting.name.upper() for setting in room.settings}
    common = {prefix(room.name) + name for name in ("PLATFORM", "CA_BUNDLE")}
    given = set(running.env)
    assert given <= known | common, f"no such setting: {sorted(given - known - common)}"
    required = {prefix(room.name) + s.name.upper() for s in room.settings if s.required and s.default is None}
    assert required <= given, f"the sandbox does not give {sorted(required - given)}"


def test_a_room_speaks_to_its_sandbox(running: RunningSandbox) -> None:
    naps = Naps()
    touch(connect(running, naps=naps))
    assert naps == []


def test_connecting_sends_nothing_yet(running: RunningSandbox) -> None:
    before = running.app.calls()["total"]
    connect(running)
    assert running.app.calls()["total"] == before


def test_a_room_speaks_tls_to_whom_its_ca_vouches_for(running: RunningSandbox) -> None:
    moved = {
        name: value.replace(running.url, running.tls_url)
        for name, value in settings_of(spec(running.spec.name), running.env).items()
        if isinstance(value, str) and running.url in value
    }
    touch(connect(running, moved, verify=str(running.ca_path)))
    with pytest.raises(NotSent) as caught:
        touch(connect(running, moved))
    assert "ca_bundle" in caught.value.next_step


def test_the_servers_clock_is_the_sandboxes(running: RunningSandbox) -> None:
    answer = httpx.get(f"{running.url}/", trust_env=False)
    seen = datetime.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert abs((seen - running.service.clock.now()).total_seconds()) < 5


def other_key(pem: str) -> str:
    """A good private key of the same kind, and yet not the right one."""
    old = serialization.load_pem_private_key(pem.encode(), None)
    new: Any
    if isinstance(old, rsa.RSAPrivateKey):
        new = rsa.generate_private_key(65537, old.key_size)
    else:
        assert isinstance(old, ec.EllipticCurvePrivateKey)
        new = ec.generate_private_key(old.curve)
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text: str = new.private_bytes(*plain).decode()
    return text


def wrong(secret: Secret) -> Secret:
    value = secret.reveal()
    return Secret(other_key(value) if value.startswith("-----BEGIN") else f"wrong{value[5:]}")


def used_secrets(running: RunningSandbox) -> dict[str, Secret]:
    """The secret settings that the sandbox's environment sets."""
    settings = settings_of(spec(running.spec.name), running.env)
    return {name: value for name, value in settings.items() if isinstance(value, Secret)}


def asked(running: RunningSandbox, replaced: Mapping[str, Secret]) -> AskPerson | None:
    try:
        touch(connect(running, replaced))
    except AskPerson as error:
        return error
    return None


def test_wrong_credentials_ask_a_person_and_say_what_to_do(running: RunningSandbox) -> None:
    told = [asked(running, {name: wrong(secret)}) for name, secret in used_secrets(running).items()]
    heard = [error for error in told if error is not None]
    assert heard, "no wrong secret was noticed"
    for error in heard:
        assert error.connection == running.spec.name
        assert error.next_step != AskPerson.default_next_step, f"say which setting to correct, and where: {error}"
    # Settings of an authentication flow that is not the one in use may be wrong without anybody noticing.
    flow = settings_of(spec(running.spec.name), running.env).get("auth_flow")
    assert flow is not None or len(heard) == len(told), "a wrong secret was accepted"


def test_an_unusable_secret_asks_a_person_too(running: RunningSandbox) -> None:
    garbage = {name: Secret("no key, no token, nothing") for name in used_secrets(running)}
    assert asked(running, garbage) is not None


def moved_to(running: RunningSandbox, url: str) -> dict[str, str]:
    settings = settings_of(spec(running.spec.name), running.env)
    return {n: v.replace(running.url, url) for n, v in settings.items() if isinstance(v, str) and running.url in v}


def test_an_unreachable_platform_is_not_sent(running: RunningSandbox) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(NotSent) as caught:
        touch(connect(running, moved_to(running, nobody)))
    assert caught.value.connection == running.spec.name


@pytest.fixture
def captive_portal() -> Iterator[str]:
    """Somebody else's web server: an HTML page for whatever is asked."""

    class Portal(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def page(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<html><body>Please accept the terms of this network</body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = page

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_page_for_people_is_a_bad_answer_that_says_who_answered(running: RunningSandbox, captive_portal: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        touch(connect(running, moved_to(running, captive_portal)))
    assert "base_url" in caught.value.next_step


def test_a_burst_of_429_is_survived(running: RunningSandbox) -> None:
    naps = Naps()
    client = connect(running, naps=naps)
    running.faults.once("throttle", times=5)
    touch(client)
    assert len(naps) == 5


def test_an_expired_token_is_survived(running: RunningSandbox) -> None:
    client = connect(running)
    touch(client)
    if not refreshes(client):
        pytest.skip("this platform's credentials do not expire")
    running.faults.once("expire_token")
    touch(client)


def refreshes(client: Any) -> bool:
    """Whether the client has fetched a token: then it can fetch another."""
    return bool(client.api.calls.snapshot()["auth"])


@pytest.mark.parametrize("weather", ["rough", "chaos"])
def test_bad_weather_is_survived(running: RunningSandbox, weather: str) -> None:
    naps = Naps()
    client = connect(running, naps=naps)
    allow(running, Limits())  # naps take no time here, so real limits would never be kept
    running.faults.use(weather)
    for _ in range(60):
        touch(client)
    assert naps, f"the {weather} profile troubled nobody"


def test_who_keeps_the_declared_limits_is_never_turned_away(running: RunningSandbox, tmp_path: Path) -> None:
    room = spec(running.spec.name)

    def work(_: int) -> None:
        budget = Budget(tmp_path, room.name, **vars(room.limits))  # of its own files, like another process
        client = connect(running, budget=budget)
        for _ in range(10):
            touch(client)

    allow(running, running.app.limits)
    httpx.delete(f"{running.url}/_sandbox/calls", trust_env=False)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    calls = running.app.calls()
    assert calls["total"] >= 80
    assert set(calls["by_status"]) <= {"200", "204"}, calls["by_route_and_status"]


def test_no_secret_reaches_a_log_or_an_error(running: RunningSandbox, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    secrets = used_secrets(running)
    with caplog.at_level(logging.DEBUG):
        client = connect(running)
        touch(client)
        told += [repr(client), str(vars(client))]
        for name, secret in secrets.items():
            replaced = wrong(secret)
            secrets = {**secrets, f"wrong {name}": replaced}
            try:
                touch(connect(running, {name: replaced}))
            except PlatformError as error:
                told += [str(error), repr(error), repr(error.__cause__), repr(vars(error))]
    everything = caplog.text + "\n".join(told)
    for name, secret in secrets.items():
        for piece in secret.reveal().splitlines():
            if len(piece) >= 8 and not piece.startswith("-----"):
                assert piece not in everything, f"{name} is shown"


def test_a_restart_keeps_what_is_there_and_the_credentials(running: RunningSandbox, tmp_path: Path) -> None:
    def kept(store: Any) -> str:
        text: str = store.digest(lambda table: not table.startswith("_"))
        return text

    with RunningSandbox(running.spec, tmp_path, seed=SEED) as first:
        touch(connect(first))
        content, moment, environment = kept(first.store), first.service.clock.now(), first.env
        secrets = {name: secret.reveal() for name, secret in used_secrets(first).items()}
        url = first.url
    with RunningSandbox(running.spec, tmp_path, seed=SEED + 1) as again:
        assert kept(again.store) == content
        assert again.service.clock.now() >= moment
        assert {name: secret.reveal() for name, secret in used_secrets(again).items()} == secrets
        assert {k: v.replace(url, again.url) for k, v in environment.items()} == again.env
        touch(connect(again))


# -- all together, as processes --------------------------------------------------------------------------------------


def free_base() -> int:
    """A port base whose ports for every sandbox are free."""
    first = 21000 + os.getpid() % 36 * 250  # test workers beside this one begin elsewhere
    for base in (*range(first, 30000, 250), *range(21000, first, 250)):
        if all(free(port) for name in sandbox_names() for port in ports_of(sandbox(name), base)):
            return base
    raise AssertionError("no free ports")


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


FLEET = """
import pathlib, sys, time
from platforms.kit.sandbox.registry import sandbox
from platforms.kit.sandbox.server import start_all
start_all([sandbox(sys.argv[1])], pathlib.Path(sys.argv[2]), int(sys.argv[3]))
print("running", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not complete(), reason="no room is complete")
def test_all_sandboxes_run_as_processes_stop_when_asked_and_go_on_where_they_were(tmp_path: Path) -> None:
    base, environments = free_base(), []
    for _ in range(2):
        with start_all([sandbox(name) for name in complete()], tmp_path, base, seed=SEED) as fleet:
            for name in complete():
                context = ClientContext(connection=name, timeout=10)
                touch(spec(name).connect(settings_of(spec(name), fleet.env), context))
            environments.append(fleet.env)
        assert [process.returncode for process in fleet.processes.values()] == [0] * len(complete())
        assert all(free(port) for name in complete() for port in ports_of(sandbox(name), base))
    assert environments[0] == environments[1]


@pytest.mark.skipif(not complete(), reason="no room is complete")
def test_sandboxes_end_with_whoever_started_them_even_if_killed(tmp_path: Path) -> None:
    base, name = free_base(), complete()[0]
    port, _ = ports_of(sandbox(name), base)
    starter = subprocess.Popen([sys.executable, "-c", FLEET, name, tmp_path, str(base)], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"running\n"
    assert not free(port)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 10
    while not free(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert free(port)


def test_examining_a_platform_gives_findings_with_a_fix(running: RunningSandbox) -> None:
    for finding in spec(running.spec.name).examine(connect(running), {"read": {}, "write": {}}):
        assert finding.what
        assert finding.level == "ok" or finding.fix, f"{finding.what}: say what to do about it"
