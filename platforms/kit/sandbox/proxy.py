"""A tiny CONNECT proxy for clients whose vendor host is fixed: the tunnel leads to a sandbox's TLS port instead.

    with ConnectProxy({"api.mavenlink.com": 8801}) as proxy:
        environment = {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(sandbox.ca_path)}

It decrypts nothing: the sandbox itself holds a certificate for the vendor's name (`SandboxSpec.hosts`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping

HOST = "127.0.0.1"


class ConnectProxy:
    """Maps CONNECT host:port to a local port, on any free port itself; refuses every other host with 403."""

    def __init__(self, local_ports: Mapping[str, int]) -> None:
        self.local_ports = {host.lower(): port for host, port in local_ports.items()}
        self.url = ""
        self.tunnels = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="connect-proxy", daemon=True)

    def __enter__(self) -> ConnectProxy:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the CONNECT proxy did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(timeout=5)

    async def _run(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._tunnel, HOST, 0)
        self.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopped.wait()
        server.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # either side may leave at any time
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target = (*head.split(" ", 2), "")[:2]
            port = self.local_ports.get(target.rsplit(":", 1)[0].lower())
            if method != "CONNECT" or port is None:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                writer.close()
                return
            self.tunnels += 1
            there_reader, there_writer = await asyncio.open_connection(HOST, port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pour(reader, there_writer), _pour(there_reader, writer))


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
