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


def no_room(error: OSError, folder: Path) -> str:
    """Why a run in ``folder`` could not write, and what to do, as the beginning of a sentence."""
    if error.errno == errno.EFBIG:
        return (
            f"a file of {folder} would be larger than is allowed: raise the limit (ulimit -f), or move the folder to a "
            "file system for larger files"
        )
    if error.errno == errno.EDQUOT:
        return f"the quota on the disk of {full_place(folder)} is used up: remove files there or have it raised"
    return f"no space left on the disk of {full_place(folder)}: make room there"


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
            there = next(path for path in (place, *place.parents) if path.exists())
            held = os.statvfs(there)
        except (OSError, StopIteration):
            continue
        if held.f_bavail * held.f_frsize < FULL:
            return there
    return folder  # others have made room, or it is a share of the disk that is used up
