"""Secrets that cannot be printed by accident, and a mask for texts that come from elsewhere."""

from __future__ import annotations

import logging
import threading
from urllib.parse import quote, quote_plus

MASK = "***"
# Shorter values would blank out ordinary words; no vendor issues credentials this short.
_SHORTEST = 6

_known: set[str] = set()
_lock = threading.Lock()


class Secret:
    """A credential. `repr`, `str` and format give `***`; `.reveal()` gives the value, at the point of use only."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        register(value)

    def reveal(self) -> str:
        """The value itself. Never store or log what this returns."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a Secret is not pickled; pass the connection's name and resolve it where it is used")


def register(value: str) -> None:
    """Remember `value` so that `mask` hides it in this process: whole, by line (PEM keys), and percent-encoded."""
    pieces = {value, *value.splitlines(), quote(value, safe=""), quote_plus(value)}
    with _lock:
        _known.update(piece for piece in pieces if len(piece) >= _SHORTEST and not piece.startswith("-----"))


def mask(text: str) -> str:
    """`text` with every registered secret replaced by `***`, longest first so that no tail is left standing."""
    with _lock:
        known = sorted(_known, key=len, reverse=True)
    for value in known:
        if value in text:
            text = text.replace(value, MASK)
    return text


class MaskingFilter(logging.Filter):
    """A logging filter that masks the finished message, arguments and exception text included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; always lets it pass."""
        record.msg = mask(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
        return True
