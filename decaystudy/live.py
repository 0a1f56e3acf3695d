"""A few lines at the foot of the terminal that are redrawn in place, above which other output goes on.

They are drawn by the thread that calls ``refresh``, and erased before anything else is printed. The state of the
terminal (cursor, echo, screen) is never changed, so that a process that is killed leaves it as it was.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from decaystudy.output import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 0.25


def can_redraw(stream: TextIO | None = None) -> bool:
    """Whether lines can be redrawn where this stream goes (standard error unless given): on a terminal that is not
    dumb, and of a command whose other output is known."""
    stream = stream or sys.stderr
    dumb = os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")
    return isinstance(stream, Output) and not dumb and stream.failure is None and stream.isatty()


class Display:
    """Lines that are redrawn in place.

    Args:
        render: gives what stands there, for a width.
        stream: a terminal; standard error unless given.
        seconds: between two drawings at least.
    """

    def __init__(
        self, render: Callable[[int], RenderableType], *, stream: TextIO | None = None, seconds: float = REFRESH_SECONDS
    ) -> None:
        self.render = render
        self.stream = stream or sys.stderr
        self.seconds = seconds
        self.notice = ""
        """Stands below the lines. Set by handlers of signals, which must not print."""
        self._pid = os.getpid()
        self._drawn_at = 0.0
        self._drawn_once = False
        self._live: Any = None
        self._drawing = False

    @property
    def shown(self) -> bool:
        """Whether the lines stand on the terminal now."""
        return self._live is not None

    def refresh(self, *, now: bool = False) -> None:
        """Draw the lines anew, if it is time."""
        if not now and time.monotonic() - self._drawn_at < self.seconds:
            return
        self._drawing = True
        try:
            if self._live is None:
                if Output.before_writing is not None:
                    Output.before_writing()
                self._live = _live(self._rendered, self.stream)
                self._live.start()
                Output.before_writing = self.erase
            self._live.refresh()
            self._drawn_once = True
        finally:
            self._drawing = False
            self._drawn_at = time.monotonic()

    def erase(self) -> None:
        """Take the lines away until the next drawing."""
        if self._live is None or self._drawing or os.getpid() != self._pid:
            return
        self._live.transient = True
        self._stop()
        self._drawn_at = 0.0

    def close(self) -> None:
        """Leave the lines as they are last, and go on below them."""
        if not self._drawn_once or os.getpid() != self._pid:
            return
        self.notice = ""
        self.refresh(now=True)
        self._stop()

    def _stop(self) -> None:
        self._drawing = True
        try:
            self._live.stop()
        finally:
            self._live = None
            self._drawing = False
            Output.before_writing = None

    def _rendered(self) -> RenderableType:
        from rich.console import Group

        lines = self.render(self._live.console.width if self._live is not None else 80)
        return Group(lines, self.notice) if self.notice else lines


def packed(facts: Sequence[str], width: int, gap: int = 3) -> str:
    """Facts beside each other in lines of at most ``width`` columns."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + gap + len(fact) <= width:
            lines[-1] += " " * gap + fact
        else:
            lines.append(fact)
    return "\n".join(lines)


def _live(render: Callable[[], RenderableType], stream: TextIO) -> Any:
    from rich.console import Console
    from rich.live import Live

    class Steady(Console):
        """Never hides the cursor."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    console = Steady(file=stream, highlight=False, markup=False, soft_wrap=False)
    return Live(
        console=console, get_renderable=render, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )


def opening(line: str) -> None:
    """Show a line, until something else is printed."""
    errors, pid = sys.stderr, os.getpid()
    if not can_redraw(errors):
        return

    def erase() -> None:
        if os.getpid() == pid:
            Output.before_writing = None
            errors.write("\r\x1b[2K")

    errors.write(line)
    errors.flush()
    Output.before_writing = erase
