"""Who may begin a run, where several hosts share a file system.

On one host the kernel lock of the run's folder decides. Its reach may end at the host, so before a run is begun its
lease is taken: RUN/lease-1.json, and for each later attempt the next number. A file is made exclusively, so of two
hosts that see the same lease run out, one gets the next. No lease is ever removed while the run may go on.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import time
from pathlib import Path

from decaystudy.io import read_mapping
from decaystudy.runs.folder import STALE_SECONDS, RunFolder

_NAME = re.compile(r"lease-(\d+)\.json")


def take_lease(folder: RunFolder) -> bool:
    """Whether this process may begin the run; False where another host has begun it and its heart still beats."""
    number, path = latest(folder)
    if path is not None:
        held = read_mapping(path) or {}
        if held.get("host", socket.gethostname()) != socket.gethostname() and not stale(folder, held):
            return False
    try:
        descriptor = os.open(folder.path / f"lease-{number + 1}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}, file)
    return True


def latest(folder: RunFolder) -> tuple[int, Path | None]:
    """The highest lease and its number; 0 and None where there is none."""
    found = [(int(m[1]), path) for path in folder.path.glob("lease-*.json") if (m := _NAME.fullmatch(path.name))]
    return max(found) if found else (0, None)


def stale(folder: RunFolder, held: dict[str, object]) -> bool:
    """Whether neither the lease nor the run's heartbeat is recent."""
    times = [held.get("time"), folder.read_status().get("heartbeat")]
    ages = [abs(time.time() - float(t)) for t in times if isinstance(t, (int, float))]  # a clock may have jumped
    return min(ages, default=math.inf) > STALE_SECONDS
