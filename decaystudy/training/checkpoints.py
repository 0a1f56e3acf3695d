"""The checkpoints of a run, which training resumes from: where they are, and which of them are whole.

A checkpoint is one file in the zip format that torch.save writes, with a checksum for each of its records; that of a
sharded run is a folder of files, with a list of their checksums.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import zipfile
import zlib
from pathlib import Path

from decaystudy.formatting import shortened
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.folder import RunFolder

LOG = logging.getLogger("decaystudy")
FILE_NAME = "step={step}.ckpt"
KEPT = 2
"""Checkpoints kept while a run trains: the last, and the one before, which takes its place if it is broken."""
IDENTITY = "decaystudy_identity"
"""In a checkpoint: ``RunConfig.identity_hash()`` of its run."""
REST = "meta.pt"
"""In a folder: what is not sharded, under Lightning's name for it."""
CHECKSUMS = "checksums.json"
_WRITTEN = re.compile(r"step=(\d+)\.ckpt")


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


def last_whole(folder: RunFolder, identity: str) -> int:
    """The step that training resumes from: that of the last whole checkpoint of this run, 0 if there is none.

    Reads the checkpoint through. One that is broken, or another run's, is named in a warning, and the one before takes
    its place.

    Args:
        identity: the run's.
    """
    found = checkpoints(folder)
    for step, path in found.items():
        wrong = f"broken ({why})" if (why := fault(path)) is not None else stranger(path, identity)
        if wrong is None:
            return step
        before = next((other for other in found if other < step), 0)
        LOG.warning("%s is %s: trying the one before it, of step %d", path, wrong, before)
    return 0


def stranger(path: Path, identity: str) -> str | None:
    """What a whole checkpoint is, if it is not one of the run with this identity; None if it is, or is too old to say.

    Nothing in it is executed, and no weights are read.
    """
    import torch

    try:
        content = torch.load(path / REST if path.is_dir() else path, map_location="cpu", mmap=True, weights_only=True)
        recorded = content.get(IDENTITY)
    except Exception as error:  # whatever a file raises that only looks like a checkpoint
        return f"broken ({shortened(str(error).strip().split(chr(10))[0], 100)})"
    return None if recorded in (None, identity) else "another run's"


def fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, None if it is whole."""
    if path.is_dir():
        return _fault_of_folder(path)
    try:
        with zipfile.ZipFile(path) as archive:
            record = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
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
        except OSError as error:
            return f"{name}: {(error.strerror or str(error)).lower()}"
    return None


def write_checksums(folder: Path) -> None:
    """List the checksums of a folder's files in it."""
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS)
    write_json(folder / CHECKSUMS, {name: checksum(folder / name) for name in names})


def checksum(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def unfinished(path: Path) -> Path:
    """Where a folder is written before it takes its place; one that is left over is removed by ``tidy``."""
    return path.with_name(f".{path.name}.tmp")


def prune(folder: RunFolder, kept: int) -> None:
    """Remove all but the last checkpoints."""
    for path in list(checkpoints(folder).values())[kept:]:
        remove(path)


def tidy(folder: RunFolder, step: int) -> None:
    """Remove what a run that resumes at ``step`` has no use for: broken later checkpoints, and unfinished files."""
    for other, path in checkpoints(folder).items():
        if other > step:
            remove(path)
    for path in _listed(folder):
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            remove(path)


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
