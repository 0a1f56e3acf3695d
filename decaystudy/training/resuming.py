"""From which checkpoint a run resumes, and what becomes of those that it cannot resume from."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
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
LONGEST_READ = timedelta(hours=12)
"""How long other processes wait while the first one reads checkpoints through."""
OF_CONTENT = ("PytorchStreamReader", "hasRecord", "mmap can only be used with", "TorchScript")
"""What torch's RuntimeErrors say of a file that is no checkpoint."""
OF_READING = ("file read failed", "file open failed", "file seek failed", "allocation failed")
"""And what they say beside that where it was the reading that failed."""


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint that a run resumes from, and those that it never will."""

    step: int = 0
    """Its step, 0 if there is none."""
    unused: tuple[Path, ...] = ()
    """Cut, changed, another run's, or no checkpoints at all."""


def find_resume_point(folder: RunFolder, identities: Collection[str]) -> ResumePoint:
    """The last whole checkpoint of this run.

    Reads checkpoints through, the last one first. One that is broken, or another run's, is named in a warning, and the
    one before takes its place. Of those before the last whole one only the marks are read.

    Args:
        identities: those that the run has, or has had.

    Raises:
        Failure: one cannot be read now.
    """
    unused: list[Path] = []
    point = 0
    found = checkpoints(folder)
    for step, path in found.items():
        if point:
            try:
                wrong = why_strange(path, identities)
            except Failure:  # it is not needed now, and a new name takes nothing away from it
                wrong = "not readable now"
        else:
            why = fault(path)
            wrong = why_strange(path, identities) if why is None else f"broken ({why})"
        if wrong is None:
            point = point or step
            continue
        unused.append(path)
        before = next((other for other in found if other < step), 0)
        instead = "" if point else f": trying the one before it, of step {before}"
        LOG.warning("%s is %s%s", path, wrong, instead)
    return ResumePoint(point, tuple(unused))


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
) -> int:
    """The step of the checkpoint to resume from, 0 without one, that the first process finds and tells the others: each
    might be answered differently. It tidies the folder before anyone reads or writes there.

    Raises:
        Failure: a checkpoint cannot be read now.
    """
    if trainer.world_size == 1:
        return _find_and_tidy(folder, identities)
    strategy = trainer.strategy
    strategy.connect(module)
    strategy.setup_environment()  # as the Trainer does later, to which the answer is given
    # On the CPU, and with more time than training gives a process: a large checkpoint takes long to read.
    group = torch.distributed.new_group(backend="gloo", timeout=LONGEST_READ)
    answer: list[int | None] = [None]
    try:
        if trainer.is_global_zero:
            answer = [_find_and_tidy(folder, identities)]
    finally:  # whatever has ended the first process, the others don't wait for it
        torch.distributed.broadcast_object_list(answer, src=0, group=group)
    torch.distributed.destroy_process_group(group)
    if answer[0] is None:
        raise Failure("the first process of this run could not choose a checkpoint to resume from, and says why")
    return answer[0]


def _find_and_tidy(folder: RunFolder, identities: Collection[str]) -> int:
    found = find_resume_point(folder, identities)
    tidy(folder, found)
    return found.step


def tidy(folder: RunFolder, found: ResumePoint) -> None:
    """Remove unfinished files, and set aside the checkpoints that the run has no use for: one may be all that another
    run has, or still be on its way into the folder."""
    for path in unfinished_files(folder):
        remove(path)
    for path in found.unused:
        if os.path.lexists(path):
            LOG.warning("%s is set aside, as %s", path, set_aside(path).name)
