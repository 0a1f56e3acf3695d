"""The end of a run whose folder is no longer its own."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L

from decaystudy.errors import Failure
from decaystudy.runs.folder import RunFolder

REMOVED = "{} was removed while the run trained: the same command starts the run again"
REPLACED = "{} was replaced while the run trained: give this run another --out, or end the other one first"


class Ownership(L.Callback):
    """Ends a run before it writes into a folder that another run has taken since its own was removed.

    It stands before the callbacks that write. Only the first process of a run holds the folder, and looks.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stop_if_lost(self.folder)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stop_if_lost(self.folder)


def stop_if_lost(folder: RunFolder) -> None:
    """Check that the folder is still that of this process.

    Raises:
        Failure: it was removed, or replaced by another.
    """
    if folder.lost():
        raise Failure((REPLACED if folder.path.exists() else REMOVED).format(folder.path))
