"""Keeps the libraries that lm-eval calls from printing."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator

from decaystudy.evaluation.tasks.catalog import OWN


@contextlib.contextmanager
def quiet(name: str = "") -> Iterator[None]:
    """Without the prints of the libraries that are called; their progress bars only where somebody looks."""
    for library in ("lm_eval", "transformers", "datasets"):
        logging.getLogger(library).setLevel(logging.ERROR)
    held = os.environ.get("DISABLE_MULTIPROC")
    if name in OWN:
        os.environ["DISABLE_MULTIPROC"] = "1"  # few resamples: lm-eval needs no processes for them
    bars = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with contextlib.redirect_stdout(io.StringIO()), bars:
            yield
    finally:
        if held is None:
            os.environ.pop("DISABLE_MULTIPROC", None)
        else:
            os.environ["DISABLE_MULTIPROC"] = held
