"""A disk that has no room left."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path

from decaystudy.io import cache_folder

SHARED_MEMORY = Path("/dev/shm")
"""In which processes that load batches, and the locks between them, have their memory."""
FULL = 2**20
"""A disk with fewer free bytes has no room."""


def is_full(error: BaseException) -> bool:
    """Whether the error says that a disk, or its user's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def let_go(error: BaseException) -> None:
    """Free what the frames of an error hold, in silence: a loader of batches whose start has failed complains of it."""
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = before


def full_place(folder: Path) -> Path:
    """The place whose disk is full: a run's folder, or one of the others that training writes to."""
    for place in (folder, cache_folder(), Path(tempfile.gettempdir()), SHARED_MEMORY):
        try:
            held = os.statvfs(place)
        except OSError:
            continue
        if held.f_bavail * held.f_frsize < FULL:
            return place
    return folder  # that of a share of the disk, or of a limit on files
