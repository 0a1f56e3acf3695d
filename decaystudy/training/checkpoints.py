"""The checkpoints of a run, which training resumes from."""

from __future__ import annotations

import re
from pathlib import Path

from decaystudy.runs.folder import RunFolder

FILE_NAME = "step={step}"
"""Name of a checkpoint's file, without its ending, as Lightning's ModelCheckpoint takes it."""
_WRITTEN = re.compile(r"step=(\d+)\.ckpt")


def checkpoint_path(folder: RunFolder, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder.checkpoints / f"{FILE_NAME.format(step=step)}.ckpt"


def last_step(folder: RunFolder) -> int:
    """The highest step that has a checkpoint, 0 if there is none. Checkpoints are written whole or not at all."""
    names = (path.name for path in folder.checkpoints.glob("*.ckpt"))
    return max((int(match[1]) for name in names if (match := _WRITTEN.fullmatch(name))), default=0)


def last_checkpoint(folder: RunFolder) -> Path | None:
    """The checkpoint that training resumes from, if there is one."""
    step = last_step(folder)
    return checkpoint_path(folder, step) if step else None
