"""What a study's answer is: the content of results.json, from which tables, figures and reports are made. Needs no
torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from decaystudy.runs.evaluation import TaskResult
from decaystudy.runs.result import LayerDecay
from decaystudy.runs.state import RunState
from decaystudy.serial import REST

SCHEMA = 1
"""Raised whenever a field of results.json changes its meaning or goes; a new field with a default needs no raise."""


class ComparisonVerdict(StrEnum):
    """What the first cell of a comparison is, beside the second."""

    BETTER = "better"
    WORSE = "worse"
    INDISTINGUISHABLE = "indistinguishable"
    """The interval holds zero."""
    INCOMPLETE = "incomplete"
    """There is no difference to judge; ``why`` says why."""


class ClaimVerdict(StrEnum):
    """What became of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"
    """There is nothing to judge it by; ``why`` says why."""


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
class RunRow:
    """One run. Losses and λ are None unless it finished."""

    id: str
    """Twelve hexadecimal digits that tell runs apart; part of the folder's name."""
    name: str
    """The cell's name."""
    cell: str
    """The cell's name too, under the word that tables use."""
    seed: int
    status: RunState
    learning_rate: float | None = None
    """None unless the study tunes the learning rate."""
    chosen: bool | None = None
    """Whether the cell is compared at this learning rate; None unless the study tunes it."""
    parameters: int
    tokens: int | None
    """Tokens trained on; those that it would train on, for a run that has not finished."""
    step: int | None
    """Steps taken; None where that is not known."""
    train_loss: float | None
    """Mean loss of the last steps, nats per token."""
    val_loss: float | None
    """Mean over the validation sequences, nats per token."""
    val_perplexity: float | None
    unigram_entropy: float | None
    """Entropy of the token frequencies of the validation text, nats per token."""
    decay: tuple[LayerDecay, ...] | None
    """λ of each layer; empty for softmax attention."""
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
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A cell's difference to its baseline, as its row of the table shows it."""

    b: str
    """The baseline."""
    difference: float | None
    """The cell minus its baseline; None where they could not be compared."""
    low: float | None
    high: float | None
    """The interval of the comparison that this repeats."""
    verdict: ComparisonVerdict


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A share of right answers with its interval."""

    mean: float
    low: float
    high: float


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
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One cell: its runs together. It has a loss only if all of them finished: none is averaged over the others."""

    name: str
    seeds: tuple[int, ...]
    status: str
    """The state of all its runs, or how many are in which: ``1 diverged, 4 finished``."""
    parameters: int
    learning_rate: float | None = None
    """At which the cell is compared; None unless the study tunes it."""
    val_loss: float | None = None
    """Mean over seeds, nats per token."""
    low: float | None = None
    high: float | None = None
    """95 % interval of ``val_loss``: over seeds, or over validation sequences where there is one seed."""
    val_perplexity: float | None = None
    perplexity_low: float | None = None
    perplexity_high: float | None = None
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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Validation loss of one cell minus that of another, nats per token."""

    a: str
    b: str
    axis: tuple[str, ...]
    """Settings in which the two may differ."""
    differing: tuple[str, ...]
    """Settings in which they do."""
    parameters: int
    """Parameters of ``a`` minus those of ``b``."""
    verdict: ComparisonVerdict
    """By the corrected interval."""
    why: str | None = None
    """Why there is no difference."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """Interval, corrected over the study's comparisons."""
    uncorrected: tuple[float, float] | None = None
    """95 % interval of this comparison alone."""
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    """None where the difference is exact."""
    p: float | None = None
    p_holm: float | None = None
    """Corrected over the study's comparisons."""


@dataclass(frozen=True, kw_only=True)
class AccuracyComparison:
    """Accuracy of one cell minus that of another on the same questions."""

    a: str
    b: str
    task: str
    """``mean`` for the mean over tasks."""
    verdict: ComparisonVerdict
    """By the corrected interval; more is better."""
    why: str | None = None
    """Why there is no difference."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """Interval, corrected over the means, or over the tasks."""
    uncorrected: tuple[float, float] | None = None
    p_holm: float | None = None
    p_mcnemar: float | None = None
    """Of McNemar's exact test on one task, where each cell has one seed."""


@dataclass(frozen=True, kw_only=True)
class ClaimPart:
    """One number that a claim is about."""

    about: str
    """What the number is, in words."""
    effect: float
    low: float | None
    high: float | None
    """Corrected interval; None where the number is exact."""
    wanted: tuple[float | None, float | None]
    """Between which bounds the number must lie; None where there is no bound."""


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """One claim and its verdict. Effect, interval and bounds are those of the part that decided."""

    id: str
    text: str
    """The words of those who claimed it."""
    kind: str
    verdict: ClaimVerdict
    why: str | None = None
    """Why it was not tested."""
    about: str | None = None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    wanted: tuple[float | None, float | None] | None = None
    p_holm: float | None = None
    """Corrected over the study's claims."""
    parts: tuple[ClaimPart, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """The answer of a study at one scale."""

    schema: int = SCHEMA
    study: str
    title: str
    question: str
    scale: str
    axis: tuple[str, ...]
    """Settings in which the cells of a comparison may differ."""
    seeds: tuple[int, ...]
    complete: bool
    """Whether every run finished."""
    notes: tuple[str, ...]
    """What a reader must know about these numbers."""
    unigram_entropy: float | None
    """That of all finished runs; None where they have different ones."""
    tasks: tuple[str, ...]
    """Those that cells were evaluated on."""
    runs: tuple[RunRow, ...]
    cells: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    accuracy_comparisons: tuple[AccuracyComparison, ...]
    claims: tuple[ClaimResult, ...]
    not_run: tuple[str, ...]
    """Cells of the study's file that run only with --all-cells at this scale."""

    @property
    def tuned(self) -> bool:
        """Whether cells were tried at several learning rates."""
        return any(run.learning_rate is not None for run in self.runs)

    @property
    def failures(self) -> tuple[RunRow, ...]:
        """Runs that did not finish."""
        return tuple(run for run in self.runs if run.status != RunState.FINISHED)
