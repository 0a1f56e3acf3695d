"""Files that are written whole or not at all, JSON, and hashes of content.

Whatever is renamed into its place, or linked there, goes by way of this file, which has it on the disk first: a power
cut must not leave a name whose content is lost.
"""

from __future__ import annotations

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


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        move_into_place(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # of a write, which does not say where
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(draft: Path, path: Path) -> None:
    """Rename a file, a folder or a link to ``path``, its content synced before and its name after.

    A file there is replaced; a folder there must be empty.
    """
    sync(draft)
    os.replace(draft, path)
    sync_folder(path.parent)


def link_into_place(draft: Path, path: Path) -> None:
    """Give a file a second name, ``path``, its content synced before and its name after.

    Raises:
        FileExistsError: the name is taken.
        OSError: the file system knows no hard links.
    """
    sync(draft)
    os.link(draft, path)
    sync_folder(path.parent)


def sync(path: Path) -> None:
    """Have a file, or a folder and all that is below it, written to the disk; of a link there is nothing to write."""
    if path.is_symlink():
        return
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
        sync_folder(path)
    elif path.is_file():
        _sync(path)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where its file system can do so."""
    with suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically: readers never see half a file."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def json_text(content: Any) -> str:
    """``content`` as JSON for people and programs."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, atomically."""
    write_text(path, json_text(content) + "\n")


def check_file(path: Path, what: str = "") -> None:
    """Refuse what may be read for ever: a pipe by name, or a device. What a shell hands over as /dev/fd/N is a file.

    Args:
        what: begins the message, such as "--text ".
    """
    handed = path.parts[1:2] in (("dev",), ("proc",)) and path.is_fifo()
    if path.exists() and not (path.is_file() or path.is_dir() or handed):
        raise UserError(f"{what}{path} is a pipe or a device, and no file: name another, or move it away")


def read_json(path: Path) -> Any:
    """The JSON in ``path``, or None if the file is missing, was cut short or is no JSON.

    Raises:
        UserError: it is a pipe or a device, which might be read for ever.
    """
    check_file(path)
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None


def is_taken(folder: Path) -> bool:
    """Whether something else lies where a folder should be: a file, or a link to nothing."""
    try:
        return os.path.lexists(folder) and not folder.is_dir()
    except OSError:
        return False


def misplaced(path: Path, flag: str) -> str:
    """That something else lies where a folder should be, and what to do.

    Args:
        flag: that names where folders are made.
    """
    what = "a file" if path.exists() else "a link to nothing"
    return f"{path} is {what} where a folder should be: move it away, or choose another {flag}"


def why_unread(path: Path) -> str:
    """Why ``read_mapping`` gives nothing, in words."""
    return "was cut short or is no JSON object" if path.exists() else "does not exist"


def read_mapping(path: Path) -> dict[str, Any] | None:
    """The JSON object in ``path``, or None if there is none."""
    content = read_json(path)
    return content if isinstance(content, dict) else None


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


def digest(content: Any) -> str:
    """32 hexadecimal digits of the blake2b hash of bytes, or of the canonical JSON of anything else."""
    if not isinstance(content, bytes | bytearray | memoryview):
        content = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def slug(text: str) -> str:
    """``text`` as a readable piece of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "x"
