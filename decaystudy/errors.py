"""The one error that users see, and the hint at what they may have meant."""

import difflib
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """Something the user can mend, said in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    """


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
    return UserError(f"unknown {kind} {str(word)!r}: {hint}choose from {', '.join(names)}")


def exit_code(action: Callable[[], int]) -> int:
    """What ``action`` returns; 2 with a sentence for a ``UserError``, 130 when it was interrupted."""
    try:
        return action()
    except UserError as error:
        print(f"decaystudy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("decaystudy: interrupted; the same command resumes from here", file=sys.stderr)
        return 130
