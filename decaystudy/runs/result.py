"""RUN/result.json: how a run ended, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.state import RunState
from decaystudy.serial import REST, Mismatch, from_plain, to_plain


@dataclass(frozen=True)
class LayerDecay:
    """Statistics of one layer's λ over validation text: all tokens, heads and dimensions."""

    layer: int
    """Number of the layer, from 0."""
    median: float
    q25: float
    """Lower quartile."""
    q75: float
    """Upper quartile."""
    mean: float
    half_life: float | None = None
    """ln ½ / ln median, in tokens; None where the median is 1, or was not recorded."""
    near_zero: float | None = None
    """Share of λ below 0.01."""
    near_one: float | None = None
    """Share of λ above 0.999."""


@dataclass(frozen=True)
class RunResult:
    """The content of result.json. A run that diverged has no losses but a message and what it had reached."""

    status: RunState
    """finished or diverged."""
    step: int | None = None
    """Optimizer steps taken."""
    tokens: int | None = None
    """Tokens trained on."""
    parameters: int | None = None
    train_loss: float | None = None
    """Mean loss of the last steps, nats per token."""
    val_loss: float | None = None
    """Mean over the validation sequences, nats per token."""
    val_perplexity: float | None = None
    val_bits_per_byte: float | None = None
    """Over the held-out documents; unlike a loss per token it can be compared across tokenizers."""
    tokens_per_second: float | None = None
    seconds: float | None = None
    """Time spent training, over all sessions."""
    process_seconds: float | None = None
    """From the start of the process that finished the run to its result, imports and start-up included."""
    seed: int | None = None
    identity: str | None = None
    """``run_identity`` of the run."""
    unigram_entropy: float | None = None
    """Entropy of the token frequencies of the validation text, nats per token."""
    decay: tuple[LayerDecay, ...] = ()
    """λ of each layer after training; empty for softmax attention."""
    decay_start: tuple[LayerDecay, ...] = ()
    """The same before the first step; empty where it was not recorded."""
    message: str | None = None
    """Why a run diverged."""
    last_finite: dict[str, float] | None = None
    """``step`` and ``loss`` before a run diverged."""
    version: dict[str, int] = field(default_factory=dict)
    """``decaystudy.versions.semantics()`` of the package that trained it; empty for runs from before."""
    code: dict[str, str] = field(default_factory=dict)
    """Hashes of the code of the user's own that it was trained with, by ``decay`` and ``source``."""
    data: dict[str, Any] = field(default_factory=dict)
    """What the run was trained on: source, revision, digest of the tokenizer, sizes."""
    weights: str | None = None
    """Checksum of model.safetensors; None for runs from before."""
    device: str | None = None
    world_size: int | None = None
    """Processes that trained together."""
    micro_batch_size: int | None = None
    """Sequences that a process worked on at once."""
    backend: str | None = None
    """What computed attention in training; None for softmax attention and for runs from before."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages that computed the numbers."""
    git_revision: str | None = None
    """Of the checkout that the package ran from."""
    more: dict[str, Any] = field(default_factory=dict, metadata=REST)
    """Facts that a newer version recorded."""


def read_result(path: Path) -> RunResult | None:
    """The result in ``path``, or None where there is none or it was cut short.

    Raises:
        UserError: it is something else.
    """
    plain = read_mapping(path)
    if plain is None:
        return None
    try:
        return from_plain(RunResult, plain)
    except Mismatch as error:
        raise UserError(f"{path} is no run's result ({error}): remove that folder and train the run again") from error


def write_result(path: Path, result: RunResult) -> None:
    """Write a result, atomically."""
    write_json(path, to_plain(result, omit_none=True))
