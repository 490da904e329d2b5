"""A vendor's rules without its HTTP: what every sandbox service offers to its own routes, to the world and to tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

from platforms.kit.sandbox.clock import SandboxClock
from platforms.kit.sandbox.store import Store

T = TypeVar("T")


class Refusal(Exception):
    """The vendor's rules say no. The room's app turns it into the vendor's own shape.

    `code` is the vendor's error code, `message` its text, `fields` the offending fields, `status` the HTTP status,
    `details` whatever else the shape needs.
    """

    def __init__(self, code: str, message: str, fields: Sequence[str] = (), status: int = 400, **details: Any) -> None:
        super().__init__(f"{code}: {message}" + (f" ({', '.join(fields)})" if fields else ""))
        self.code = code
        self.message = message
        self.fields = tuple(fields)
        self.status = status
        self.details = details


@runtime_checkable
class Service(Protocol):
    """What the world and the tests may ask of any sandbox. Rows carry the vendor's own field names."""

    store: Store
    clock: SandboxClock

    def setup(self, seed: int) -> None:
        """Create what a fresh account has: the org, integration users, custom fields, credentials (from the seed)."""

    def insert(self, object: str, values: Mapping[str, Any], *, actor: str) -> str:
        """Create one record as `actor`; returns its id. Raises Refusal."""

    def insert_many(self, object: str, rows: Iterable[Mapping[str, Any]], *, actor: str) -> list[str]:
        """Create many records, every rule checked, streaming; returns their ids in order."""

    def update(self, object: str, id: str, values: Mapping[str, Any], *, actor: str) -> None:
        """Change one record. Raises Refusal."""

    def delete(self, object: str, id: str, *, actor: str) -> None:
        """Delete one record the way the vendor does. Raises Refusal."""

    def act(self, action: str, id: str, *, actor: str, **params: Any) -> Any:
        """Press a button: 'timesheet.approve', 'payment.apply', ... Raises Refusal."""

    def rows(self, object: str, where_sql: str = "", params: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        """Stored rows for looking at; `where_sql` without the word WHERE."""


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items, in order; streams."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
