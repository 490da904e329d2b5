"""The real Tryton as a demo starts it: a server of its own, a firm in the roles it plays, and two chapters of life.

Chapter 1: people log eight weeks of hours on the projects there are, and some open deals are won. Chapter 2: finance
posts what was drafted, customers pay in full, in part or not at all, and one invoice in a while is credited. A Tryton
that only keeps the books has nothing in chapter 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from platforms.tryton.server import environment, firm
from platforms.tryton.server.books import Firm
from platforms.tryton.server.running import RunningServer

# The deals are four months old, work on them began a month later and went on for eight weeks: by today whole months of
# it can be billed. Finance looks forward from today, as invoices are dated today.
_SOLD, _WORKED, _WORK_DAYS, _PAID = timedelta(days=120), timedelta(days=90), 56, timedelta(days=45)


class Life:
    """A running server and the firm in it."""

    def __init__(self, server: RunningServer, connection: str, roles: frozenset[str], today: date) -> None:
        self._server = server
        self._connection = connection
        self._roles = roles
        self._today = today
        self.url = server.url

    def environment(self) -> dict[str, str]:
        """The variables that point Tieout at it."""
        return self._server.env(self._connection)

    def populate(self, seed: int) -> Mapping[str, Any]:
        """Customers and deals, where Tryton is the CRM."""
        if "crm" not in self._roles:
            return {"today": self._today}
        made = firm.populate(self._server.admin(), seed, start=self._today - _SOLD)
        return {"today": self._today, "customers": made.customers, "deals_won": len(made.won),
                "other_deals": sum(made.deals.values()) - len(made.won)}  # fmt: skip

    def advance(self, seed: int, chapter: int) -> Mapping[str, Any]:
        """Chapter 1: work. Chapter 2: finance."""
        admin = self._server.admin()
        if chapter == 1 and "psa" in self._roles:
            lived = firm.advance(admin, seed, since=self._today - _WORKED, days=_WORK_DAYS)
            return {"today": self._today, "deals_won": len(lived.won), "time_entries": lived.lines}
        if chapter == 2 and "accounting" in self._roles:
            booked = firm.finance(admin, seed, on=self._today + _PAID)
            return {
                "today": self._today, "invoices_posted": len(booked.posted), "invoices_paid": len(booked.paid),
                "part_payments": len(booked.partly_paid), "credit_notes": len(booked.credited),
                "postings_refused": len(booked.refused),
            }  # fmt: skip
        return {"today": self._today}


@contextmanager
def start(state: Path, connection: str, roles: frozenset[str], legal_entity: str, today: date) -> Iterator[Life]:
    """A server of its own in `state`, with books for the legal entity; stopped at the end."""
    books = Firm(code=legal_entity, country=legal_entity)
    with RunningServer(state, environment.template(books), firm=books) as server:
        yield Life(server, connection, roles, today)


def prepare(say: Callable[[str], None]) -> None:
    """Install Tryton into an environment of its own when it is missing."""
    if not environment.installed():
        say("installing Tryton into .venv-tryton (once, about half a minute)")
        environment.install()
