"""How a checkpoint is written and read: whole or not at all, and nothing in it is ever executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO

from decaystudy.io import replacing
from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import REST, checkpoints, prune, remove
from decaystudy.training.full_disk import is_full


class CheckpointFiles(CheckpointIO):
    """Writes a checkpoint beside its place, which is synced and renamed into it.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint. On a full disk the one before the last makes room.

        Raises:
            OSError: it cannot be written; what was there before is still there.
        """
        try:
            _write(checkpoint, Path(path))
        except OSError as error:
            if not is_full(error) or len(checkpoints(self.folder)) < 2:
                raise
            prune(self.folder, kept=1)
            _write(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint, onto the CPU; a sharded one is put together."""
        if Path(path).is_dir():
            return _whole(Path(path))
        content: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        remove(Path(path))


def _whole(folder: Path) -> dict[str, Any]:
    """A sharded checkpoint as one that is not."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    joined = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    try:
        dcp_to_torch_save(folder, joined)
        content: dict[str, Any] = torch.load(joined, map_location="cpu", weights_only=True)
    finally:
        joined.unlink(missing_ok=True)
    rest: dict[str, Any] = torch.load(folder / REST, map_location="cpu", weights_only=True)
    optimizers = sorted(name for name in content if name.startswith("optimizer_"))
    return {**rest, "state_dict": content["state_dict"], "optimizer_states": [content[name] for name in optimizers]}


class _Output:
    """A file that remembers why it could not be written: torch turns the reason into a RuntimeError without it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return int(self._file.write(data))
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    with replacing(path) as file:
        output = _Output(file)
        try:
            torch.save(checkpoint, output)  # type: ignore[arg-type]
        except RuntimeError as error:
            if output.error is not None:
                raise output.error from error
            raise
