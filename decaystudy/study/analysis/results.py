"""What a study's answer is: the content of results.json, from which tables, figures and reports are made. Needs no
torch.

A seed is a sample, as a document is. So one seed gives differences of checkpoints and no verdict; intervals of a family
hold together with the probability that it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from decaystudy.runs.evaluation import TaskResult
from decaystudy.runs.result import LayerDecay
from decaystudy.runs.state import RunState
from decaystudy.serial import REST
from decaystudy.statistics.claims import ClaimVerdict

SCHEMA = 2
"""Raised whenever a field of results.json changes its meaning or goes; a new field with a default needs no raise."""


class ComparisonVerdict(StrEnum):
    """What the first cell of a comparison is, beside the second: a verdict of ``decaystudy.statistics``, or none."""

    ONE_SEED = "one seed"
    """The difference is that of two checkpoints."""
    EQUIVALENT = "equivalent"
    """Within the margin of the study's claims on the pair."""
    BETTER = "better"
    WORSE = "worse"
    NOT_RESOLVED = "not resolved"
    FEW_DOCUMENTS = "few documents"
    INCOMPLETE = "incomplete"
    """There is no difference to judge; ``why`` says why."""


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
    """None unless a search tries it."""
    trial: dict[str, Any] | None = None
    """Settings that a search tries, by name; None for a study that doesn't search."""
    chosen: bool | None = None
    """Whether the cell is compared at this trial; None for a study that doesn't search."""
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
    tokenizer: str | None = None
    """Digest of the tokenizer of a finished run."""
    documents: str | None = None
    """Hash of the held-out documents that a finished run was judged on."""
    cost: Cost


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
    perplexity: float


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One cell: its runs together. A cell that diverged under one seed has no loss: the others are no mean of it."""

    name: str
    seeds: tuple[int, ...]
    status: str
    """The state of all its runs, or how many are in which: ``1 diverged, 4 finished``."""
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


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What two cells differ by, and what is known of it."""

    verdict: ComparisonVerdict
    """By the interval alone."""
    why: str | None = None
    """Why there is no difference."""
    difference: float | None = None
    """With one seed, of these two checkpoints."""
    low: float | None = None
    high: float | None = None
    """Simultaneous interval; None where nothing bounds the difference: with one seed, or two seeds of few cells."""
    resolvable: float | None = None
    """The true difference that would be called better or worse with a probability of 0.8."""
    margin: float | None = None
    """Differences below it are called equivalent; None where no claim on the pair has one."""
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    """None where the standard error is exact, or unknown."""
    critical: float | None = None
    """Of the family: the interval is difference ± critical · standard error."""
    unit: str | None = None
    seeds: int = 0
    """That the difference rests on."""
    documents: int | None = None
    """Held-out documents, or questions."""
    notes: tuple[str, ...] = ()
    """What a reader of this row should know."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Judgement):
    """Validation loss of one cell minus that of another: nats per token, or bits per byte across tokenizers."""

    a: str
    b: str
    axis: tuple[str, ...]
    """Settings in which the two may differ."""
    differing: tuple[str, ...]
    """Settings in which they do."""
    parameters: int
    """Parameters of ``a`` minus those of ``b``."""
    bits_per_byte: float | None = None
    """The difference in bits per byte."""


@dataclass(frozen=True, kw_only=True)
class AccuracyComparison(Judgement):
    """Accuracy of one cell minus that of another on the same questions; more is better."""

    a: str
    b: str
    task: str
    """``mean`` for the mean over tasks."""


@dataclass(frozen=True, kw_only=True)
class ClaimPart:
    """One number that a claim is about."""

    about: str
    """What the number is, in words."""
    verdict: ClaimVerdict
    why: str | None = None
    """Of a part that is not judged."""
    effect: float | None = None
    """None where there is none."""
    low: float | None = None
    high: float | None = None
    """Simultaneous interval; None where nothing bounds the effect."""
    standard_error: float | None = None
    """None also for an effect that is shown on another scale than it is judged on."""
    resolvable: float | None = None
    seeds: int = 0
    wanted: tuple[float | None, float | None]
    """Between which bounds the number must lie; None where there is no bound."""
    outside: bool = False
    """Whether it must lie outside these bounds."""


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """One claim and its verdict."""

    id: str
    text: str
    """The words of those who claimed it."""
    kind: str
    verdict: ClaimVerdict
    why: str | None = None
    """Why it is not judged."""
    decisive: ClaimPart | None = None
    """The part that decided, or that stands in the way of a verdict."""
    parts: tuple[ClaimPart, ...] = ()

    @property
    def words(self) -> str:
        """The verdict, and why there is none."""
        return f"{self.verdict} ({self.why})" if self.why else str(self.verdict)


@dataclass(frozen=True, kw_only=True)
class Family:
    """Effects whose intervals hold together, and what they can resolve."""

    unit: str
    level: float
    effects: int
    """Different pairs."""
    seeds: tuple[int, ...]
    """That all cells with an interval have; empty where none has one."""
    documents: int | None
    """Held-out documents or questions; None where they differ, or there are none."""
    critical: float | None
    """None where nothing has an interval."""
    resolvable: tuple[float, float] | None
    """Least and greatest over the effects."""
    margin: float | None
    """The smallest that a claim asks for."""
    seeds_for_margin: int | None
    """About so many seeds would resolve the margin; None where none do, or nothing is known."""
    notes: tuple[str, ...] = ()
    """What a reader of all its rows should know."""


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
    loss_family: Family
    accuracy_family: Family | None = None
    """None unless cells were evaluated."""
    decay_family: Family | None = None
    """None without claims on λ."""
    not_run: tuple[str, ...] = ()
    """Cells of the study's file that run only with --all-cells at this scale."""

    @property
    def tokenizers(self) -> int:
        """How many different tokenizers the finished runs have; losses per token compare those of one only."""
        return len({run.tokenizer for run in self.runs if run.tokenizer is not None})

    @property
    def unit(self) -> str:
        """Of the comparisons of losses that a figure shows together."""
        return "bits per byte" if self.tokenizers > 1 else "nats per token"

    @property
    def tuned(self) -> bool:
        """Whether cells were tried at several learning rates."""
        return any(run.trial is not None for run in self.runs)

    @property
    def failures(self) -> tuple[RunRow, ...]:
        """Runs that did not finish."""
        return tuple(run for run in self.runs if run.status != RunState.FINISHED)
