"""Where caches live, and how files get there: whole or not at all, one builder at a time."""

import errno
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from decaystudy.errors import UserError


def cache_folder(*names: str) -> Path:
    """``$DECAYSTUDY_CACHE`` (else the user's cache folder) with ``names`` below it; not created."""
    chosen = os.environ.get("DECAYSTUDY_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute().joinpath(*names)
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.joinpath("decaystudy", *names)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Create ``folder`` and turn a full or unwritable disk under it into a UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk that holds the cache {folder} is full: free some space or point DECAYSTUDY_CACHE at another "
                "disk, then run the same command again (what is already tokenized is kept)"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"the cache folder {folder} cannot be written ({error.strerror}): point DECAYSTUDY_CACHE elsewhere"
            ) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    with writing_to(path.parent):
        try:
            with temporary.open("wb") as file:
                yield file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, atomically."""
    with replacing(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass"))


def read_json(path: Path) -> Any:
    """The JSON in ``path``, or None if the file is missing or not whole."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


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


def digest(content: Any) -> str:
    """32 hexadecimal digits of the blake2b hash of bytes, or of the canonical JSON of anything else."""
    if not isinstance(content, bytes | bytearray | memoryview):
        content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def slug(text: str) -> str:
    """``text`` as a readable piece of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "x"
