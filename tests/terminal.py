"""Commands on a terminal of their own, and what then stands on it."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Screen:
    """Everything that was ever shown, with what was redrawn as it was last."""

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    wrapped: list[str] = field(default_factory=list)
    """Lines that were longer than the terminal is wide."""

    def feed(self, text: str) -> "Screen":
        row, column = 0, 0
        for code, what, character in re.findall(r"\x1b\[(\??[\d;]*)([A-Za-z])|(.)", text, re.DOTALL):
            if character == "\r":
                column = 0
            elif character == "\n":
                row += 1
            elif character:
                if column >= self.columns:
                    self.wrapped.append(self.lines[row])
                    row, column = row + 1, 0
                self._grow(row)
                self.lines[row] = self.lines[row].ljust(column)[:column] + character + self.lines[row][column + 1 :]
                column += 1
            elif what == "A":
                row = max(0, row - int(code or 1))
            elif what == "K":
                self.lines[row] = "" if code == "2" else self.lines[row][:column]
            self._grow(row)
        return self

    def _grow(self, row: int) -> None:
        self.lines += [""] * (row + 1 - len(self.lines))

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


@dataclass
class Ended:
    """A command that has ended on its terminal."""

    raw: str
    code: int
    screen: Screen
    changed: bool
    """Whether the terminal's settings are others than before."""


def on_terminal(
    words: list[str],
    cwd: Path,
    *,
    columns: int = 80,
    term: str = "xterm-256color",
    when: Callable[[str], bool] = lambda said: False,
    then: bytes | int = b"",
    python: list[str] | None = None,
) -> Ended:
    """Run ``decaystudy`` on a terminal, until it ends.

    Args:
        when: looks at what was said so far; once it is true, ``then`` is typed, or sent if it is a signal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    before: list[Any] = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in range(3):
            os.dup2(slave, descriptor)
        os.chdir(cwd)
        removed = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        environment = {name: value for name, value in os.environ.items() if name not in removed}
        environment |= {"TERM": term, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [*(python or [sys.executable, "-m", "decaystudy"]), *words]
        os.execvpe(command[0], command, environment)
    said, done, deadline = b"", False, time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.05)[0]:
                said += os.read(master, 65536)
            elif os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            if not done and when(said.decode(errors="replace")):
                done = True
                if isinstance(then, int):
                    os.kill(pid, then)
                else:
                    os.write(master, then)
        changed = termios.tcgetattr(slave) != before
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(master)
        os.close(slave)
    raw = said.decode(errors="replace")
    return Ended(raw, os.waitstatus_to_exitcode(status), Screen(columns).feed(raw), changed)
