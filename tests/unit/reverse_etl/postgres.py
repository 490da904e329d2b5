"""A PostgreSQL cluster that lives as long as the test session: its own folder, its own port on 127.0.0.1, then gone.

initdb refuses to run as root; there the server runs as the user `postgres` (or `nobody`) and its folder is theirs. The
server's own settings are unkind on purpose: another time zone, another sort order, commits that do not wait for the disk
unless a session asks for it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

MISSING = "PostgreSQL's initdb is not on this machine: install the Debian package `postgresql` to run these tests"


def binaries() -> Path | None:
    """The folder of initdb and postgres: the one on PATH, else Debian's newest; None if there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(installed, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    return newest[-1].parent if newest else None


def _user() -> str | None:
    """Whom the server runs as, when it may not run as we do."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Cluster:
    """A running server."""

    port: int
    password: str
    numbers: Iterator[int] = field(default_factory=count)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """As its owner, every statement on its own."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="tieout", password=self.password, dbname="postgres", autocommit=True
        )

    def url(self) -> str:
        """The address of a new, empty place for a journal: a schema, which is made in no time; a database takes some."""
        name = f"journal_{next(self.numbers)}"
        with self.connect() as c:
            c.execute(sql.SQL("create schema {}").format(sql.Identifier(name)))
        return (
            f"postgresql+psycopg://tieout:{self.password}@127.0.0.1:{self.port}/postgres?options=-csearch_path%3D{name}"
        )


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A cluster for the length of the block. There must be `binaries()`."""
    found = binaries()
    assert found is not None, MISSING
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="tieout-postgres-"))
    data, told, secret = folder / "data", folder / "log", folder / "password"
    password = secrets.token_hex(8)
    secret.write_text(password)
    if user is not None:
        owner = pwd.getpwnam(user)
        for path in (folder, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGTZ": "UTC"}
    try:
        made = [found / "initdb", "-D", data, "-U", "tieout", "-A", "scram-sha-256", f"--pwfile={secret}", "-EUTF8"]
        subprocess.run(
            [*made, "--no-sync"], check=True, capture_output=True, user=user, env=environment, cwd=folder, timeout=120
        )
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "timezone": "Asia/Kolkata",
            "max_connections": 60,
            "shared_buffers": "32MB",
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with told.open("wb") as log:
            server = subprocess.Popen(
                [found / "postgres", "-D", data, *options],
                stdout=log, stderr=log, user=user, env=environment, cwd=folder,
            )  # fmt: skip
        try:
            cluster = Cluster(port, password)
            _await(cluster, server, told)
            yield cluster
        finally:
            server.send_signal(3)  # SIGQUIT: at once; nothing in it is worth a checkpoint
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(cluster: Cluster, server: subprocess.Popen[bytes], told: Path) -> None:
    """Until it answers; a server that ended instead is told with its own words."""
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended with {server.returncode}: {told.read_text()[-2000:]}")
        with contextlib.suppress(psycopg.OperationalError):
            cluster.connect().close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.05)
    raise RuntimeError(f"PostgreSQL does not answer: {told.read_text()[-2000:]}")
