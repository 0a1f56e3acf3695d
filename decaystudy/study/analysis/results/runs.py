"""The runs of results.json."""

from __future__ import annotations

from dataclasses import dataclass

from decaystudy.runs.evaluation import TaskResult
from decaystudy.runs.result import LayerDecay
from decaystudy.study.definition.rows import RunFields


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Where a run ran and how long it took: the only part of results.json that another machine changes."""

    seconds: float | None
    """Time spent training."""
    tokens_per_second: float | None
    host: str | None
    device: str | None
    devices: int | None
    """GPUs or processes."""


@dataclass(frozen=True, kw_only=True)
class RunRow(RunFields):
    """One run. Losses and λ are None unless it finished."""

    chosen: bool | None = None
    """Whether the cell is compared at this trial; None where ``trial`` is."""
    parameters: int
    tokens: int | None
    """Tokens trained on; those that it would train on, for a run that has not finished."""
    step: int | None
    """Steps taken; None where that is not known."""
    train_loss: float | None
    """Mean loss of the last steps, nats per token."""
    val_loss: float | None
    """Mean over the validation sequences, nats per token; over the tuning sequences for a run that serves to tune."""
    val_perplexity: float | None
    bits_per_byte: float | None = None
    """The same loss, which unlike nats per token can be compared across tokenizers."""
    unigram_entropy: float | None
    """Entropy of the token frequencies of the validation text, nats per token."""
    decay: tuple[LayerDecay, ...] | None
    """λ of each layer; empty for softmax attention."""
    decay_start: tuple[LayerDecay, ...] | None = None
    """The same before the first step; empty where it was not recorded."""
    run: str | None
    """The run's folder, below the folder of all runs; None where it has none."""
    message: str = ""
    """Why it did not finish."""
    last_finite: dict[str, float] | None = None
    """``step`` and ``loss`` before the run diverged."""
    log: str | None = None
    """Path of the log of a run that did not finish."""
    evaluation: dict[str, TaskResult] | None = None
    """By task; None unless the run was evaluated."""
    tokenizer: str | None = None
    """Digest of the tokenizer of a finished run."""
    documents: str | None = None
    """Hash of the held-out documents that a finished run was judged on."""
    cost: Cost
