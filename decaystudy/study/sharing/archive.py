"""NAME.bundle: a zip archive of JSON and of arrays, with a digest over all of it.

manifest.json   the number of the format, what the bundle is of, and the SHA-256 of every other member
…               the other members, in the order of their names

The archive's comment, its last 64 bytes, is the SHA-256 of all bytes before it: not one of them can change unnoticed.
Equal members make equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.errors import UserError
from decaystudy.io import replacing

FORMAT = 1
"""Raised whenever a version could misread what the one before it wrote; readers refuse newer ones."""
MANIFEST = "manifest.json"
ARRAYS = "arrays.npz"
_BEGINNING = b"PK\x03\x04"
_DIGITS = 64
_MOST_BYTES = 2**31
"""That the members of a bundle unpack to."""
_MALFORMED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RecursionError, NotImplementedError)


def pack(members: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    """The bytes of a bundle.

    Args:
        about: what the manifest says besides.
    """
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in ((MANIFEST, json_bytes({"format": FORMAT, **about, "members": digests})), *_sorted(members)):
            info = zipfile.ZipInfo(name)  # of 1980, so that equal members make equal bytes
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, 9)
        archive.comment = b"0" * _DIGITS
    data = content.getvalue()[:-_DIGITS]
    return data + hashlib.sha256(data).hexdigest().encode()


def unpack(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the manifest of a bundle says, and its other members.

    Raises:
        UserError: there is none, it is something else, it has changed since it was written, or a newer version wrote
            it.
    """
    data = _read(path)
    if not is_bundle(data) or len(data) <= _DIGITS:
        raise UserError(f"{path} is no bundle: give a file that decaystudy bundle wrote")
    if hashlib.sha256(data[:-_DIGITS]).hexdigest().encode() != data[-_DIGITS:]:
        raise UserError(
            f"{path} is not as decaystudy bundle wrote it (its SHA-256 differs: it was changed or cut short): fetch it "
            "again, or ask its author for it"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_BYTES:
                raise ValueError("it is too large")
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        manifest = json.loads(members.pop(MANIFEST))
        number = manifest["format"]
        digests = {name: hashlib.sha256(member).hexdigest() for name, member in members.items()}
        if isinstance(number, int) and number <= FORMAT and digests != manifest["members"]:
            raise ValueError("a member has another SHA-256 than its manifest says")
    except _MALFORMED as error:
        raise UserError(f"{path} is no bundle ({error}): give a file that decaystudy bundle wrote") from error
    if not isinstance(number, int) or number > FORMAT:
        raise UserError(
            f"{path} has format {number} and this version of decaystudy reads up to {FORMAT}: upgrade decaystudy"
        )
    return manifest, members


def is_bundle(data: bytes) -> bool:
    """Whether these bytes begin as those of a bundle do."""
    return data.startswith(_BEGINNING) and MANIFEST.encode() in data[:_DIGITS]


def write(path: Path, data: bytes) -> None:
    """Write a bundle, atomically, in place of an older one.

    Raises:
        UserError: it cannot be written there, or something else is there.
    """
    if os.path.lexists(path) and not (path.is_file() and is_bundle(_read(path))):
        raise UserError(f"{path} is there and is no bundle, which would be lost: give another name with -o")
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {path}: {reason}; give another name with -o") from error


def json_bytes(content: Any) -> bytes:
    """``content`` as JSON without needless spaces, in its own order, which tables keep."""
    return (json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "surrogatepass")


class ArrayWriter:
    """Gathers arrays; those that many runs have alike are kept once."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def add(self, values: NDArray[np.float64]) -> str:
        """The name under which an array is found."""
        kept: NDArray[Any] = np.ascontiguousarray(values, dtype="<f8")
        whole = bool((np.abs(kept) < 2**31).all()) and np.array_equal(kept, np.trunc(kept))
        if whole:
            kept = kept.astype("<i4")
        elif np.array_equal(kept, kept.astype("<f4").astype("<f8"), equal_nan=True):
            kept = kept.astype("<f4")
        name = hashlib.sha256(f"{kept.dtype.str} {kept.shape} ".encode() + kept.tobytes()).hexdigest()[:16]
        self._arrays[name] = kept
        return name

    def data(self) -> bytes:
        """All of them, as a .npz file."""
        content = io.BytesIO()
        np.savez(content, **dict(_sorted(self._arrays)))
        return content.getvalue()


def read_arrays(data: bytes) -> dict[str, NDArray[np.float64]]:
    """The arrays of a .npz file, by name.

    Raises:
        ValueError: it is something else, or its arrays hold other things than numbers.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name], dtype=np.float64) for name in arrays.files}
    except (OSError, TypeError, *_MALFORMED) as error:
        raise ValueError(f"its arrays cannot be read: {error}") from error


def _sorted(items: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, items[name]) for name in sorted(items)]


def _read(path: Path) -> bytes:
    wanted = "give a file that decaystudy bundle wrote"
    if not path.exists():
        raise UserError(f"{path} does not exist: {wanted}")
    if not path.is_file():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'no file'}: {wanted}")
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"{path} is no bundle, being larger than any: {wanted}")
    return path.read_bytes()
