"""The one error that users see, and the hint at what they may have meant."""

import contextlib
import difflib
import errno
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

STOPPED = 75
"""Exit code of a run that was stopped with a checkpoint and wants to be run again (EX_TEMPFAIL)."""
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that end a command in order: Ctrl-C, the end of a job or a session, and SLURM's notice of a preemption."""


class UserError(Exception):
    """Something the user can mend, said in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """


class Failure(Exception):
    """Something that failed without a mistake in the call, said in one sentence: what happened and what to do.

    The command line prints the sentence without a traceback and exits with code 1.
    """


class Terminated(BaseException):
    """A signal ended the command. Not an Exception, as KeyboardInterrupt is none."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"ended by {signal_name(number)}")


OF_THE_DISK = {
    **dict.fromkeys((errno.ELOOP, errno.EROFS, errno.ENXIO), 2),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE), 1),
}
"""Errors that name a file and no fault of this package, with their exit codes: a mistake in the call, or a failure."""
LONGEST_WORD = 100
"""Characters of an unknown name that its message shows."""
LONGEST_PIECE = 300
"""Characters without a space that a message shows in full."""


def nearest(word: object, choices: Iterable[object]) -> str | None:
    """The choice that looks most like ``word``, or None if none is close."""
    names = [str(choice) for choice in choices]
    lowered = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(str(word).lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[close[0]] if close else None


def unknown(kind: str, word: object, choices: Iterable[object]) -> UserError:
    """An error for a name that is not among ``choices``: the nearest one if there is one, and all of them."""
    names = [str(choice) for choice in choices]
    close = nearest(word, names)
    hint = f"did you mean {close!r}? " if close else ""
    said = str(word) if len(str(word)) <= LONGEST_WORD else f"{str(word)[:LONGEST_WORD]}..."
    return UserError(f"unknown {kind} {said!r}: {hint}choose from {', '.join(names)}")


def within_bounds(message: object) -> str:
    """A message in which no value fills the screen."""
    return re.sub(rf"\S{{{LONGEST_PIECE},}}", lambda piece: f"{piece[0][:LONGEST_WORD]}...", str(message))


def kind_of(thing: object) -> str:
    """What a value is, in words."""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a mapping",
             list: "a list", tuple: "a list", type(None): "nothing", type: "a class"}  # fmt: skip
    return kinds.get(type(thing), f"a {type(thing).__name__}")


def exit_code(action: Callable[[], int]) -> int:
    """What ``action`` returns; 2 with a sentence for a ``UserError``, 1 for a ``Failure``, and after a signal the code
    of ``signal_code``."""
    try:
        with signals_raised():
            return action()
    except UserError as error:
        print(f"decaystudy: {within_bounds(error)}", file=sys.stderr)
        return 2
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if error.filename is None:
            raise
        print(f"decaystudy: {misplaced(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in OF_THE_DISK and error.filename is not None:
            print(
                f"decaystudy: {error.filename}: {str(error.strerror).lower()}: mend that, or name another place",
                file=sys.stderr,
            )
            return OF_THE_DISK[error.errno]
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"decaystudy: {within_bounds(repr(error.filename))} is too long for the name of a file", file=sys.stderr)
        return 2
    except Failure as failure:
        print(f"decaystudy: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("decaystudy: interrupted; the same command resumes from here", file=sys.stderr)
        return 130
    except Terminated as end:
        print(f"decaystudy: {end}; the same command resumes from here", file=sys.stderr)
        return signal_code(end.number)


def misplaced(error: OSError) -> str:
    """What is wrong with a file that isn't what it should be, in a sentence."""
    path = error.filename if error.filename2 is None else error.filename2
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder where a file should be: move it away, and call the same command again"
    if isinstance(error, NotADirectoryError):
        return f"{path} lies below a file where a folder should be: move that file away, or name another place"
    return f"{path}: permission denied: allow it, or name another place"


@contextlib.contextmanager
def signals_raised() -> Iterator[None]:
    """Raise ``Terminated`` for signals that would otherwise kill the process, so that whatever it has begun is ended
    in order; Ctrl-C stays a KeyboardInterrupt."""
    before = {}
    hook = sys.unraisablehook
    if threading.current_thread() is threading.main_thread():
        sys.unraisablehook = lambda lost: None if raised_again(lost.exc_value) else hook(lost)
        for number in STOPPING_SIGNALS[1:]:
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, raise_terminated)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def raised_again(error: BaseException | None) -> bool:
    """Raise the signal of an error again in a moment, and say whether it was a signal's.

    Python lets no error out of a finalizer or a weak reference's callback, of which an import has many: a signal that
    comes there would be printed and forgotten.
    """
    if not isinstance(error, (Terminated, KeyboardInterrupt)):
        return False
    number = error.number if isinstance(error, Terminated) else signal.SIGINT
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    return True


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back the signals that end a command until a step is done that must not be cut in two."""
    heard: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING_SIGNALS:
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """A signal's handler, while a command runs."""
    raise Terminated(number)


def signal_code(number: int) -> int:
    """The exit code after a signal: 75 after SLURM's notice of a preemption, else 128 + its number."""
    return STOPPED if number == signal.SIGUSR1 else 128 + number


def signal_name(number: int) -> str:
    """A signal in words."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
