"""Where the real Tryton lives: its own virtual environment, and databases that are prepared once and copied.

    install()               .venv-tryton from requirements.lock (15 s, once)
    template(Firm())        the prepared database file of a firm, from build/tryton, made when it is not there (35 s)

Two steps are kept apart in the cache: a database with the modules active and empty books (slow, the same for every
firm), and the books of one firm in it (4 s). Each is keyed by everything it is made of, so nothing stale is ever used.
Safe in several processes at once: the first one builds, the others wait.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from platforms.kit import jsonio
from platforms.tryton.server import books
from platforms.tryton.server.books import ADMIN, ADMIN_PASSWORD, Firm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
VENV = ROOT / ".venv-tryton"
CACHE = ROOT / "build" / "tryton"
LOCK = HERE / "requirements.lock"
DATABASE = "firm"
MODULES = (
    "party", "company", "currency", "product", "account", "account_product", "account_invoice", "timesheet",
    "timesheet_cost", "project", "project_revenue", "project_invoice", "sale", "sale_opportunity",
)  # fmt: skip
_STAMP = ".installed"


class NotInstalled(RuntimeError):
    """There is no Tryton here to start; says how to get one."""

    def __init__(self) -> None:
        super().__init__("Tryton is not installed in .venv-tryton: run `make tryton-env`")


def installed() -> bool:
    """Whether `.venv-tryton` holds exactly what requirements.lock says."""
    stamp = VENV / _STAMP
    return stamp.is_file() and stamp.read_bytes() == LOCK.read_bytes()


def python() -> Path:
    """The interpreter of `.venv-tryton`. Raises NotInstalled."""
    if not installed():
        raise NotInstalled
    return VENV / "bin" / "python"


def install() -> None:
    """Install what requirements.lock says into `.venv-tryton`; nothing to do when it is there. Needs uv."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "install.lock"):
        if installed():
            return
        shutil.rmtree(VENV, ignore_errors=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(VENV)], check=True)
        sync = [*uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(VENV / "bin" / "python"), str(LOCK)]
        subprocess.run(sync, check=True)
        shutil.copyfile(LOCK, VENV / _STAMP)


def template(firm: Firm | None = None) -> Path:
    """The prepared database of a firm: one SQLite file, to be copied and never opened. Raises NotInstalled."""
    firm = firm or Firm()
    modules = CACHE / f"modules-{_key_of_modules()}.sqlite"
    found = CACHE / f"firm-{_key_of_firm(firm)}.sqlite"
    if found.is_file() and installed():
        return found
    python()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "prepare.lock"):
        if not modules.is_file():
            _activate_modules(modules)
        if not found.is_file():
            _keep_books(modules, found, firm)
    return found


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _key_of_modules() -> str:
    return _digest(LOCK.read_bytes(), " ".join(MODULES).encode(), ADMIN_PASSWORD.encode())


def _key_of_firm(firm: Firm) -> str:
    values = jsonio.dumps(dataclasses.asdict(firm)).encode()
    return _digest(_key_of_modules().encode(), Path(books.__file__).read_bytes(), values)


def configuration(folder: Path, port: int) -> Path:
    """Write the server's configuration file into `folder`; the databases lie in `folder`/db."""
    (folder / "db").mkdir(parents=True, exist_ok=True)
    text = (
        f"[web]\nlisten = 127.0.0.1:{port}\n"
        f"[database]\nuri = sqlite://\npath = {folder / 'db'}\n"
        "[session]\ntimeout = 86400\nmax_attempt = 50\n"
    )
    file = folder / "trytond.conf"
    file.write_text(text, encoding="utf-8")
    return file


def _activate_modules(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tryton-", dir=CACHE) as name:
        folder = Path(name)
        config = configuration(folder, 0)
        database = folder / "db" / f"{DATABASE}.sqlite"
        database.touch()
        secret = folder / "password"
        secret.write_text(ADMIN_PASSWORD, encoding="utf-8")
        command = [
            str(VENV / "bin" / "trytond-admin"), "-c", str(config), "-d", DATABASE, "--email", f"{ADMIN}@example.com",
            "-u", *MODULES, "--activate-dependencies",
        ]  # fmt: skip
        environment = {**os.environ, "TRYTONPASSFILE": str(secret)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Tryton's modules could not be activated: {done.stderr[-2000:]}")
        _keep(database, target)


def _keep_books(modules: Path, target: Path, firm: Firm) -> None:
    from platforms.tryton.server.running import RunningServer

    with tempfile.TemporaryDirectory(prefix="tryton-", dir=CACHE) as name:
        server = RunningServer(Path(name), modules, firm=firm)
        with server, server.admin(needs_company=False) as admin:
            books.set_up(admin, firm)
        _keep(server.sqlite, target)


def _keep(database: Path, target: Path) -> None:
    """Write the database, with what still stands in its write-ahead log, into one file; whole or not at all."""
    unfinished = target.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    source, copy = sqlite3.connect(database), sqlite3.connect(unfinished)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        source.close()
        copy.close()
    unfinished.replace(target)
