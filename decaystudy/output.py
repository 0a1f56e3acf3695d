"""Standard output and error that take every text: what a terminal cannot show becomes words, and a reader that has
gone, or a full disk, ends no command."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TextIO, cast

WORDS = {
    "λ": "lambda", "Δ": "Delta", "β": "beta", "γ": "gamma", "θ": "theta", "σ": "sigma", "χ": "chi", "Σ": "sum",
    "α": "alpha", "Λ": "Lambda", "ε": "epsilon", "·": "*", "×": "x", "−": "-", "–": "-", "—": "-", "‑": "-", "─": "-",
    "±": "+/-", "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "←": "<-", "½": "1/2", "√": "sqrt", "∞": "infinity",
    "…": "...", "✔": "+", "✘": "x", "▸": ">", "⊙": "*", "²": "^2", "³": "^3", "¹": "^1", "ᵀ": "^T", "⁻": "^-",
    "“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
"""What stands for a symbol where it cannot be shown; "?" for any other."""
AS_WORDS = "decaystudy.words"
AS_ESCAPES = "decaystudy.escapes"


def _words(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(WORDS.get(character, "?") for character in error.object[error.start : error.end]), error.end


def _escapes(error: UnicodeError) -> tuple[str, int]:
    """As JSON spells them, in which any character outside of ASCII is part of a text."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)), error.end


codecs.register_error(AS_WORDS, _words)
codecs.register_error(AS_ESCAPES, _escapes)


def show_log(level: int = logging.INFO) -> None:
    """Print what this package logs to standard error, and of other libraries their warnings alone."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("decaystudy").setLevel(level)


class Output:
    """A text stream that never fails: all that is written after the first failure is lost.

    Args:
        stream: where the text goes; None where the process has no such stream.
    """

    before_writing: ClassVar[Callable[[], None] | None] = None
    """Takes away what is redrawn in place (``live``), so that it and other output don't mix."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = io.StringIO() if stream is None else stream
        self.failure: Exception | None = None

    def write(self, text: str) -> int:
        if Output.before_writing is not None:
            Output.before_writing()
        if self.failure is None:
            try:
                self.stream.write(showable(text, self.stream, AS_WORDS))
            except (OSError, ValueError) as failure:
                self._give_up(failure)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self.failure is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as failure:
                self._give_up(failure)

    def _give_up(self, failure: Exception) -> None:
        self.failure = failure
        with contextlib.suppress(OSError, ValueError):
            # What it still holds is written when the process ends, and must not fail once more.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def unfailing_output() -> Iterator[Output]:
    """Standard output, while neither it nor standard error can fail."""
    before = sys.stdout, sys.stderr
    output, errors = Output(before[0]), Output(before[1])
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def reader_gone() -> bool:
    """Whether nobody will read what is printed from now on."""
    return getattr(sys.stdout, "failure", None) is not None


def lost(output: Output) -> str:
    """Why output did not arrive where it should; empty if it did, or if its reader has closed a pipe, as head does."""
    failure = output.failure
    if not isinstance(failure, OSError) or failure.errno == errno.EPIPE:
        return ""
    return failure.strerror or str(failure)


def print_json(text: str) -> None:
    """Print JSON; a character that cannot be shown is spelled as JSON spells it, so that the content is the same."""
    print(showable(text, sys.stdout, AS_ESCAPES))


def shows(text: str) -> bool:
    """Whether standard output can show every character of the text."""
    return showable(text, sys.stdout, AS_WORDS) == text


def showable(text: str, stream: TextIO, errors: str) -> str:
    """The text with what the stream cannot take replaced, as the error handler ``errors`` does."""
    encoding = getattr(stream, "encoding", None)
    return text.encode(encoding, errors).decode(encoding, "replace") if encoding else text


def use_utf8() -> None:
    """Start this process anew in Python's UTF-8 mode if it reads names of files as ASCII (the locale C, without
    Python's own remedy): no library could open a file of another name then. The terminal's encoding stays."""
    if codecs.lookup(sys.getfilesystemencoding()).name != "ascii" or sys.flags.utf8_mode:
        return
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "ascii")
    os.environ["PYTHONUTF8"] = "1"  # for the processes that are started from here, too
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
