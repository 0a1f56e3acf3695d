"""``trainer.max_time``: how long a call may train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from decaystudy.errors import UserError

_CLOCK = re.compile(r"(\d+):(\d+):(\d+):(\d+)")


def seconds_of(limit: Any) -> float | None:
    """Seconds of a time limit as Lightning has it, ``days:hours:minutes:seconds`` or ``{hours: 1}``; None for none.

    Raises:
        UserError: it is something else, or not above 0.
    """
    if limit is None:
        return None
    seconds = None
    if isinstance(limit, str) and (match := _CLOCK.fullmatch(limit.strip())):
        days, hours, minutes, rest = map(int, match.groups())
        seconds = ((days * 24.0 + hours) * 60 + minutes) * 60 + rest
    elif isinstance(limit, Mapping):
        try:
            seconds = timedelta(**limit).total_seconds()
        except (TypeError, OverflowError):
            seconds = None
    if seconds is None or not seconds > 0:
        raise UserError(
            f"trainer.max_time is {limit!r}: write it as days:hours:minutes:seconds, such as 00:01:30:00 for an hour "
            "and a half"
        )
    return seconds
