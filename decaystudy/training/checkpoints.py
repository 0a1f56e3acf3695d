"""The checkpoints of a run, which training resumes from: where they are, and which of them are whole.

A checkpoint is one file in the zip format that torch.save writes, with a checksum for each of its records; that of a
sharded run is a folder of files, with a list of their checksums.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path

from decaystudy.errors import Failure
from decaystudy.formatting import shortened
from decaystudy.io import move_into_place, read_mapping, write_json
from decaystudy.runs.folder import RunFolder

FILE_NAME = "step={step}.ckpt"
KEPT = 2
"""Checkpoints kept while a run trains: the last, and the one before, which takes its place if it is broken."""
IDENTITY = "decaystudy_identity"
"""In a checkpoint: ``run_identity`` of its run."""
REST = "meta.pt"
"""In a folder: what is not sharded, under Lightning's name for it."""
CHECKSUMS = "checksums.json"
_WRITTEN = re.compile(r"step=(\d+)\.ckpt")
_ASIDE = re.compile(r"step=\d+\.ckpt\.other(-\d+)?")


def checkpoint_path(folder: RunFolder, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder.checkpoints / FILE_NAME.format(step=step)


def checkpoints(folder: RunFolder) -> dict[int, Path]:
    """Every checkpoint by its step, the last one first."""
    found = {int(match[1]): path for path in _listed(folder) if (match := _WRITTEN.fullmatch(path.name))}
    return dict(sorted(found.items(), reverse=True))


def last_step(folder: RunFolder) -> int:
    """The highest step that has a checkpoint, 0 if there is none."""
    return next(iter(checkpoints(folder)), 0)


def resumption(folder: RunFolder) -> str:
    """What the same command does after a run has ended early, for a message."""
    step = last_step(folder)
    return f"the same command resumes at step {step}" if step else "the same command starts the run again"


def fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is whole.

    Raises:
        Failure: it cannot be read now, which says nothing about its content.
    """
    try:
        if path.is_dir():
            return _fault_of_folder(path)
        with zipfile.ZipFile(path) as archive:
            record = archive.testzip()
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place in the file that it says of itself, and that cannot be
            return "a place that it names is outside it"
        if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
            return "it is gone"
        raise unreadable(path, error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        return str(error).strip().split("\n")[0].lower() or type(error).__name__
    return None if record is None else f"its checksum of {record} is wrong"


def _fault_of_folder(path: Path) -> str | None:
    written = read_mapping(path / CHECKSUMS)
    if written is None:
        return f"it has no {CHECKSUMS}"
    for name, expected in written.items():
        try:
            if checksum(path / name) != expected:
                return f"its checksum of {name} is wrong"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            return f"{name}: {(error.strerror or str(error)).lower()}"
    return None


def unreadable(path: Path, error: Exception) -> Failure:
    """A checkpoint that cannot be read now, as a file server that doesn't answer, or too little memory, makes it."""
    told = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
    why = told or ("not enough memory" if isinstance(error, MemoryError) else type(error).__name__)
    return Failure(
        f"{path} cannot be read ({shortened(why.lower(), 100)}): call the same command again, or move that checkpoint "
        "away, and the run resumes from the one before"
    )


def write_checksums(folder: Path) -> None:
    """List the checksums of a folder's files in it."""
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS)
    write_json(folder / CHECKSUMS, {name: checksum(folder / name) for name in names})


def checksum(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def unfinished(path: Path) -> Path:
    """Where a folder is written before it takes its place; one that is left over is removed when the run resumes."""
    return path.with_name(f".{path.name}.tmp")


def prune(folder: RunFolder, kept: int) -> None:
    """Remove all but the last checkpoints."""
    for path in list(checkpoints(folder).values())[kept:]:
        remove(path)


def unfinished_files(folder: RunFolder) -> list[Path]:
    """What processes have left that were killed as they wrote a checkpoint."""
    return [path for path in _listed(folder) if path.name.startswith(".") and path.name.endswith(".tmp")]


def set_aside(path: Path) -> Path:
    """Rename a checkpoint so that it is none of this run's any more, and nothing removes it; returns where it is."""
    names = itertools.chain([f"{path.name}.other"], (f"{path.name}.other-{i}" for i in itertools.count(2)))
    target = next(other for name in names if not os.path.lexists(other := path.with_name(name)))
    move_into_place(path, target)
    return target


def put_aside(folder: RunFolder) -> list[Path]:
    """What ``set_aside`` has renamed."""
    return [path for path in _listed(folder) if _ASIDE.fullmatch(path.name)]


def remove(path: Path) -> None:
    """Remove a checkpoint; nothing happens if it has gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _listed(folder: RunFolder) -> list[Path]:
    try:
        return list(folder.checkpoints.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
