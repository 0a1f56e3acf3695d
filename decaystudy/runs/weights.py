"""Trained weights in a safetensors file that holds a checksum of them, and of what architecture they are.

Both stand in the file's metadata. A file without them, as other programs write, is taken as it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from decaystudy.errors import UserError
from decaystudy.formatting import shortened
from decaystudy.io import move_into_place
from decaystudy.model.config import ModelConfig
from decaystudy.runs.architecture import read_record, recorded

CHECKSUM = "blake2b"
"""Name of the checksum in the metadata."""


@dataclass(frozen=True)
class Weights:
    """What a file of weights holds."""

    tensors: dict[str, Tensor]
    """On the CPU, by name."""
    architecture: dict[str, Any]
    """The settings of their model, as far as the file tells."""


def write_weights(path: Path, tensors: Mapping[str, Tensor], model: ModelConfig | None = None) -> str:
    """Write the tensors whole or not at all, readable by whoever may read other files of this user.

    Args:
        model: of which they are.

    Returns:
        Their checksum.

    Raises:
        OSError: they cannot be written.
    """
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written = checksum(content)
    try:
        own = {CHECKSUM: written} if model is None else {CHECKSUM: written, **recorded(model)}
        save_file(content, temporary, metadata={"format": "pt", **own})
        with temporary.open("r+b") as file:
            _sort_metadata(file)
        open_to_readers(temporary)
        move_into_place(temporary, path)
    except SafetensorError as error:
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return written


def open_to_readers(path: Path) -> None:
    """Give a file the mode that a new file has here; safetensors makes its files for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def read_weights(path: Path, expected: str | None = None) -> Weights:
    """What the file holds.

    Args:
        expected: the checksum in result.json, where there is one. A file without a checksum is accepted: programs that
            edit weights write none.

    Raises:
        UserError: the file is broken, or holds other weights.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder where a file should be: {ADVICE}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read ({shortened(str(error), 200)}): {ADVICE}") from error
    written = metadata.get(CHECKSUM)
    if written is not None and written != checksum(tensors):
        raise UserError(f"{path} is broken (its checksum is wrong): {ADVICE}")
    if written is not None and expected not in (None, written):
        raise UserError(
            f"{path} holds other weights than those that result.json was written with (their checksum is "
            f"{written[:12]}, not {expected[:12]}): {ADVICE}"
        )
    return Weights(tensors, read_record(metadata, own=written is not None))


def _sort_metadata(file: IO[bytes]) -> None:
    """Put the metadata in order, which safetensors leaves to chance: equal weights are equal files."""
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    ordered = {"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(text) <= size
    file.seek(8)
    file.write(text.ljust(size))


ADVICE = (
    "restore it from a copy, or export it again; a run is finished again from its last checkpoint by the command that "
    "trained it, once its result.json is removed"
)


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the names, types, shapes and bytes of tensors on the CPU, whatever their order."""
    hashed = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        hashed.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
