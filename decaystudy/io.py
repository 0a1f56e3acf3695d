"""Files that are written whole or not at all, JSON, and hashes of content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


def read_json(path: Path) -> Any:
    """The JSON in ``path``, or None if the file is missing or was cut short."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


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
