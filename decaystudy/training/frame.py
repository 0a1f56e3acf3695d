"""The lines that are redrawn in place while a run trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decaystudy.devices import peak_flops
from decaystudy.formatting import count, duration
from decaystudy.live import packed
from decaystudy.model.count import forward_flops
from decaystudy.runs.config import RunConfig

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class RunTotals:
    """What is known of a run before it trains."""

    tokens_per_step: int
    checkpoint_every: int
    flops_per_token: float
    """Of training."""
    peak_flops: float | None
    """Of all its devices together; None where that is not known."""

    @classmethod
    def of(cls, config: RunConfig, device: str, devices: int) -> RunTotals:
        """Those of a run on so many devices of that name."""
        peak = peak_flops(device, str(config.trainer.get("precision", "")))
        return cls(
            tokens_per_step=config.tokens_per_step,
            checkpoint_every=config.recipe.checkpoint_every,
            flops_per_token=forward_flops(config.model, config.data.sequence_length).training,
            peak_flops=None if peak is None else peak * devices,
        )


def frame(facts: Mapping[str, Any], totals: RunTotals, width: int) -> RenderableType:
    """A bar with step and time left; below it, in as many lines as it takes, what has been measured last."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    step, steps = facts["step"], facts["max_steps"]
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    bar.add_column(no_wrap=True)
    left = f"{duration(facts['seconds_left'])} left" if "seconds_left" in facts else ""
    bar.add_row(f"step {step}/{steps}", ProgressBar(total=steps, completed=step), f"{step / steps:.0%}", left)
    return Group(bar, packed(measured(facts, totals), width))


def measured(facts: Mapping[str, Any], totals: RunTotals) -> list[str]:
    """What has been measured, piece by piece."""
    step, steps = facts["step"], facts["max_steps"]
    pieces = [f"{count(step * totals.tokens_per_step)} of {count(steps * totals.tokens_per_step)} tokens"]
    if "loss" in facts:
        pieces.append(f"loss {facts['loss']:.4f}")
    if "val_loss" in facts:
        pieces.append(f"validation loss {facts['val_loss']:.4f}")
    if "train/learning_rate" in facts:
        pieces.append(f"learning rate {facts['train/learning_rate']:.2e}")
    if "train/gradient_norm" in facts:
        pieces.append(f"gradient norm {facts['train/gradient_norm']:.3g}")
    if "tokens_per_second" in facts:
        speed = facts["tokens_per_second"]
        pieces.append(f"{speed:,.0f} tokens/s")
        if totals.peak_flops is not None:
            pieces.append(f"MFU {speed * totals.flops_per_token / totals.peak_flops:.1%}")
    if step < steps:
        following = (step // totals.checkpoint_every + 1) * totals.checkpoint_every
        pieces.append(f"next checkpoint at step {min(following, steps)}")
    return pieces
