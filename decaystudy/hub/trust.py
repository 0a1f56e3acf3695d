"""Whether code that a model in Hugging Face form names, but doesn't come with this package, may be run.

A config.json can name a decay by its import path. Importing it runs whatever module of that name is found, so it is
done only where the caller has said ``trust_remote_code=True``, as for all code of models that transformers loads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from decaystudy.decay import DECAYS
from decaystudy.errors import UserError

_TRUSTED = ContextVar("_TRUSTED", default=False)


@contextlib.contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """Allow code from elsewhere while the block runs, if ``trusted``, and forbid it if not."""
    token = _TRUSTED.set(trusted)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def needs_trust(decay: Any) -> bool:
    """Whether a decay is named by an import path, and so must not be looked up without trust."""
    return isinstance(decay, str) and decay not in DECAYS and "." in decay


def refuse_untrusted(decay: Any) -> None:
    """Refuse a decay from elsewhere unless it is trusted.

    Raises:
        UserError: it is not.
    """
    if needs_trust(decay) and not _TRUSTED.get():
        raise UserError(
            f"config.json names the decay {decay!r}, which is no code of this package and is not imported unasked: if "
            "you trust it, give --trust-remote-code, or trust_remote_code=True in Python"
        )
