"""From which checkpoint a run resumes, and what becomes of those that it cannot resume from."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
import torch

from decaystudy.errors import Failure
from decaystudy.formatting import shortened
from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import (
    IDENTITY,
    REST,
    checkpoints,
    fault,
    remove,
    set_aside,
    unfinished_files,
    unreadable,
)

LOG = logging.getLogger("decaystudy")
OF_CONTENT = ("PytorchStreamReader", "hasRecord", "mmap can only be used with", "TorchScript")
"""What torch's RuntimeErrors say of a file that is no checkpoint."""
OF_READING = ("file read failed", "file open failed", "file seek failed", "allocation failed")
"""And what they say beside that where it was the reading that failed."""


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint that a run resumes from, and later ones that it doesn't."""

    step: int = 0
    """Its step, 0 if there is none."""
    broken: tuple[Path, ...] = ()
    """Cut or changed: their checksums are wrong."""
    others: tuple[Path, ...] = ()
    """Whole, but another run's, or no checkpoints at all."""


def find_resume_point(folder: RunFolder, identities: Collection[str]) -> ResumePoint:
    """The last whole checkpoint of this run.

    Reads checkpoints through. One that is broken, or another run's, is named in a warning, and the one before takes its
    place.

    Args:
        identities: those that the run has, or has had.

    Raises:
        Failure: one cannot be read now.
    """
    broken: list[Path] = []
    others: list[Path] = []
    found = checkpoints(folder)
    for step, path in found.items():
        if (why := fault(path)) is not None:
            broken.append(path)
            wrong = f"broken ({why})"
        elif (stranger := why_strange(path, identities)) is not None:
            others.append(path)
            wrong = stranger
        else:
            return ResumePoint(step, tuple(broken), tuple(others))
        before = next((other for other in found if other < step), 0)
        LOG.warning("%s is %s: trying the one before it, of step %d", path, wrong, before)
    return ResumePoint(0, tuple(broken), tuple(others))


def why_strange(path: Path, identities: Collection[str]) -> str | None:
    """What a whole checkpoint is, if it is not one of the run with these identities; None if it is, or is too old to
    say.

    Nothing in it is executed, and no weights are read.

    Raises:
        Failure: it cannot be read now.
    """
    try:
        content = torch.load(path / REST if path.is_dir() else path, map_location="cpu", mmap=True, weights_only=True)
        recorded = content.get(IDENTITY)
    except (OSError, MemoryError) as error:
        raise unreadable(path, error) from error
    except Exception as error:  # whatever a file raises that only looks like a checkpoint
        if isinstance(error, RuntimeError) and not _is_of_content(str(error)):
            raise unreadable(path, error) from error
        why = str(error).strip().split("\n")[0] or type(error).__name__
        return f"broken ({shortened(why, 100)})"
    return None if recorded is None or recorded in identities else "another run's"


def _is_of_content(said: str) -> bool:
    return any(word in said for word in OF_CONTENT) and not any(word in said for word in OF_READING)


def agree_on_resume_point(
    trainer: L.Trainer, module: L.LightningModule, folder: RunFolder, identities: Collection[str]
) -> ResumePoint:
    """``find_resume_point`` of the first process, which tells the others: each might be answered differently.

    Raises:
        Failure: a checkpoint cannot be read now.
    """
    if trainer.world_size == 1:
        return find_resume_point(folder, identities)
    strategy = trainer.strategy
    strategy.connect(module)
    strategy.setup_environment()  # as the Trainer does later, to which the answer is given
    found = None
    if trainer.is_global_zero:
        try:
            found = find_resume_point(folder, identities)
        except Exception:
            strategy.broadcast(None)
            raise
    found = strategy.broadcast(found)
    if found is None:
        raise Failure("the first process of this run cannot read its last checkpoint, and says why")
    return found


def tidy(folder: RunFolder, found: ResumePoint) -> None:
    """Remove what the run that resumes has no use for: broken checkpoints and unfinished files. What is another's
    stays under another name."""
    for path in (*found.broken, *unfinished_files(folder)):
        remove(path)
    for path in found.others:
        LOG.warning("%s is left aside, as %s", path, set_aside(path).name)
