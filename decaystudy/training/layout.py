"""How the sequences of a step are split over devices and accumulated micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
from decaystudy.training.world import World


@dataclass(frozen=True)
class Layout:
    """global batch = devices · accumulate · micro_batch, in sequences."""

    devices: int
    accumulate: int
    micro_batch: int


def run_layout(config: RunConfig, world: World) -> Layout:
    """The layout of a run on these processes.

    Raises:
        UserError: its global batch cannot be split evenly.
    """
    recipe = config.recipe
    accumulate = config.trainer.get("accumulate_grad_batches")
    return plan_layout(recipe.global_batch_size, recipe.micro_batch_size, world.size, accumulate)


def plan_layout(global_batch: int, largest_micro_batch: int, devices: int, accumulate: int | None) -> Layout:
    """The layout with the largest micro-batch, up to ``largest_micro_batch``, that splits the step evenly.

    Raises:
        UserError: the global batch cannot be split evenly.
    """
    if global_batch % devices:
        below, above = global_batch // devices * devices, -(-global_batch // devices) * devices
        near = f"{below} or {above}" if below else str(above)
        fitting = [str(count) for count in range(1, devices + 1) if global_batch % count == 0]
        raise UserError(
            f"recipe.global_batch_size {global_batch} cannot be split over {devices} devices: make it a multiple, such "
            f"as {near}, or use {' or '.join(fitting[-2:])} device{'' if fitting == ['1'] else 's'}"
        )
    share = global_batch // devices
    if accumulate is not None:
        if accumulate < 1 or share % accumulate:
            raise UserError(
                f"trainer.accumulate_grad_batches {accumulate} doesn't divide the {share} sequences per device "
                f"(recipe.global_batch_size {global_batch} over {devices}): leave it out and it is chosen for you"
            )
        return Layout(devices, accumulate, share // accumulate)
    micro = next(size for size in range(min(largest_micro_batch, share), 0, -1) if share % size == 0)
    return Layout(devices, share // micro, micro)
