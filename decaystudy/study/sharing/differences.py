"""Where two results differ: numbers beyond rounding, verdicts, names and states. How a sentence is worded is no
difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RELATIVE = 1e-9
"""By which equal numbers may differ: of other processors and libraries, which add in other orders."""
ABSOLUTE = 1e-12
"""The same of numbers that are zero but for rounding."""
WORDS = {"schema", "title", "question", "answer", "notes", "text", "why", "about", "message", "taken_from"}
"""Fields that a newer version may word otherwise: sentences, and the number of the schema."""
_NAMES = ("id", "name", "cell", "scale", "layer", "task", "seed")
_VERDICTS = ("verdict", "status")


@dataclass(frozen=True)
class Difference:
    """One field in which results differ."""

    field: str
    stored: Any
    found: Any

    @property
    def of_verdict(self) -> bool:
        """Whether it is a verdict that differs."""
        return self.field.rpartition(".")[2] in _VERDICTS

    def __str__(self) -> str:
        return f"{self.field} is {_text(self.stored)} in the file and {_text(self.found)} judged again"


def differences(stored: Any, found: Any, *, same_schema: bool = True, where: str = "") -> Iterator[Difference]:
    """The fields in which stored results differ from those that were made again, both as plain data.

    Args:
        same_schema: whether both have the same fields, but for new ones that what was stored lacks.
    """
    if isinstance(stored, Mapping) and isinstance(found, Mapping):
        for key, value in stored.items():
            place = f"{where}.{key}" if where else str(key)
            if key in found:
                if key not in WORDS:
                    yield from differences(value, found[key], same_schema=same_schema, where=place)
            elif same_schema and value is not None:
                yield Difference(place, value, None)
    elif isinstance(stored, list) and isinstance(found, list):
        if len(stored) != len(found):
            yield Difference(f"the length of {where}", len(stored), len(found))
            return
        for i, (one, other) in enumerate(zip(stored, found, strict=True)):
            yield from differences(one, other, same_schema=same_schema, where=f"{where}[{_label(one, i)}]")
    elif not _equal(stored, found):
        yield Difference(where, stored, found)


def numbers(results: Any) -> int:
    """How many numbers plain data holds."""
    if isinstance(results, Mapping):
        return sum(map(numbers, results.values()))
    if isinstance(results, Sequence) and not isinstance(results, str):
        return sum(map(numbers, results))
    return isinstance(results, (int, float)) and not isinstance(results, bool)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        both = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
        close = both and math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        return close or (both and math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


def _label(item: Any, number: int) -> str:
    """What tells an item of a list from the others."""
    if not isinstance(item, Mapping):
        return str(number)
    if "a" in item and "b" in item:
        return f"{item['a']} − {item['b']}" + (f", {item['task']}" if "task" in item else "")
    found = [str(item[name]) for name in _NAMES if item.get(name) is not None]
    return ", ".join(found[:1]) or str(number)


def _text(value: Any) -> str:
    text = f"{value:.12g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
