"""The seam between the engine and a platform: what a target must be able to do, and the facts that cross it.

A target is a thin translator over one connection's client. It knows the vendor's verbs, batch sizes and error bodies;
it decides nothing: what to write, whether to write it again and what to tell a person are the engine's. One module
per platform, `reverse_etl/targets/<platform>.py`, with one function

    def build(client: <P>Client, connection: str) -> Target

is all that a new platform needs; it is discovered, never listed. `tests/unit/reverse_etl/` drives every engine rule
against a small in-memory target with the same protocol.

What flows: `WriteRow`s in, exactly one `Receipt` per row out. Field names are those of the sync settings, dotted
paths included (`nest` turns them into a body). Values are Decimal (money, quantities; never float), str, bool, int,
date, aware UTC datetime, None, or parsed JSON (list, dict). On `create` no None is passed; on `update` None means
"empty this field", and the target must use whatever its vendor needs to really empty it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from platforms.kit.errors import (
    AskPerson,
    Conflict,
    NotSent,
    PlatformError,
    Refused,
    Retry,
    Uncertain,
    Wait,
)

Value: TypeAlias = "Decimal | str | bool | int | date | datetime | list[Any] | dict[str, Any] | None"

TARGET_ID = "@id"
"""As `key_field`: the keys are the platform's own record ids (syncs in `update` mode, settle, adoption)."""


class Verb(StrEnum):
    """What one write does to one record."""

    create = "create"
    """Make the record. Where the platform has a unique external key this is sent as an upsert by that key."""
    update = "update"
    """Change the named fields of the record `target_id`, leave every other field alone."""


class KeyKind(StrEnum):
    """How a record of ours is recognised on the platform."""

    upsert_key = "upsert_key"
    """A unique external id the platform itself enforces; a create may be repeated without harm."""
    reference = "reference"
    """A reference we store beside the record; searchable, but its uniqueness is ours to keep."""
    target_id = "target_id"
    """Only records that exist already are written, by their own id."""
    none = "none"
    """Nothing: a lost answer cannot be found out. Syncs onto such an object need a waiver."""


class Promise(StrEnum):
    """What a repeated or unanswered write may lead to."""

    exactly_once = "exactly_once"
    """The platform enforces the key: one effect, however often it is sent."""
    in_doubt_resolved_by_read_back = "in_doubt_resolved_by_read_back"
    """One effect as long as a read by key shows what the lost call did before it is sent again."""
    at_least_once = "at_least_once"
    """An unanswered create may leave a second record."""


class Outcome(StrEnum):
    """What became of one row, by what to do next (the row-level twin of the error classes)."""

    done = "done"
    """The platform confirmed it; `target_id` is set."""
    retry = "retry"
    """Surely not done, and worth sending again soon (row lock, rolled-back batch)."""
    wait = "wait"
    """Surely not done; the platform asked for a pause."""
    conflict = "conflict"
    """A record with this key exists already: the engine reads it back and adopts it."""
    refused = "refused"
    """The platform said no, and will until the data changes."""
    ask_person = "ask_person"
    """Only a person can help (permission, closed period, locked record)."""
    uncertain = "uncertain"
    """It may or may not have been done: the engine reads back before it sends again."""


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What the platform can do for one object. Sizes are rows per call; 1 = one record a call."""

    object: str
    key_kind: KeyKind
    promise: Promise
    max_batch_create: int = 1
    max_batch_update: int = 1
    max_find: int = 100
    """Keys per `find` call; larger sets are cut by the engine."""
    can_create: bool = True
    can_update: bool = True
    supports_async_job: bool = False
    job_min_rows: int = 0
    """From this many rows of one verb on, the engine prefers a vendor job (see `JobTarget`)."""
    job_max_rows: int = 0
    """Most rows one job may carry; 0 = no limit."""
    find_lag_seconds: float = 0.0
    """How long a fresh record may stay invisible to `find`; a read-back that finds nothing waits and looks again."""
    parallel_writes: int = 1
    """Write calls of this object that may be in flight at once on one connection."""

    def max_batch(self, verb: Verb) -> int:
        return max(1, self.max_batch_create if verb is Verb.create else self.max_batch_update)


@dataclass(frozen=True, kw_only=True)
class WriteRow:
    """One intended write. `entry_id` comes back on its receipt.

    `key` is the business key; a create stores it in the call's `key_field`. `target_id` is set for updates. `fields`
    maps the vendor's field names (dotted paths allowed) to values, references already replaced by target ids;
    `key_field` itself is not among them. `adopt` marks an update of a record that was there before us and does not
    carry our key yet: the target stores `key` in `key_field` (or as its reference) along with the fields. `version` is
    the target's version we last saw, for platforms with conditional updates; None when unknown.
    """

    entry_id: str
    key: str
    verb: Verb
    fields: Mapping[str, Value]
    target_id: str | None = None
    version: str | None = None
    adopt: bool = False


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the platform answered for one row. Messages are masked, in plain words; `fields` are the vendor's names."""

    entry_id: str
    outcome: Outcome
    target_id: str | None = None
    target_version: str | None = None
    created: bool | None = None
    """For upserts: True = made now, False = it was there; None = not told."""
    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    request_id: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """One record as it is on the platform now. `fields` has the requested names (dotted paths as requested)."""

    key: str
    target_id: str
    version: str | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobHandle:
    """A vendor job that can be asked for later, also by another process. Journalled before rows are given to it.

    `remote` is whatever the target needs to find the job again (an id, a URL); never a secret.
    """

    connection: str
    object: str
    verb: Verb
    key_field: str
    batch_id: str
    remote: str


@dataclass(frozen=True, kw_only=True)
class CallCount:
    """HTTP calls made through this target's client so far. `writes` change records; `reads` look, poll or describe."""

    reads: int
    writes: int

    def since(self, earlier: CallCount) -> CallCount:
        return CallCount(reads=self.reads - earlier.reads, writes=self.writes - earlier.writes)


@runtime_checkable
class Target(Protocol):
    """What the engine needs of a platform, for one connection."""

    platform: str
    connection: str

    def capability(self, object: str) -> Capability:
        """What can be done with this object. No network. Unknown object -> `Refused` naming the objects there are."""
        ...

    def find(
        self, object: str, key_field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """The records that carry these keys, with the named fields.

        Every asked key is in the answer; () = surely not there; several = a duplicate, which the engine reports.
        At most `max_find` keys. `key_field` may be `TARGET_ID`. Archived or deleted records count as not there.
        Raises `PlatformError` (an answer that cannot be trusted is never reported as "not there").
        """
        ...

    def read_back(
        self, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
    ) -> Mapping[str, tuple[Found, ...]]:
        """After a lost answer: which records did these creates leave? Keyed by `entry_id`, every row answered.

        Where the create carries the key, this is `read_back_by_key`. Where the key is stored by a second call, the
        target must also recognise a record whose key was never stored, and store it.
        """
        ...

    def write(
        self, object: str, verb: Verb, rows: Sequence[WriteRow], *, key_field: str, batch_id: str
    ) -> Sequence[Receipt]:
        """ONE vendor call for at most `max_batch(verb)` rows; one receipt per row, any order.

        `batch_id` is stable per attempt of a batch; use it where the vendor takes an idempotency key. May raise a
        `PlatformError`, which then holds for every row; `Uncertain` means nobody knows for any of them.
        """
        ...

    def call_floor(self, object: str, verb: Verb, rows: int) -> int:
        """The fewest write calls that could carry this many rows (0 for 0), counted as `calls` counts them."""
        ...

    def calls(self) -> CallCount:
        """Calls made so far through this connection's client."""
        ...

    def link(self, object: str, target_id: str) -> str:
        """Address of the record for a person's browser; '' if the platform has none."""
        ...

    def fields_exist(self, object: str, fields: Sequence[str]) -> Mapping[str, bool]:
        """For `doctor`: which of these fields exist on the object and may be written by our user."""
        ...


@runtime_checkable
class JobTarget(Protocol):
    """A target whose platform also takes large sets as a job of its own (`supports_async_job` says for what)."""

    def open_job(self, object: str, verb: Verb, *, key_field: str, batch_id: str, rows: int) -> JobHandle:
        """Reserve a job. Changes no record: a lost answer here may cost an empty job, never a second effect."""
        ...

    def submit_job(self, handle: JobHandle, rows: Sequence[WriteRow]) -> None:
        """Hand over the rows and start it. `Uncertain` is fine: `reattach` finds out."""
        ...

    def reattach(self, handle: JobHandle, rows: Sequence[WriteRow]) -> Sequence[Receipt] | None:
        """Ask for the results. None = still running. A job that never got its rows answers `retry` for each."""
        ...


@runtime_checkable
class KeyedByOthers(Protocol):
    """A target whose key field is one that others fill too, such as an external id that some import gave."""

    def keys_of_others(self, object: str, rows: Sequence[WriteRow], *, key_field: str) -> Mapping[str, str]:
        """Of records to be taken over: entry_id -> the key that somebody else put on the record `target_id`.

        Records without a key, or with one of ours, are not in the answer. Such a key stays: the engine keeps the pair
        of our key and the target id by itself and writes to the record by its id.
        """
        ...


def read_back_by_key(
    target: Target, object: str, rows: Sequence[WriteRow], *, key_field: str, fields: Sequence[str]
) -> dict[str, tuple[Found, ...]]:
    """`Target.read_back` for platforms whose create carries the key: cut into `max_find` slices and look."""
    size = max(1, target.capability(object).max_find)
    found: dict[str, tuple[Found, ...]] = {}
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        by_key = target.find(object, key_field, [row.key for row in part], fields)
        for row in part:
            found[row.entry_id] = tuple(by_key[row.key])
    return found


def nest(fields: Mapping[str, Value]) -> dict[str, Any]:
    """{'a': 1, 'b.c': 2, 'b.d': 3} -> {'a': 1, 'b': {'c': 2, 'd': 3}}; a path through a plain value -> ValueError."""
    body: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, leaf = path.split(".")
        at = body
        for name in parents:
            inner = at.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ValueError(f"field {path!r} reaches into {name!r}, which is a plain value")
            at = inner
        at[leaf] = value
    return body


def dig(body: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a vendor's record, None if any part is missing."""
    at: Any = body
    for name in path.split("."):
        if not isinstance(at, Mapping) or name not in at:
            return None
        at = at[name]
    return at


def outcome_of(error: PlatformError) -> Outcome:
    """The row-level outcome that says the same as an error about the whole call."""
    if isinstance(error, Conflict):
        return Outcome.conflict
    for kind, outcome in (
        (Uncertain, Outcome.uncertain),
        (Wait, Outcome.wait),
        (Retry, Outcome.retry),
        (NotSent, Outcome.retry),
        (AskPerson, Outcome.ask_person),
        (Refused, Outcome.refused),
    ):
        if isinstance(error, kind):
            return outcome
    return Outcome.uncertain


def receipts_for(error: PlatformError, rows: Iterable[WriteRow]) -> list[Receipt]:
    """One receipt per row for an error that concerns the whole call."""
    return [
        Receipt(
            entry_id=row.entry_id,
            outcome=outcome_of(error),
            code=error.code,
            message=error.message,
            fields=error.fields,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )
        for row in rows
    ]


Build: TypeAlias = Callable[[Any, str], Target]
_NOT_ROOMS = frozenset({"base"})


def target_names() -> tuple[str, ...]:
    """Platforms that can be written to: the modules beside this one. Nothing is imported."""
    package = importlib.import_module(__package__ or "reverse_etl.targets")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name not in _NOT_ROOMS))


def target_for(platform: str) -> Build:
    """`build(client, connection)` of one platform. Unknown platform -> LookupError naming those there are."""
    if platform not in target_names():
        raise LookupError(f"no write-back target for platform {platform!r}; there are: {', '.join(target_names())}")
    module = importlib.import_module(f"{__package__}.{platform}")
    build: Build = module.build
    return build
