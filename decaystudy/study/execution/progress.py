"""What run-study shows while it works: a line an event, and a live one where somebody looks. Needs no torch."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from decaystudy.formatting import duration
from decaystudy.study.execution.local import Job
from decaystudy.study.execution.scheduler import Event

LIVE_SECONDS = 0.5
QUIET_SECONDS = 60.0


class Narrator:
    """Prints events, and between them how far the runs are: rewritten in place on a terminal, a line a minute else."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.ended = 0
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._shown = ""
        self._at = time.monotonic()
        self._started: dict[str, float] = {}

    def __call__(self, event: Event, jobs: list[Job]) -> None:
        if event.kind == "tick":
            self._tick(jobs)
            return
        assert event.run is not None
        name = event.run.name
        if event.kind == "started":
            self._started[name] = time.monotonic()
            self._line(f"  ▸ {name} {'goes on from its last checkpoint' if event.resumed else 'started'}")
        elif event.kind == "waiting":
            status = event.folder.read_status() if event.folder else {}
            who = f"process {status['pid']} on {status['host']}" if "pid" in status else "another process"
            self._line(f"  ▸ {name} is being trained by {who}; waiting for it")
        else:
            self.ended += 1
            self._line(f"  {self._ending(event)}  ({self.ended} of {self.total})")

    def say(self, text: str) -> None:
        """Print a line."""
        self._line(text)

    def close(self) -> None:
        """Clear the live line."""
        self._show("")

    def _ending(self, event: Event) -> str:
        assert event.run is not None
        name = event.run.name
        took = f" in {duration(time.monotonic() - self._started[name])}" if name in self._started else ""
        if event.state == "finished" and event.folder is not None:
            result = event.folder.read_result()
            return f"✔ {name} finished{took}: validation loss {result.val_loss if result else float('nan'):.4f}"
        status = event.folder.read_status() if event.folder else {}
        message = event.message or status.get("message", "")
        message = f": {message}" if message else ""
        log = f" (log: {event.folder.log})" if event.folder else ""
        return f"✘ {name} {event.state}{message}{log}"

    def _tick(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        if now - self._at < (LIVE_SECONDS if self.live else QUIET_SECONDS):
            return
        self._at = now
        line = "   ".join(filter(None, (self._doing(job) for job in jobs)))
        if self.live:
            self._show(line)
        elif line:
            self._line(f"    {line}")

    def _doing(self, job: Job) -> str:
        status = job.folder.read_status()
        if status.get("pid") != job.pid or "step" not in status:
            return f"{job.run.name}: starting"
        text = f"{job.run.name}: step {status['step']}/{status['max_steps']}"
        if "loss" in status:
            text += f" loss {status['loss']:.3f}"
        if "seconds_left" in status:
            text += f", {duration(status['seconds_left'])} left"
        return text

    def _line(self, text: str) -> None:
        self._show("")
        print(text, file=self.stream, flush=True)

    def _show(self, text: str) -> None:
        if not self.live or text == self._shown:
            return
        width = shutil.get_terminal_size().columns - 1
        self.stream.write("\r\x1b[2K" + text[:width])
        self.stream.flush()
        self._shown = text
