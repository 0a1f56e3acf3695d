"""What runs in the process of one run of a study: training, tied to the life of whoever started it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import exit_code
from decaystudy.runs.folder import RunFolder


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel end this process when its parent ends, so that a killed study leaves no orphans behind."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() == 1 or (parent is not None and os.getppid() != parent):
        os._exit(1)  # the parent died before the kernel knew of the wish


def train(folder: str, environment: dict[str, str]) -> None:
    """Body of a process forked from one that has imported torch: trains the run in ``folder``, output to its log."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the study's to handle
    os.environ.update(environment)
    redirect(f"{folder}/log.txt")
    try:
        code = fit(folder, {})
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fit(folder: str, layout: Mapping[str, Any]) -> int:
    """Train the run in ``folder``, or resume it; returns the exit code.

    Args:
        layout: changes to its settings, nested: {"strategy": "ddp", "trainer": {"devices": 2}}.
    """
    from decaystudy.training.process import read_run
    from decaystudy.training.process import train as train_run

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return exit_code(lambda: train_run(read_run(RunFolder(folder), layout), Path(folder)))


class Log(io.TextIOWrapper):
    """Text straight to a file descriptor; what cannot be written (a full disk) is lost, and the run goes on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False), "utf-8", "replace", write_through=True)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def redirect(log: str) -> None:
    """Append stdout and stderr to the log; a log that cannot be written loses the output, never the run."""
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout, sys.stderr = Log(1), Log(2)


def main() -> int:
    """``worker RUN LAYOUT``: trains in a fresh interpreter; Lightning calls it again for each further process."""
    die_with_parent()
    folder, layout = sys.argv[1:]
    redirect(f"{folder}/log.txt")
    return fit(folder, json.loads(layout))


if __name__ == "__main__":
    sys.exit(main())
