"""Starting, stopping and finding sandboxes again; TLS with a CA that stays; a proxy for fixed vendor hosts."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from platforms.kit import registry
from platforms.kit.http import ApiClient
from platforms.kit.sandbox import registry as sandboxes
from platforms.kit.sandbox.proxy import ConnectProxy
from platforms.kit.sandbox.registry import SandboxSpec
from platforms.kit.sandbox.server import RunningSandbox, certificate, start_all

Connect = Callable[..., ApiClient]


def test_the_tls_twin_serves_the_same_app_to_those_who_trust_its_ca(toy: RunningSandbox, connect: Connect) -> None:
    connect(toy.url).request("POST", "notes", json={"text": "one"}, idempotent=False)
    client = connect(toy.tls_url, verify=str(toy.ca_path))
    assert client.json(client.request("GET", "notes/1", idempotent=True))["text"] == "one"


def test_a_restart_keeps_the_rows_the_time_and_the_ca(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    with RunningSandbox(toy_spec, tmp_path) as first:
        httpx.post(f"{first.url}/notes", json={"text": "one"}, trust_env=False)
        authority, moment = first.ca_path.read_bytes(), first.service.clock.now()
    with RunningSandbox(toy_spec, tmp_path) as again:
        assert httpx.get(f"{again.url}/notes/1", trust_env=False).json()["text"] == "one"
        assert again.ca_path.read_bytes() == authority
        assert again.service.clock.now() == moment


def test_the_cas_key_is_for_its_owner_only(tmp_path: Path) -> None:
    certificate(tmp_path)
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def test_the_same_seed_and_requests_give_the_same_store(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        with RunningSandbox(toy_spec, tmp_path / name, seed=3, faults="rough") as running:
            for number in range(40):
                try:
                    httpx.post(f"{running.url}/notes", json={"text": str(number)}, trust_env=False)
                except httpx.TransportError:
                    continue  # a lost reply, the same ones in both
            digests.append(running.store.digest())
    assert digests[0] == digests[1]


def test_a_taken_port_is_told_with_its_number(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} .* is taken"):
            RunningSandbox(toy_spec, tmp_path, port=port)


def test_a_client_with_a_fixed_host_reaches_the_sandbox_through_the_proxy(
    toy_spec: SandboxSpec, tmp_path: Path
) -> None:
    spec = replace(toy_spec, hosts=("api.vendor.example",))
    with (
        RunningSandbox(spec, tmp_path) as running,
        ConnectProxy({"api.vendor.example": running.tls_port}) as proxy,
        httpx.Client(proxy=proxy.url, verify=running.ssl_context(), trust_env=False) as client,
    ):
        assert client.get("https://api.vendor.example/echo/x").json() == {"word": "x"}
        with pytest.raises(httpx.ProxyError):
            client.get("https://elsewhere.example/echo/x")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(LookupError, match="there is no platform 'nonsense'"):
        registry.spec("nonsense")
    with pytest.raises(LookupError, match="there is no sandbox 'nonsense'"):
        sandboxes.sandbox("nonsense")


def test_a_sandbox_that_cannot_start_stops_the_others_and_says_so(toy_spec: SandboxSpec, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="toy sandbox ended at once"):
        start_all([toy_spec], tmp_path, 20000, patience=20)  # no room is called toy, so its process ends at once


def test_the_server_alone_explains_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "platforms.kit.sandbox.server", "--help"], capture_output=True, text=True, check=True
    )
    assert "Serve one sandbox" in done.stdout
