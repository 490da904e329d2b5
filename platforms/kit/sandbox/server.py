"""Serving sandboxes: one app on plain HTTP and on TLS (own CA), in a thread for tests, in processes for people.

Run one alone: `python -m platforms.kit.sandbox.server salesforce --state state --port 8700 --tls-port 8800`.
Stopped by SIGTERM or Ctrl-C; the state stays, and a later start goes on where this one ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import trustme
import uvicorn
from filelock import FileLock
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from platforms.kit.registry import Limits
from platforms.kit.sandbox.app import TRANSPORT, SandboxApp
from platforms.kit.sandbox.faults import FaultProfile, Faults
from platforms.kit.sandbox.registry import SandboxSpec, open_ready, sandbox
from platforms.kit.sandbox.service import Service

log = logging.getLogger("tieout.sandbox")

HOST = "127.0.0.1"
TLS_OFFSET = 100


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, telling the app its transport, so that a reply can be lost for real."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # uvicorn's typed keys, and ours beside them
        scope[TRANSPORT] = self.transport


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone: two of them share one process, whose owner decides."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hang up on idle connections at once: a TLS goodbye would wait for clients that are gone."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol) and (connection.cycle is None or connection.cycle.response_complete):
                connection.transport.abort()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def certificate(ca_dir: Path, names: Sequence[str] = ()) -> tuple[Path, ssl.SSLContext]:
    """The CA's file (`<ca_dir>/ca.pem`) and a server context whose certificate covers this machine and `names`.

    The CA is made once per directory and kept with its key, so that restarts keep what clients trust.
    """
    ca_dir.mkdir(parents=True, exist_ok=True)
    ca_file, key_file = ca_dir / "ca.pem", ca_dir / "ca.key"
    with FileLock(ca_dir / "ca.lock"):
        if ca_file.exists() and key_file.exists():
            authority = trustme.CA.from_pem(ca_file.read_bytes(), key_file.read_bytes())
        else:
            authority = trustme.CA(organization_name="Tieout sandboxes")
            key_file.touch(mode=0o600)
            authority.private_key_pem.write_to_path(key_file)
            authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost", *names).configure_cert(context)
    return ca_file, context


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it every kept connection costs 40 ms a call
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(
            f"port {port} on {host} is taken ({error}); stop what runs there or choose another base"
        ) from error
    sock.listen(512)
    return sock


def _server(app: Any, context: ssl.SSLContext | None) -> _Server:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,  # the app sends the sandbox's own time
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )
    config.load()
    config.ssl = context
    return _Server(config)


async def _serve(servers: Sequence[_Server], sockets: Sequence[socket.socket]) -> None:
    await asyncio.gather(
        *(server.serve(sockets=[sock]) for server, sock in zip(servers, sockets, strict=True)),
    )


def serve(app: Any, host: str, port: int, tls_port: int | None, ca_dir: Path, *, names: Sequence[str] = ()) -> None:
    """Serve `app` until SIGTERM or SIGINT: HTTP on `port`, TLS on `tls_port` (None: no TLS). Blocks."""
    sockets = [_listen(host, port)]
    servers = [_server(app, None)]
    if tls_port is not None:
        sockets.append(_listen(host, tls_port))
        servers.append(_server(app, certificate(ca_dir, names)[1]))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, servers)
        await _serve(servers, sockets)

    asyncio.run(run())


def _stop(servers: Sequence[_Server]) -> None:
    for server in servers:
        server.should_exit = True


class RunningSandbox:
    """One sandbox in a thread of this process, on free ports: `with RunningSandbox("salesforce", tmp_path) as it: ...`

    `.url` and `.tls_url` have no trailing slash, `.ca_path` is the CA file, `.service` and `.store` the rules and rows
    behind it, `.env` the environment variables that point Tieout at it, `.faults` and `.app` its switches. `limits` and
    `latency` replace the vendor's when given. Leaving stops the server; the state stays in `state_dir`.
    """

    def __init__(
        self,
        spec: SandboxSpec | str,
        state_dir: Path,
        *,
        seed: int = 7,
        faults: FaultProfile | str = "none",
        limits: Limits | None = None,
        latency: float | None = None,
        port: int = 0,
        tls_port: int = 0,
    ) -> None:
        self.spec = sandbox(spec) if isinstance(spec, str) else spec
        self.state_dir = Path(state_dir)
        self.seed = seed
        self.faults = Faults(faults, seed)
        self.service: Service = open_ready(self.spec, self.state_dir, seed)
        self.store = self.service.store
        self.app: SandboxApp = self.spec.create_app(self.service, self.faults)
        if limits is not None:
            self.app.limits = limits
        if latency is not None:
            self.app.latency = latency
        self.ca_path, context = certificate(self.state_dir, self.spec.hosts)
        self._sockets = [_listen(HOST, port), _listen(HOST, tls_port)]
        self._servers = [_server(self.app, None), _server(self.app, context)]
        self._thread: threading.Thread | None = None
        self.url = f"http://{HOST}:{self._sockets[0].getsockname()[1]}"
        self.tls_url = f"https://{HOST}:{self._sockets[1].getsockname()[1]}"

    @property
    def tls_port(self) -> int:
        """The TLS twin's port."""
        return int(self._sockets[1].getsockname()[1])

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point Tieout at this sandbox."""
        return self.spec.environment(self.service, self.url, self.tls_url)

    def ssl_context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts this sandbox's CA and no other."""
        return ssl.create_default_context(cafile=str(self.ca_path))

    def start(self) -> RunningSandbox:
        """Start serving; returns once both ports answer."""
        self._thread = threading.Thread(
            target=lambda: asyncio.run(_serve(self._servers, self._sockets)),
            name=f"{self.spec.name}-sandbox",
            daemon=True,
        )
        self._thread.start()
        deadline = time.monotonic() + 15
        while not all(server.started for server in self._servers):
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError(f"the {self.spec.name} sandbox did not start")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """Stop serving and close the store's connections."""
        _stop(self._servers)
        if self._thread is not None:
            self._thread.join(timeout=10)
        for sock in self._sockets:
            sock.close()
        self.store.close()

    def __enter__(self) -> RunningSandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass
class Fleet:
    """Sandboxes running as processes, one per platform; `env` points Tieout at all. End with `stop` or `with`."""

    state_dir: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    tls_urls: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def stop(self, patience: float = 10.0) -> None:
        """Ask all to stop, wait, and kill what is left after `patience` seconds."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + patience
        for process in self.processes.values():
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def wait(self) -> int:
        """Block until a sandbox ends by itself (its exit status is returned) or this process gets SIGTERM or SIGINT."""
        asked = threading.Event()
        before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while not asked.wait(0.2):
                for process in self.processes.values():
                    if process.poll() is not None:
                        return int(process.returncode)
            return 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ports_of(spec: SandboxSpec, port_base: int) -> tuple[int, int]:
    """The HTTP and TLS ports of a sandbox: base + its offset, and 100 above."""
    return port_base + spec.port_offset, port_base + spec.port_offset + TLS_OFFSET


def environment_of(specs: Sequence[SandboxSpec], state_dir: Path, port_base: int, seed: int) -> dict[str, str]:
    """The environment variables for sandboxes served from `port_base`, whether or not they run now."""
    found: dict[str, str] = {}
    for spec in specs:
        service = open_ready(spec, state_dir, seed)
        port, tls_port = ports_of(spec, port_base)
        found.update(spec.environment(service, f"http://{HOST}:{port}", f"https://{HOST}:{tls_port}"))
        service.store.close()
    return found


def start_all(
    specs: Sequence[SandboxSpec],
    state_dir: Path,
    port_base: int = 8700,
    *,
    seed: int = 7,
    faults: str = "none",
    latency: float = 0.0,
    patience: float = 30.0,
    extra_env: Mapping[str, str] | None = None,
) -> Fleet:
    """Start one process per sandbox and return once all answer. Raises RuntimeError (all stopped) if one does not.

    The processes end with this one, however it ends: each holds the other end of a pipe and leaves when it closes.
    """
    fleet = Fleet(Path(state_dir))
    fleet.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        for spec in specs:
            port, tls_port = ports_of(spec, port_base)
            command = [sys.executable, "-m", "platforms.kit.sandbox.server", spec.name]
            command += ["--state", str(fleet.state_dir), "--port", str(port), "--tls-port", str(tls_port)]
            command += ["--seed", str(seed), "--faults", faults, "--latency", str(latency), "--with-parent"]
            fleet.processes[spec.name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                env={**os.environ, **(extra_env or {})},
                start_new_session=True,  # Ctrl-C goes to the parent, which stops them in order
            )
            fleet.urls[spec.name] = f"http://{HOST}:{port}"
            fleet.tls_urls[spec.name] = f"https://{HOST}:{tls_port}"
        for spec in specs:
            _await_health(fleet.processes[spec.name], fleet.urls[spec.name], spec.name, patience)
        fleet.env = environment_of(specs, fleet.state_dir, port_base, seed)
    except BaseException:
        fleet.stop()
        raise
    return fleet


def serve_all(specs: Sequence[SandboxSpec], state_dir: Path, port_base: int = 8700, **options: Any) -> None:
    """Like `start_all`, and block until SIGTERM or SIGINT, then stop all. RuntimeError when one ends by itself."""
    with start_all(specs, state_dir, port_base, **options) as fleet:
        status = fleet.wait()
    if status:
        raise RuntimeError(f"a sandbox ended by itself with status {status}; its output above says why")


def _await_health(process: subprocess.Popen[bytes], url: str, name: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    with httpx.Client(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(
                    f"the {name} sandbox ended at once (status {process.returncode}); its output says why"
                )
            try:
                answer = client.get(f"{url}/_sandbox/health")
            except httpx.TransportError:  # not listening yet
                time.sleep(0.05)
                continue
            if answer.status_code == 200 and answer.json().get("name") == name:
                return
            raise RuntimeError(f"something else answers at {url}; choose another --port-base")
    raise RuntimeError(f"the {name} sandbox did not answer at {url} within {patience:.0f} s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one sandbox in this process until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m platforms.kit.sandbox.server", description=main.__doc__)
    parser.add_argument("name")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", default="none")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--with-parent", action="store_true", help="leave when standard input closes")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    spec = sandbox(given.name)
    service = open_ready(spec, given.state, given.seed)
    app = spec.create_app(service, Faults(given.faults, given.seed))
    if given.latency:
        app.latency = given.latency
    if given.with_parent:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    serve(app, HOST, given.port, given.tls_port, given.state, names=spec.hosts)
    service.store.close()


def _leave_with_parent() -> None:
    while os.read(
        0, 1024
    ):  # empty when the parent is gone, however it went; unbuffered, so that no lock is held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
