"""`python -m platforms.tryton.server prepare|serve`: install and prepare a real Tryton, or run one by hand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from platforms.tryton.server import Firm, RunningServer, install, template
from platforms.tryton.server.books import ADMIN, ADMIN_PASSWORD

_FIRM = Firm()


def _firm(code: str, name: str, currency: str, country: str, tax: str) -> Firm:
    return Firm(code=code, name=name, currency=currency, country=country, tax=tax)


def _firm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for field, help in (
        ("tax", "rate of its VAT"), ("country", "its country, ISO 3166"), ("currency", "its currency, ISO 4217"),
        ("name", "its name"), ("code", "code of the company's party: the legal entity's code"),
    ):  # fmt: skip
        command = click.option(f"--{field}", default=getattr(_FIRM, field), show_default=True, help=help)(command)
    return command


@click.group()
def main() -> None:
    """A real Tryton on this machine."""


@main.command()
@_firm_options
def prepare(**firm: str) -> None:
    """Install Tryton into .venv-tryton and build the firm's template database, where they are not there yet."""
    started = time.monotonic()
    install()
    click.echo(f"Tryton is installed; {template(_firm(**firm)).name} is ready ({time.monotonic() - started:.1f} s)")


@main.command()
@click.option("--state", type=click.Path(path_type=Path), default=Path(".tieout/tryton"), help="folder of the database")
@click.option("--port", default=18069, show_default=True)
@click.option("--connection", default="tryton", show_default=True, help="name of the connection in the variables shown")
@click.option("--fresh", is_flag=True, help="throw away what is in the folder")
@_firm_options
def serve(state: Path, port: int, connection: str, fresh: bool, **firm: str) -> None:
    """Serve a firm until SIGTERM or Ctrl-C; a later start goes on where this one ended."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    install()
    chosen = _firm(**firm)
    with RunningServer(state, template(chosen), port, firm=chosen, keep=not fresh) as server:
        for name, value in server.env(connection).items():
            click.echo(f"export {name}={value!r}")
        click.echo(f"# {server.url}, database {server.database}, administrator {ADMIN} / {ADMIN_PASSWORD}")
        stopped.wait()


if __name__ == "__main__":
    main()
