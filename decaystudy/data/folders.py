"""The cache on disk: one builder at a time, and a sentence where its disk is full or cannot be written."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from decaystudy import io
from decaystudy.errors import UserError


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Create ``folder`` and turn a full or unwritable disk under it into a UserError."""
    made = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = True
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UserError(
                f"a file of the cache {folder} would be larger than is allowed: raise the limit (ulimit -f), or point "
                "DECAYSTUDY_CACHE at another file system"
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            held = f"the disk that holds the cache {folder}"
            full = f"{held} is full" if error.errno == errno.ENOSPC else f"the quota on {held} is used up"
            raise UserError(
                f"{full}: free some space or point DECAYSTUDY_CACHE at another disk, then run the same command again "
                "(what is already tokenized is kept)"
            ) from error
        if not made or error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"the cache folder {folder} cannot be written ({error.strerror}): point DECAYSTUDY_CACHE elsewhere"
            ) from error
        raise


@contextmanager
def cached_file(path: Path) -> Iterator[IO[bytes]]:
    """``io.replacing`` for a file of the cache."""
    with writing_to(path.parent), io.replacing(path) as file:
        yield file


def cache_json(path: Path, content: Any) -> None:
    """``io.write_json`` for a file of the cache."""
    with writing_to(path.parent):
        io.write_json(path, content)


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold ``path`` against other processes; yields False at once if ``wait`` is false and another holds it.

    The operating system lets go of the lock when its holder dies. Only efficiency rests on it: whatever is written
    under a lock is also written atomically, so a file system without locks costs time, never data.
    """
    from filelock import FileLock, Timeout

    with writing_to(path.parent):
        holder = FileLock(path, timeout=-1 if wait else 0)
        with suppress(Timeout):
            holder.acquire()
    try:
        yield holder.is_locked
    finally:
        holder.release()
