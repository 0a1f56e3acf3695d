"""A trained model under a decay that it was not trained with: what its perplexity owes to what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decaystudy.decay import DecayOutput
from decaystudy.errors import UserError
from decaystudy.evaluation.paired import mean_over_sequences
from decaystudy.evaluation.perplexity import held_out_blocks, token_losses
from decaystudy.metrics import perplexity
from decaystudy.model.block import Block, BlockInputs
from decaystudy.model.layer_decay import LayerDecay
from decaystudy.model.resets import document_starts
from decaystudy.runs.loading import LoadedRun

Change = Callable[[int, Tensor], Tensor]
"""From a layer's number and its log λ, (B, T, H) or (B, T, H, D), to another log λ."""
MEDIAN_TOKENS = 8192


def ablate(
    run: LoadedRun,
    *,
    clamp: tuple[float, float] | None = None,
    freeze_to_median: bool = False,
    average_heads: bool = False,
    drop_rope: bool = False,
) -> dict[str, Any]:
    """Loss on the run's held-out sequences as it is, and under each of the changes that are asked for, one at a time.

    The decay alone is changed: a key that is shared with it (k = 1 − λ) stays as the model has it.

    Args:
        clamp: every λ is held between these two; equal ones set it.
        freeze_to_median: each λ is its median over held-out text, of its layer, head and dimension, for every token.
        average_heads: each token's λ is the mean over the layer's heads, dimension by dimension.
        drop_rope: q and k are not rotated.

    Returns:
        ``loss`` and ``perplexity`` of the model as it is, and ``changes``: name, loss, perplexity, and the difference
        in loss with its 95 % interval, paired by sequence.

    Raises:
        UserError: nothing is asked for, or the model doesn't have what is to be changed.
    """
    config = run.config.model
    changes: dict[str, Any] = {}
    if clamp is not None:
        low, high = clamp
        if not 0 <= low <= high <= 1 or high == 0:
            given = f"{low:g}" if low == high or low != low else f"{low:g},{high:g}"
            raise UserError(
                f"--clamp-decay is {given}: give one λ above 0 and at most 1, or two from 0 to 1, the smaller first"
            )
        name = f"λ = {low:g}" if low == high else f"λ from {low:g} to {high:g}"
        changes[name] = lambda: changed_decay(run, clamped(low, high))
    if freeze_to_median:
        changes["λ frozen to its median"] = lambda: changed_decay(run, frozen(medians(run)))
    if average_heads:
        changes["λ averaged over heads"] = lambda: changed_decay(run, averaged)
    if changes and config.mixer != "decay":
        raise UserError(f"{run.folder.path} has softmax attention and no decay to change: choose another run")
    if drop_rope:
        if config.mixer == "decay" and config.position not in ("rope", "lrpe"):
            raise UserError(
                f"{run.folder.path} rotates nothing (position {config.position}): leave --drop-rope out, or choose a "
                "run with position rope or lrpe"
            )
        changes["without rotation"] = lambda: unrotated(run)
    if not changes:
        raise UserError("name a change: --clamp-decay, --freeze-decay-to-median, --average-heads or --drop-rope")
    blocks = held_out_blocks(run)
    own = losses(run, blocks)
    base = float(own.mean())
    found: dict[str, Any] = {
        "loss": base,
        "perplexity": perplexity(base),
        "sequences": len(own),
        "changes": [],
    }
    for name, change in changes.items():
        with change():
            other = losses(run, blocks)
        loss = float(other.mean())
        difference = mean_over_sequences(other - own).as_dict()
        row = {"name": name, "loss": loss, "perplexity": perplexity(loss), "difference": difference}
        found["changes"].append(row)
    return found


def losses(run: LoadedRun, blocks: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Loss of each sequence, (N,)."""
    means: NDArray[np.float64] = token_losses(run.model, blocks, reset_after=run.eos_id).mean(axis=1)
    return means


@contextmanager
def changed_decay(run: LoadedRun, change: Change) -> Iterator[None]:
    """The model with another decay, for as long as the block lasts."""

    def hook(module: LayerDecay, given: Any, output: DecayOutput) -> DecayOutput:
        return output._replace(log_decay=change(module.context.layer, output.log_decay))

    with ExitStack() as hooks:
        for module in run.model.modules():
            if isinstance(module, LayerDecay):
                hooks.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def unrotated(run: LoadedRun) -> Iterator[None]:
    """The model with every token at position zero, where no rotation turns anything, for as long as the block lasts."""

    def hook(module: Block, given: tuple[Any, ...]) -> Any:
        x, inputs, *others = given
        assert isinstance(inputs, BlockInputs)
        rotation = None if inputs.rotation is None else inputs.rotation.at_zero()
        return x, replace(inputs, rotation=rotation), *others

    with ExitStack() as hooks:
        for module in run.model.modules():
            if isinstance(module, Block):
                hooks.callback(module.register_forward_pre_hook(hook).remove)
        yield


def clamped(low: float, high: float) -> Change:
    """log λ held between log low and log high."""
    bounds = math.log(low) if low > 0 else -math.inf, math.log(high)
    return lambda layer, log_decay: log_decay.clamp(*bounds)


def frozen(values: list[Tensor]) -> Change:
    """log λ of each layer set to (H,) or (H, D)."""
    return lambda layer, log_decay: values[layer].to(log_decay).expand_as(log_decay)


def averaged(layer: int, log_decay: Tensor) -> Tensor:
    """log of the mean λ over heads, (B, T, H) or (B, T, H, D)."""
    heads = log_decay.shape[2]
    return (log_decay.logsumexp(dim=2, keepdim=True) - math.log(heads)).expand_as(log_decay)


@torch.inference_mode()
def medians(run: LoadedRun) -> list[Tensor]:
    """The median over tokens of each layer's log λ, (H,) or (H, D)."""
    blocks = held_out_blocks(run)
    blocks = blocks[: max(1, MEDIAN_TOKENS // blocks.shape[1])]
    tokens = torch.from_numpy(blocks[:, :-1].astype(np.int64)).to(run.device)
    kept: list[list[Tensor]] = [[] for _ in range(run.config.model.layers)]
    for row in tokens.split(1):
        for layer, log_decay in enumerate(run.model.log_decays(row, resets=document_starts(row, run.eos_id))):
            kept[layer].append(log_decay[0])
    return [torch.cat(values).median(dim=0).values for values in kept]
