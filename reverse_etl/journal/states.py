"""The states of a journal entry and the only table of moves between them. `Journal` checks every move against it.

planned -> held | parked | pending -> sent -> confirmed -> settled
                                      sent -> uncertain -> (read back) confirmed | pending
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where one intended write stands."""

    planned = "planned"
    """Written down, nothing decided yet; only within the transaction that stages a plan."""
    held = "held"
    """A rule, a brake or a missing approval keeps it back; nothing is sent."""
    parked = "parked"
    """Waits for a record it refers to; released by itself once that record is known."""
    pending = "pending"
    """May be sent. Surely not on its way."""
    sent = "sent"
    """Handed to the platform, or about to be; no receipt yet."""
    uncertain = "uncertain"
    """Nobody knows whether it was done; it is read back before anything else."""
    confirmed = "confirmed"
    """The platform said, or a read-back showed, that it was done."""
    settled = "settled"
    """Read again afterwards and found as intended."""
    refused = "refused"
    """The platform said no; not sent again until the desired fields change or a person retries it."""
    superseded = "superseded"
    """A newer plan, or the record's disappearance from the model, replaced it before it was sent."""


MOVES: dict[State, frozenset[State]] = {
    State.planned: frozenset({State.held, State.parked, State.pending, State.superseded}),
    State.held: frozenset({State.pending, State.superseded}),
    State.parked: frozenset({State.pending, State.superseded}),
    State.pending: frozenset({State.sent, State.parked, State.confirmed, State.refused, State.superseded}),
    State.sent: frozenset({State.confirmed, State.pending, State.uncertain, State.refused}),
    State.uncertain: frozenset({State.confirmed, State.pending, State.refused}),
    State.confirmed: frozenset({State.settled}),
    State.refused: frozenset({State.pending, State.superseded}),
    State.settled: frozenset(),
    State.superseded: frozenset(),
}
"""From -> the states one may move to. `pending -> confirmed` is a record found to be there already, as intended."""

OPEN = frozenset({State.held, State.parked, State.pending, State.sent, State.uncertain, State.refused})
"""States in which an entry still speaks for its record; at most one open entry per record."""

IN_DOUBT = frozenset({State.sent, State.uncertain})
"""States in which the platform may have done it; such entries are never replaced, only resolved."""


def sources(to: State) -> frozenset[State]:
    """The states from which `to` may be reached."""
    return frozenset(state for state, targets in MOVES.items() if to in targets)


class IllegalMove(Exception):
    """An entry was asked to make a move that `MOVES` does not have; nothing was changed."""

    def __init__(self, to: State, expected: int, moved: int, example: str, found: str) -> None:
        super().__init__(
            f"{expected - moved} of {expected} journal entries cannot become {to}: entry {example} is {found}, "
            f"and {to} is reached only from {', '.join(sorted(sources(to)))}"
        )
