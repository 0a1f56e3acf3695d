"""Lightning's Trainer for a run."""

from __future__ import annotations

import lightning.pytorch as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, SimpleProfiler

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoint_files import CheckpointFiles
from decaystudy.training.layout import Layout
from decaystudy.training.processes import Processes
from decaystudy.training.strategy import make_strategy
from decaystudy.training.world import World, uses_gpu


def make_trainer(
    config: RunConfig, folder: RunFolder, layout: Layout, world: World, callbacks: list[L.Callback]
) -> L.Trainer:
    """Lightning's Trainer with the settings of a run.

    Raises:
        UserError: it refuses them.
    """
    chosen = {
        "val_check_interval": config.recipe.validate_every * layout.accumulate,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        **{name: value for name, value in config.trainer.items() if name != "max_time"},  # obeyed by ``Stop``
        "devices": config.trainer.get("devices", "auto") if uses_gpu(config.trainer) else world.devices,
        "enable_checkpointing": False,  # ``Checkpoints`` writes them
        "enable_progress_bar": False,  # ``Progress`` prints lines instead: an endless stream has no bar
        "accumulate_grad_batches": layout.accumulate,
    }
    try:
        return L.Trainer(
            strategy=make_strategy(config.strategy, world),
            max_epochs=-1,
            check_val_every_n_epoch=None,
            use_distributed_sampler=False,
            logger=False,  # made by ``_logging``, once the folder is this run's
            callbacks=callbacks,
            plugins=[CheckpointFiles(folder), Processes(world)],
            default_root_dir=folder.path,
            **{**chosen, "profiler": _profiler(config, folder)},
        )
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"Lightning's Trainer refuses these settings: {line}") from error


def _profiler(config: RunConfig, folder: RunFolder) -> Profiler | None:
    """Lightning's profiler, which writes fit-profile.txt into the run's folder."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}
    name = config.trainer.get("profiler")
    return None if name is None else kinds[name](dirpath=folder.path, filename="profile")
