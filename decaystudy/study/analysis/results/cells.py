"""The cells of results.json: the runs of a cell together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from decaystudy.serial import REST
from decaystudy.study.analysis.results.comparisons import ComparisonVerdict
from decaystudy.study.definition.rows import CellFields


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A cell's difference to its baseline, as its row of the table shows it: that comparison, repeated."""

    b: str
    """The baseline."""
    difference: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    verdict: ComparisonVerdict


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A share of right answers with its interval; with one seed there is none."""

    mean: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """A cell's answers to one task, means over its seeds. In the file the metrics stand beside the other fields."""

    samples: int
    """Questions."""
    metric: str | None = None
    """The metric that ``accuracy`` is; None for a task that doesn't count right answers."""
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    """Interval of ``accuracy``; None with one seed."""
    standard_error: float | None = None
    metrics: dict[str, float] = field(default_factory=dict, metadata=REST)
    """By lm-eval's names."""


@dataclass(frozen=True, kw_only=True)
class CellLength:
    """A cell's loss on text of one length, mean over its seeds."""

    multiple: int
    """Of the training length."""
    length: int
    """Tokens per sequence."""
    loss: float
    """Nats per token."""
    perplexity: float
    last_loss: float
    """Over the last training length of tokens in each sequence."""
    last_perplexity: float


@dataclass(frozen=True, kw_only=True)
class CellPosition:
    """A cell's loss at some positions in the sequence, mean over its seeds."""

    first: int
    last: int
    """Counted too."""
    loss: float
    """Nats per token."""
    low: float | None = None
    high: float | None = None
    """Interval of ``loss`` at this position alone, for other seeds on the same sequences; None with one seed."""
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class CellResult(CellFields):
    """One cell: its runs together. A cell that diverged under one seed has no loss: the others are no mean of it."""

    parameters: int
    learning_rate: float | None = None
    """At which the cell is compared; None unless a search tries it."""
    trial: dict[str, Any] | None = None
    """Settings at which the cell is compared; None for a study that doesn't search."""
    judged: tuple[int, ...] = ()
    """The seeds that its loss is a mean of."""
    val_loss: float | None = None
    """Mean over seeds and held-out tokens, nats per token."""
    low: float | None = None
    high: float | None = None
    """Interval of ``val_loss``, which holds for all cells together; None with one seed."""
    standard_error: float | None = None
    bits_per_byte: float | None = None
    """The same loss, which unlike nats per token can be compared across tokenizers."""
    val_perplexity: float | None = None
    perplexity_low: float | None = None
    perplexity_high: float | None = None
    learned: bool | None = None
    """Whether the loss is below the unigram entropy; None where there is no loss."""
    median_decay: float | None = None
    """Median over layers of the layers' median λ, mean over seeds; None without a decay."""
    difference: Difference | None = None
    """Of validation loss; None for a cell without a baseline."""
    tasks: dict[str, CellTask] = field(default_factory=dict)
    accuracy: Accuracy | None = None
    """Mean over the tasks that count right answers."""
    accuracy_difference: Difference | None = None
    lengths: tuple[CellLength, ...] = ()
    positions: tuple[CellPosition, ...] = ()
