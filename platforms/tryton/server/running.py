"""A Tryton server as a process of its own, over a copy of a prepared database."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from platforms.kit.context import ClientContext
from platforms.kit.secrets import Secret
from platforms.tryton.client import TrytonClient
from platforms.tryton.server.books import ADMIN, ADMIN_PASSWORD, USER, USER_PASSWORD, Firm
from platforms.tryton.server.environment import DATABASE, HERE, VENV, configuration, python

HOST = "127.0.0.1"
_PATIENCE = 60.0  # seconds until a server that does not answer is given up


class RunningServer:
    """Serves a copy of `template` in `folder` on 127.0.0.1; a context manager, and `start`/`stop`/`kill` by hand.

    `port` 0 takes a free one, and keeps it over a restart. With `keep`, a database that is in the folder already goes
    on where it was; else it is replaced. `firm` is the one the template was made for. `log` is the server's log file.
    """

    def __init__(
        self,
        folder: Path,
        template: Path,
        port: int = 0,
        *,
        firm: Firm | None = None,
        keep: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.template = template
        self.port = port
        self.firm = firm or Firm()
        self.keep = keep
        self.sleep = sleep
        self.database = DATABASE
        self.sqlite = self.folder / "db" / f"{DATABASE}.sqlite"
        self.log = self.folder / "trytond.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> RunningServer:
        self.restore()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- starting and stopping --------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Put a fresh copy of the template in place, unless what is there is to be kept. Only while it is stopped."""
        if self.process is not None:
            raise RuntimeError("stop the server before its database is replaced")
        if self.keep and self.sqlite.is_file():
            return
        self.sqlite.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("-wal", "-shm"):
            self.sqlite.with_name(self.sqlite.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(self.template, self.sqlite)

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError with the end of its log."""
        interpreter = python()
        for _ in range(5 if self.port == 0 else 1):
            port = self.port or _free_port()
            config = configuration(self.folder, port)
            script = VENV / "bin" / "trytond"
            command = [str(interpreter), str(HERE / "launch.py"), str(script), "-c", str(config), "-d", DATABASE]
            with self.log.open("ab") as log:
                # A session of its own: Ctrl-C goes to whoever started it, who stops it in order.
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
                )
            if self._answers(port):
                self.port = port
                return
            self.kill()
        raise RuntimeError(f"Tryton does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def _answers(self, port: int) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"http://{HOST}:{port}/", trust_env=False, timeout=5)
            except httpx.TransportError:
                self.sleep(0.05)
                continue
            return self.process.poll() is None
        return False

    def stop(self) -> None:
        """End the server; what it was doing is finished by nobody, as with any stopped server."""
        self._end(gently=True)

    def kill(self) -> None:
        """End the server as a power cut would."""
        self._end(gently=False)

    def _end(self, *, gently: bool) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if gently:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    # -- speaking to it ---------------------------------------------------------------------------------------------

    def client(self, connection: str = "tryton", *, url: str = "") -> TrytonClient:
        """A client as the integration user; `url` for one that goes through a proxy."""
        return self._client(connection, USER, USER_PASSWORD, url, needs_company=True)

    def admin(self, *, needs_company: bool = True) -> TrytonClient:
        """A client as the administrator, who is also the firm's people and its finance department."""
        return self._client("tryton_admin", ADMIN, ADMIN_PASSWORD, "", needs_company=needs_company)

    def _client(self, connection: str, user: str, password: str, url: str, *, needs_company: bool) -> TrytonClient:
        settings: dict[str, str | Secret] = {
            "base_url": url or self.url, "database": self.database, "user": user, "password": Secret(password),
        }  # fmt: skip
        return TrytonClient(settings, ClientContext(connection=connection), needs_company=needs_company)

    def env(self, connection: str = "tryton") -> dict[str, str]:
        """The environment variables with which Tieout reaches this server as the connection of this name.

        One request at a time: on SQLite, writers that meet draw the same number from a sequence and are refused.
        """
        values = {
            "platform": "tryton", "base_url": self.url, "database": self.database, "user": USER,
            "password": USER_PASSWORD, "company": self.firm.code, "concurrency": "1",
        }  # fmt: skip
        return {f"CONNECTIONS__{connection}__{name}".upper(): value for name, value in values.items()}

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows from Tryton's own tables, read beside the running server; for counting what is really there."""
        database = sqlite3.connect(f"file:{self.sqlite}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(sql, tuple(params)).fetchall()
        finally:
            database.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
