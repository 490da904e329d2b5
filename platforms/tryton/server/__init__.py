"""A real Tryton on this machine, for the tests and the demo: installed apart, set up once, started in seconds.

    prepared = template(Firm())                       once: a database with modules, books, people and users
    with RunningServer(folder, prepared) as server:   a copy of it, served on 127.0.0.1
        server.client(), server.env("tryton"), server.query("SELECT ...")

Live code never imports this package; it meets Tryton over HTTP, as every other client does. Tryton itself is free
software under the GPL, written by others; it is installed from its own packages into `.venv-tryton` and only started.
Run alone: `python -m platforms.tryton.server prepare` and `... serve`.
"""

from platforms.kit.local import LocalSpec
from platforms.tryton.server import local
from platforms.tryton.server.books import Firm
from platforms.tryton.server.environment import NotInstalled, install, installed, template
from platforms.tryton.server.running import RunningServer

__all__ = ["LOCAL", "Firm", "NotInstalled", "RunningServer", "install", "installed", "template"]

LOCAL = LocalSpec(name="tryton", prepare=local.prepare, start=local.start)
