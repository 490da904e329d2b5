"""Salesforce record ids: 15 case-sensitive characters, and the three more that make them safe for caseless systems.

An id is the object's three-character prefix, two for the instance, one zero, and nine base-62 digits of a running
number. The checksum encodes, for each group of five characters, which of them are upper case.
"""

from __future__ import annotations

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "Tq"
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_ALPHABET = frozenset(BASE62)
_DIGIT = {char: value for value, char in enumerate(BASE62)}
# A group of three characters is one lookup: formatting 50,000 ids a second needs no inner loop over digits.
_TRIPLES = [a + b + c for a in BASE62 for b in BASE62 for c in BASE62]
_CUBE = 62**3


def checksum(fifteen: str) -> str:
    """The three characters that turn a 15-character id into its 18-character form."""
    out = ""
    for start in (0, 5, 10):
        bits = 0
        for offset in range(5):
            if fifteen[start + offset] in _UPPER:
                bits |= 1 << offset
        out += CHECKSUM[bits]
    return out


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record (from 1) of the object with this key prefix."""
    high, low = divmod(number, _CUBE)
    top, middle = divmod(high, _CUBE)
    fifteen = f"{prefix}{INSTANCE}0{_TRIPLES[top]}{_TRIPLES[middle]}{_TRIPLES[low]}"
    return fifteen + checksum(fifteen)


def number_of(record_id: str) -> int:
    """The running number inside an id made by `make_id`."""
    number = 0
    for char in record_id[6:15]:
        number = number * 62 + _DIGIT[char]
    return number


def normal_id(value: str) -> str | None:
    """The 18-character form of a 15- or 18-character id; None when `value` is no well-formed id.

    The 18-character form survives a change of case: the checksum tells which letters were upper case, so a caseless
    copy is restored. A checksum that does not fit is not an id.
    """
    if len(value) == 15 and _ALPHABET.issuperset(value):
        return value + checksum(value)
    if len(value) != 18 or not _ALPHABET.issuperset(value):
        return None
    fifteen, check = value[:15], value[15:].upper()
    if checksum(fifteen) == check:
        return fifteen + check
    restored = ""
    for group, char in enumerate(check):
        bits = CHECKSUM.find(char)
        if bits < 0:
            return None
        for offset in range(5):
            letter = fifteen[group * 5 + offset]
            restored += letter.upper() if bits >> offset & 1 else letter.lower()
    return restored + check if checksum(restored) == check else None
