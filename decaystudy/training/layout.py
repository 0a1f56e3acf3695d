"""How the sequences of a step are split over devices and accumulated micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.errors import UserError


@dataclass(frozen=True)
class Layout:
    """global batch = devices · accumulate · micro_batch, in sequences."""

    devices: int
    accumulate: int
    micro_batch: int


def plan_layout(global_batch: int, largest_micro_batch: int, devices: int, accumulate: int | None) -> Layout:
    """The layout with the largest micro-batch, up to ``largest_micro_batch``, that splits the step evenly.

    Raises:
        UserError: the global batch cannot be split evenly.
    """
    if global_batch % devices:
        raise UserError(
            f"recipe.global_batch_size {global_batch} cannot be split over {devices} devices: "
            f"make it a multiple, such as {-(-global_batch // devices) * devices}"
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
