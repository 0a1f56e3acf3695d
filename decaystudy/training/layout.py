"""How a step's sequences are dealt out: devices × accumulated micro-batches. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.errors import UserError


@dataclass(frozen=True)
class Layout:
    """global batch = devices · accumulate · micro_batch."""

    devices: int
    accumulate: int
    micro_batch: int


def plan_layout(global_batch: int, largest_micro_batch: int, devices: int, accumulate: int | None) -> Layout:
    """The layout with the largest micro-batch that is allowed and divides the step evenly.

    Raises:
        UserError: the global batch cannot be dealt out evenly.
    """
    if global_batch % devices:
        raise UserError(
            f"recipe.global_batch_size {global_batch} cannot be dealt out over {devices} devices: "
            f"make it a multiple, such as {-(-global_batch // devices) * devices}"
        )
    share = global_batch // devices
    if accumulate is not None:
        if accumulate < 1 or share % accumulate:
            raise UserError(
                f"trainer.accumulate_grad_batches {accumulate} doesn't divide the {share} sequences of a device "
                f"(recipe.global_batch_size {global_batch} over {devices}): leave it out to have it chosen"
            )
        return Layout(devices, accumulate, share // accumulate)
    micro = next(size for size in range(min(largest_micro_batch, share), 0, -1) if share % size == 0)
    return Layout(devices, share // micro, micro)
