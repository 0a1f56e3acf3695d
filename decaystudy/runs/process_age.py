"""How long this process has lived: what a run takes of a machine, imports and start-up included."""

from __future__ import annotations

import os
import time
from pathlib import Path

STARTED = 19
"""Field of /proc/self/stat after the command's name: ticks since the machine's start."""


def process_age() -> float | None:
    """Seconds since this process began; None where the system doesn't say (it is asked as Linux has it)."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):
        return None
