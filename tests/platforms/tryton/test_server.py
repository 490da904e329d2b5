"""The server to practise on: a fresh copy each time, kept when asked, and gone when whoever started it is gone."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from platforms.tryton.server import Firm, RunningServer, environment, template

pytestmark = pytest.mark.tryton

SWEDISH = Firm(code="SE", name="Tieout Nordics", currency="SEK", country="SE", city="Malmö", tax="0.25")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_copy_is_fresh_unless_it_is_kept_and_survives_a_power_cut(tmp_path: Path) -> None:
    prepared = template()
    before = prepared.read_bytes()
    server = RunningServer(tmp_path, prepared)
    with server, server.client() as client:
        port = server.port
        client.create("party.party", [{"name": "Mark"}])
        server.kill()
        assert not answers(port)
        server.start()
        assert server.port == port
        assert client.search_count("party.party", [["name", "=", "Mark"]]) == 1
    assert prepared.read_bytes() == before, "the template is copied, never written"

    with RunningServer(tmp_path, prepared, keep=True) as kept:
        assert kept.query("SELECT count(*) FROM party_party WHERE name = 'Mark'") == [(1,)]
    with RunningServer(tmp_path, prepared) as fresh:
        assert fresh.query("SELECT count(*) FROM party_party WHERE name = 'Mark'") == [(0,)]


def test_a_firm_of_another_country_has_its_own_code_currency_and_tax(tmp_path: Path) -> None:
    with RunningServer(tmp_path, template(SWEDISH), firm=SWEDISH) as server, server.client() as client:
        assert (client.company.code, client.company.name, client.company.currency) == ("SE", "Tieout Nordics", "SEK")
        assert client.search_read("account.tax", [], ["name"])[0]["name"] == "VAT 25 %"
        assert server.env("nordics")["CONNECTIONS__NORDICS__COMPANY"] == "SE"


def test_the_template_is_made_once_for_what_it_is_made_of() -> None:
    assert template() == template(Firm())
    assert template(SWEDISH) != template()
    started = time.monotonic()
    template(SWEDISH)
    assert time.monotonic() - started < 1


STARTER = """
import pathlib, sys, time
from platforms.tryton.server import RunningServer, template
server = RunningServer(pathlib.Path(sys.argv[1]), template())
server.restore()
server.start()
print(server.port, flush=True)
time.sleep(60)
"""


def test_a_server_ends_with_whoever_started_it_even_if_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, tmp_path], stdout=subprocess.PIPE, cwd=environment.ROOT)
    assert starter.stdout is not None
    port = int(starter.stdout.readline())
    assert answers(port)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 10
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not answers(port)
