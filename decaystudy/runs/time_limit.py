"""``trainer.max_time``: how long a call may train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from decaystudy.checks import check_number, refusal

LONGEST = timedelta(days=3650)
_CLOCK = re.compile(r"\s*(\d{1,8}):(\d{1,8}):(\d{1,8}):(\d{1,8})\s*")
_PARTS = ("weeks", "days", "hours", "minutes", "seconds")
_FORMS = (
    "days:hours:minutes:seconds, such as 00:01:30:00, or them by name, such as {hours: 1, minutes: 30}, above zero "
    "and at most ten years"
)


def check_time_limit(name: str, limit: Any) -> None:
    """Refuse what is no time above zero and up to ten years.

    Args:
        name: what the message calls it.
    """
    parts = limit
    if isinstance(limit, str) and (match := _CLOCK.fullmatch(limit)):
        parts = dict(zip(_PARTS[1:], map(int, match.groups()), strict=True))
    if not isinstance(parts, Mapping) or not set(parts) <= set(_PARTS):
        raise refusal(name, limit, _FORMS)
    for part, number in parts.items():
        check_number(f"{name}.{part}", number, 0, 1e8)  # no sum of these overflows
    if not timedelta(0) < timedelta(**parts) <= LONGEST:
        raise refusal(name, limit, _FORMS)


def seconds_of(limit: Any) -> float | None:
    """Seconds of a time limit as Lightning has it, ``days:hours:minutes:seconds`` or ``{hours: 1}``; None for none.

    Raises:
        UserError: it is something else, or out of range.
    """
    if limit is None:
        return None
    check_time_limit("trainer.max_time", limit)
    if isinstance(limit, str):
        days, hours, minutes, seconds = map(int, limit.strip().split(":"))
        return ((days * 24.0 + hours) * 60 + minutes) * 60 + seconds
    return timedelta(**limit).total_seconds()
