"""Randomness by name: every draw is a pure function of the seed and a business key.

There is no generator object that remembers anything. What happens to deal Q2635-02 on a day depends on the seed, the
deal and the day, never on how many draws were made before, so a firm that lived ten days at once and one that lived
five and five agree, and so do two firms of which only one was visited by an integration in between.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
Key = str | int | float | object


def digest(seed: int, *keys: Key, size: int = 8) -> bytes:
    """`size` (1..64) uniformly distributed bytes for the seed and keys; keys are joined by their `str`."""
    return blake2b("|".join([str(seed), *map(str, keys)]).encode(), digest_size=size).digest()


def unit(seed: int, *keys: Key) -> float:
    """A number in [0, 1)."""
    return int.from_bytes(digest(seed, *keys, size=6), "big") / (1 << 48)


def whole(seed: int, low: int, high: int, *keys: Key) -> int:
    """An integer in [low, high], both ends included."""
    return low + int(unit(seed, *keys) * (high - low + 1))


def chance(seed: int, probability: float, *keys: Key) -> bool:
    """True with the given probability."""
    return unit(seed, *keys) < probability


def pick(seed: int, options: Sequence[T], *keys: Key) -> T:
    """One of `options`, each equally likely; IndexError when there are none."""
    return options[int(unit(seed, *keys) * len(options))]


def weighted(seed: int, options: Sequence[tuple[T, float]], *keys: Key) -> T:
    """One of `options` by weight; weights need not sum to one."""
    at = unit(seed, *keys) * sum(weight for _, weight in options)
    for option, weight in options:
        at -= weight
        if at < 0:
            return option
    return options[-1][0]


def generator(seed: int, *keys: Key) -> random.Random:
    """A `random.Random` of its own for the keys, for the rare place that needs a distribution."""
    return random.Random(int.from_bytes(digest(seed, *keys, size=16), "big"))


def count(seed: int, mean: float, *keys: Key) -> int:
    """A whole number around `mean` whose average over many keys is `mean` and whose spread is at most one."""
    base = int(mean)
    return base + (1 if unit(seed, *keys) < mean - base else 0)


@lru_cache(maxsize=4096)
def shuffled(seed: int, size: int, topic: str) -> tuple[int, ...]:
    """The numbers 0..size-1 in an order that belongs to the seed and topic."""
    order = list(range(size))
    generator(seed, topic).shuffle(order)
    return tuple(order)
