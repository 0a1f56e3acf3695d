"""A checkpoint is read as it was written, and one that is harmed is found out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from decaystudy.formatting import size
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.weights import read_weights
from decaystudy.training.checkpoint_files import CheckpointFiles
from decaystudy.training.checkpoints import checkpoint_path, fault

ADVICE = "what is written there doesn't come back: choose an --out on another file system"


def round_trip(rehearsal: Rehearsal) -> str:
    """The last checkpoint holds the trained weights, survives being written again, and shows harm."""
    run = RunFolder(rehearsal.undisturbed)
    path = checkpoint_path(run, rehearsal.config.max_steps)
    wrong = fault(path)
    if wrong is not None:
        raise CheckFailed(f"{path.name} is broken ({wrong}): {ADVICE}")
    copies = RunFolder(rehearsal.folder / "checkpoint")
    copies.create()
    files = CheckpointFiles(copies)
    content = files.load_checkpoint(path)
    weights = {f"model.{name}": value for name, value in read_weights(run.weights).tensors.items()}
    unequal(content["state_dict"], weights, f"{path.name} and {run.weights.name}")
    again = checkpoint_path(copies, rehearsal.config.max_steps)
    files.save_checkpoint(content, again)
    unequal(files.load_checkpoint(again), content, f"{path.name} and what was read after writing it again")
    for harm in (cut, flip):
        harmed = copies.path / f"{harm.__name__}.ckpt"
        _copy(path, harmed)
        harm(_largest(harmed))
        if fault(harmed) is None:
            raise CheckFailed(f"a checkpoint that was harmed ({harm.__name__}) passes for whole: report it")
    tensors = len(dict(tensors_of(content)))
    kind = f"a folder of {len(list(path.iterdir()))} files" if path.is_dir() else "one file"
    return f"{tensors} tensors equal ({kind}, {size(_bytes(path))}); a cut one and a changed one were found out"


def unequal(one: Any, other: Any, what: str) -> None:
    """Raise if two nested structures don't hold the same tensors.

    Raises:
        CheckFailed: they don't.
    """
    first, second = dict(tensors_of(one)), dict(tensors_of(other))
    if odd := sorted(set(first) ^ set(second)):
        raise CheckFailed(f"{what} don't hold the same tensors ({odd[0]}): {ADVICE}")
    for name, value in first.items():
        if value.dtype != second[name].dtype or not torch.equal(value, second[name]):
            raise CheckFailed(f"{what} differ in {name}: {ADVICE}")


def tensors_of(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested dictionaries and lists, by its place."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from tensors_of(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, (list, tuple)):
        for number, value in enumerate(content):
            yield from tensors_of(value, f"{name}[{number}]")


def cut(path: Path) -> None:
    """Take the last third of a file away."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)


def _files(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_file()] if path.is_dir() else [path]


def _largest(path: Path) -> Path:
    return max(_files(path), key=lambda file: file.stat().st_size)


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))
