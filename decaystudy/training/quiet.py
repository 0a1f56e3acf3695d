"""Silences what Lightning tells its users and the users of this package need not know."""

from __future__ import annotations

import logging
import warnings

IRRELEVANT = (
    ".*does not have many workers.*",
    ".*isn't set in the hparams.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*The dirpath has changed.*",
    ".*resuming from a checkpoint that ended.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*tensorboardX.*",
    ".*IterableDataset.*__len__.*",
    ".*`srun` command is available.*",
    ".*GPU available but not used.*",
    ".*AccumulateGrad node's stream.*",  # Lightning wraps a model for DDP in a side stream
)


def quieten() -> None:
    """Hide Lightning's tips, and its warnings about things that this package does on purpose."""
    for name in ("lightning.pytorch", "lightning.fabric", "torch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)
