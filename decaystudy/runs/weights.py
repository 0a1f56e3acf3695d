"""Trained weights in a safetensors file that holds a checksum of them, and of what architecture they are.

Both stand in the file's metadata. A file without them, as other programs write, is taken as it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.formatting import shortened
from decaystudy.io import move_into_place

CHECKSUM = "blake2b"
"""Name of the checksum in the metadata."""
ARCHITECTURE = "architecture"
"""Name of the model's settings in the metadata, as JSON."""
FREE = {"backend"}
"""Settings of a model that may change: its numbers are the same but for rounding."""


def write_weights(path: Path, tensors: Mapping[str, Tensor], architecture: Mapping[str, Any] | None = None) -> str:
    """Write the tensors whole or not at all, readable by whoever may read other files of this user.

    Args:
        architecture: the fields of their ``ModelConfig``.

    Returns:
        Their checksum.

    Raises:
        OSError: they cannot be written.
    """
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written = checksum(content)
    try:
        kept = None if architecture is None else {k: v for k, v in architecture.items() if k not in FREE}
        own = {} if kept is None else {ARCHITECTURE: json.dumps(kept, sort_keys=True)}
        save_file(content, temporary, metadata={"format": "pt", CHECKSUM: written, **own})
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


def read_weights(path: Path, expected: str | None = None) -> dict[str, Tensor]:
    """The tensors in the file, on the CPU.

    Args:
        expected: their checksum, where it is known. A file without one may hold others, as who edits weights writes.

    Raises:
        UserError: the file is broken, or holds others.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder where a file should be: {ADVICE}")
    try:
        tensors: dict[str, Tensor] = load_file(path)
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get(CHECKSUM)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read ({shortened(str(error), 200)}): {ADVICE}") from error
    if written is not None and written != checksum(tensors):
        raise UserError(f"{path} is broken (its checksum is wrong): {ADVICE}")
    if written is not None and expected not in (None, written):
        raise UserError(f"{path} holds the weights of another run: {ADVICE}")
    return tensors


def check_architecture(path: Path, given: Mapping[str, Any], file: str) -> None:
    """Refuse settings of a model under which its weights would be another one.

    Args:
        given: the fields of its ``ModelConfig``.
        file: that they are from.

    Raises:
        UserError: which of them are not those that the weights were trained with, as far as the weights tell.
    """
    with safe_open(path, framework="pt") as opened:
        recorded = json.loads((opened.metadata() or {}).get(ARCHITECTURE, "{}"))
    for name, value in recorded.items():
        if name in given and json.loads(json.dumps(given[name])) != value:
            raise UserError(
                f"{file} says {name} {shown(given[name])}, and the weights in {path} were trained with {shown(value)}: "
                f"restore {file} from a copy"
            )


def refuse_missing(facts: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights are in no file: transformers would draw them at random.

    Args:
        facts: what ``from_pretrained`` tells with ``output_loading_info``.

    Raises:
        UserError: which are missing.
    """
    missing = sorted(facts["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"its weights lack {missing[0]}{more}: {ADVICE}")


def _sort_metadata(file: IO[bytes]) -> None:
    """Put the metadata in order, which safetensors leaves to chance: equal weights are equal files."""
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    ordered = {"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(text) <= size
    file.seek(8)
    file.write(text.ljust(size))


ADVICE = "restore it from a copy, or remove it and train or export the run again"


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Hash of the names, types, shapes and bytes of tensors on the CPU, whatever their order."""
    hashed = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        hashed.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()
