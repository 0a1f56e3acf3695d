"""Random orders and numbers that no version of any library changes."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def permutation(count: int, *key: int) -> np.ndarray:
    """A permutation of range(count) (int64) that depends on the integers of ``key`` alone.

    Sorts SplitMix64 hashes of the positions (Steele, Lea and Flood, OOPSLA 2014), which no version of numpy changes.
    """
    return np.argsort(_hashes(0, count, _state(*key)), kind="stable")


class Draws:
    """Random numbers that depend on the integers of ``key`` alone, from the same hashes: one draw after another."""

    BATCH = 256

    def __init__(self, *key: int):
        self._state = _state(*key)
        self._taken = 0
        self._ready: list[float] = []

    def uniform(self) -> float:
        """A number from [0, 1)."""
        if not self._ready:
            hashes = _hashes(self._taken, self.BATCH, self._state)
            self._taken += self.BATCH
            self._ready = ((hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53)[::-1].tolist()
        return self._ready.pop()

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high − 1."""
        return low + int(self.uniform() * (high - low))

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.integer(0, len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):  # Fisher and Yates
            other = self.integer(0, last + 1)
            order[last], order[other] = order[other], order[last]
        return order


def _state(*key: int) -> int:
    state = 0
    for word in key:
        state = int(_splitmix(np.array([(state + word) % 2**64], dtype=np.uint64))[0])
    return state


def _hashes(first: int, count: int, state: int) -> np.ndarray:
    return _splitmix(np.arange(first, first + count, dtype=np.uint64) + np.uint64(state))


def _splitmix(x: np.ndarray) -> np.ndarray:
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
