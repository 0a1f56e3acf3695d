"""Settings that are numbers: of the right kind, finite and within a stated range, or refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from decaystudy.errors import UserError, unknown

MOST_STEPS = 10**9
LARGEST_SEED = 2**63 - 1


def check_whole(name: str, value: Any, low: int, high: int, *, advice: str = "") -> None:
    """Refuse what is no whole number from ``low`` to ``high``.

    Args:
        name: what the message calls it, such as ``recipe.validate_every``.
        advice: the end of the message, such as "or leave it out".
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refusal(name, value, f"a whole number of at least {low:,} and at most {high:,}", advice)


def check_number(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    without_low: bool = False,
    without_high: bool = False,
    advice: str = "",
) -> None:
    """Refuse what is no finite number from ``low`` to ``high``.

    Args:
        name: what the message calls it, such as ``recipe.learning_rate``.
        without_low: ``low`` itself is refused as well.
        without_high: ``high`` itself is refused as well.
        advice: the end of the message.
    """
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(_float(value))
    if known and low <= value <= high and not (without_low and value == low) and not (without_high and value == high):
        return
    lower = f"above {low:g}" if without_low else f"of at least {low:g}"
    upper = f"below {high:g}" if without_high else f"at most {high:g}"
    within = f"between {low:g} and {high:g}, both excluded" if without_low and without_high else f"{lower} and {upper}"
    raise refusal(name, value, f"a number {within}", advice)


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise refusal(name, value, "true or false")


def check_word(name: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse what is none of ``choices``; the message has the nearest one."""
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise unknown(name, value[:60] if isinstance(value, str) else shown(value), words)


def check_text(name: str, value: Any) -> None:
    """Refuse what is no text, or holds what no path and no file can hold: NUL and lone surrogates."""
    if not isinstance(value, str):
        raise refusal(name, value, "text")
    if "\0" in value:
        raise UserError(f"{name} holds a NUL character: take it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{name} holds half of a surrogate pair: write the character itself") from None


def check_batch_size(size: int | str) -> None:
    """Refuse what is neither a number of questions per batch nor ``auto``."""
    if str(size) != "auto" and (not str(size).isdecimal() or len(str(size)) > 9 or int(size) < 1):
        raise UserError(f"--batch-size is {shown(size)}: give a whole number of at least 1, or auto")


def refusal(name: str, value: Any, wanted: str, advice: str = "") -> UserError:
    """The error for a setting of another kind or out of its range."""
    return UserError(f"{name} is {shown(value)}: give {wanted}{', ' if advice else ''}{advice}")


def shown(value: Any) -> str:
    """A value in a message: as the user writes it, and never longer than a line."""
    try:
        text = _spelled(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return "out of any range"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _spelled(value: Any) -> str:
    """A value as YAML spells it in a line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_spelled(item)}' for name, item in value.items())}}}"
    return repr(value)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
