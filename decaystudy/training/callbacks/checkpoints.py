"""The checkpoints of a run while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as L
import torch

from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import IDENTITY, KEPT, checkpoint_path, prune
from decaystudy.training.lightning_module import LanguageModel
from decaystudy.training.optimizer import parameter_groups
from decaystudy.training.sharded import ShardedStrategy


class Checkpoints(L.Callback):
    """Writes a checkpoint every ``every`` steps, and keeps the last ``KEPT``.

    Lightning's ModelCheckpoint forgets, when a run is resumed, the checkpoints of the processes before.

    Args:
        identity: of the run, which its checkpoints are marked with.
    """

    def __init__(self, folder: RunFolder, every: int, identity: str) -> None:
        self.folder = folder
        self.every = every
        self.identity = identity
        self.saved_at = 0
        """The step of the last checkpoint, 0 before the first."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.saved_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Write a checkpoint of the current step, unless there is one. All processes of the run take part."""
        step = trainer.global_step
        if step == self.saved_at:
            return
        for logger in trainer.loggers:
            logger.save()  # a point of a step that is never repeated must not be lost with this process
        trainer.save_checkpoint(checkpoint_path(self.folder, step), weights_only=False)
        self.saved_at = step
        if trainer.is_global_zero:
            prune(self.folder, KEPT)

    def finish(self, trainer: L.Trainer) -> None:
        """Wait for a checkpoint that is being written in the background."""
        if isinstance(trainer.strategy, ShardedStrategy):
            trainer.strategy.finish_checkpoint()
            if trainer.is_global_zero:
                prune(self.folder, KEPT)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record whose it is, and keep the optimizer's state by the names of parameters: their numbers differ from
        layout to layout."""
        assert isinstance(pl_module, LanguageModel)
        checkpoint[IDENTITY] = self.identity
        names = [name for group in grouped_names(pl_module) for name in group]
        checkpoint["optimizer_states"] = [by_name(state, names) for state in checkpoint["optimizer_states"]]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Number the optimizer's state again, where the strategy doesn't itself."""
        if trainer.strategy.lightning_restore_optimizer:
            groups = grouped_names(pl_module)
            checkpoint["optimizer_states"] = [by_number(state, groups) for state in checkpoint["optimizer_states"]]

    def state_dict(self) -> dict[str, Any]:
        return {"rng": torch.get_rng_state(), "cuda_rng": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        torch.set_rng_state(state_dict["rng"])
        states = state_dict["cuda_rng"]
        if len(states) == torch.cuda.device_count():  # another layout has other generators
            torch.cuda.set_rng_state_all(states)


def parameter_names(module: L.LightningModule) -> dict[torch.nn.Parameter, str]:
    """Names of the parameters, without what torch.compile puts into them, in the module's order."""
    return {parameter: name.replace("_orig_mod.", "") for name, parameter in module.named_parameters()}


def grouped_names(module: L.LightningModule) -> list[list[str]]:
    """Names of the parameters in each group of the optimizer."""
    assert isinstance(module, LanguageModel)
    names = parameter_names(module)
    return [[names[parameter] for parameter in group] for group in parameter_groups(module.model) if group]


def by_name(state: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """An optimizer's state with the names of parameters for their numbers; one that has names already is left."""

    def name(key: int | str) -> str:
        return key if isinstance(key, str) else names[key]

    groups = [{**group, "params": [name(key) for key in group["params"]]} for group in state["param_groups"]]
    return {"state": {name(key): value for key, value in state["state"].items()}, "param_groups": groups}


def by_number(state: dict[str, Any], groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The state with numbers for names, counted through the groups."""
    if any(isinstance(key, int) for key in state["state"]):
        return state  # written by an earlier version, on one device or by DDP
    numbers = {name: number for number, name in enumerate(name for group in groups for name in group)}
    renumbered = [
        {**saved, "params": [numbers[name] for name in group]}
        for saved, group in zip(state["param_groups"], groups, strict=True)
    ]
    return {"state": {numbers[name]: value for name, value in state["state"].items()}, "param_groups": renumbered}
