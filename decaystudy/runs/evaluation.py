"""RUN/evaluation.json and the outcome of every question beside it.

evaluation.json         an ``Evaluation``
evaluation/TASK.npz     an array per metric, one value per question

What was measured on other weights than the folder holds now is not a result of this folder: it is never read. In a
folder without weights, as one is that was copied without them, it is believed.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.errors import UserError
from decaystudy.formatting import MISSING
from decaystudy.io import read_mapping, replacing, write_json
from decaystudy.serial import REST, Mismatch, from_plain, to_plain

ACCURACIES = ("acc", "acc_norm", "exact_match")
"""Metrics that count right answers, as lm-eval names them."""
NORMALISED = ("hellaswag", "openbookqa", "arc_challenge")
"""Tasks whose accuracy is by custom that of length-normalised answers, acc_norm."""
STDERR = "_stderr"


@dataclass(frozen=True)
class TaskResult:
    """A model's metrics on one task. In the file the metrics stand beside the other fields."""

    samples: int
    """Questions answered."""
    version: float | str | None = None
    """Of the task, as lm-eval counts."""
    limit: int | None = None
    """Maximum number of questions asked; None for all."""
    questions: str | None = None
    """Hash of the questions in their order: equal where two models were asked the same."""
    lm_eval: str | None = None
    """Version of lm-eval."""
    data: str | None = None
    """Hash of what the questions of the package's own tasks are made from."""
    metrics: dict[str, float | None] = field(default_factory=dict, metadata=REST)
    """By lm-eval's names; a metric's standard error is ``METRIC_stderr``, None where there is none."""

    def values(self) -> dict[str, float]:
        """The metrics that are numbers, without standard errors."""
        return {name: value for name, value in self.metrics.items() if value is not None and not name.endswith(STDERR)}

    def error(self, metric: str) -> float | None:
        """The standard error of a metric."""
        return self.metrics.get(f"{metric}{STDERR}")


@dataclass(frozen=True)
class Validation:
    """Loss of the held-out text in sequences of the training length."""

    loss: float
    """Nats per token."""
    perplexity: float
    loss_stderr: float | None = None
    """Over sequences; None for a single one."""
    perplexity_stderr: float | None = None
    sequences: int | None = None
    tokens: int | None = None
    bits_per_byte: float | None = None
    """The same loss, which unlike nats per token can be compared across tokenizers; None where it was not measured."""
    tokenizer: str | None = None
    """Digest of the tokenizer whose tokens these are."""


@dataclass(frozen=True)
class LengthLoss:
    """Loss of held-out text in sequences of one length."""

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
    loss_stderr: float | None = None
    last_loss_stderr: float | None = None
    sequences: int | None = None


@dataclass(frozen=True)
class PositionLoss:
    """Loss of held-out text at some positions in the sequence."""

    first: int
    last: int
    """Counted too."""
    loss: float
    """Nats per token."""
    loss_stderr: float | None = None
    sequences: int | None = None


@dataclass(frozen=True)
class FileStamp:
    """What tells whether a file of weights has changed."""

    size: int
    modified: int
    """Nanoseconds since 1970."""
    hash: str
    """SHA-256 of the content."""


@dataclass(frozen=True)
class Evaluation:
    """The content of evaluation.json."""

    weights: str | None
    """Hash of the weights that were evaluated."""
    weights_files: dict[str, FileStamp] = field(default_factory=dict)
    """By file name; spares reading files that have not changed."""
    tasks: dict[str, TaskResult] = field(default_factory=dict)
    validation: Validation | None = None
    """None for a model that is not a run's, and before it was measured."""
    lengths: tuple[LengthLoss, ...] | None = None
    """The training length and multiples of it; None where they were not measured."""
    positions: tuple[PositionLoss, ...] | None = None
    """From the first position to the last; None where lengths were not measured."""
    more: dict[str, Any] = field(default_factory=dict, metadata=REST)
    """What a newer version wrote."""


class EvaluationFolder:
    """The evaluation of the model in one folder: a run, or a model in Hugging Face form."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.file = self.path / "evaluation.json"
        self.outcomes = self.path / "evaluation"

    def read(self) -> Evaluation | None:
        """evaluation.json; None if there is none, or if it is of other weights than the folder's.

        Raises:
            UserError: it is something else than an evaluation.
        """
        plain = read_mapping(self.file)
        if plain is None:
            return None
        try:
            held = from_plain(Evaluation, plain)
        except Mismatch as error:
            raise UserError(f"{self.file} is no evaluation ({error}): remove it and evaluate again") from error
        return held if self.weights_hash(held.weights_files) in (held.weights, None) else None

    def start(self) -> Evaluation:
        """What is known of these weights so far, to be added to and given to ``write``."""
        return self.read() or Evaluation(self.weights_hash(), self._stamps())

    def write(self, evaluation: Evaluation) -> None:
        """Replace evaluation.json."""
        write_json(self.file, to_plain(evaluation, omit_none=True))

    def write_outcomes(self, task: str, values: Mapping[str, Sequence[float]]) -> None:
        """Keep the value of each metric for each question."""
        self.outcomes.mkdir(exist_ok=True)
        arrays: dict[str, Any] = {name: np.asarray(v, dtype=np.float64) for name, v in values.items()}
        with replacing(self._outcomes_file(task)) as file:
            np.savez_compressed(file, **arrays)

    def read_outcomes(self, task: str, metric: str) -> NDArray[np.float64] | None:
        """The value of a metric for each question of a task, (samples,); None if they were not kept."""
        try:
            with np.load(self._outcomes_file(task)) as arrays:
                return np.asarray(arrays[metric], dtype=np.float64)
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    def weights_hash(self, known: Mapping[str, FileStamp] | None = None) -> str | None:
        """32 hexadecimal digits of the weights' files; None if there are none.

        Args:
            known: the stamp of each file as it was recorded; a file of the same size and time is taken to have the
                same content.
        """
        digest = hashlib.blake2b(digest_size=16)
        stamps = self._stamps(known)
        for name, stamp in stamps.items():
            digest.update(f"{name} {stamp.hash}\n".encode())
        return digest.hexdigest() if stamps else None

    def _stamps(self, known: Mapping[str, FileStamp] | None = None) -> dict[str, FileStamp]:
        stamps = {}
        for file in sorted(self.path.glob("*.safetensors")):
            status = file.stat()
            size, modified = status.st_size, status.st_mtime_ns
            before = (known or {}).get(file.name)
            if before is None or (before.size, before.modified) != (size, modified):
                with open(file, "rb") as content:
                    before = FileStamp(size, modified, hashlib.file_digest(content, "sha256").hexdigest())
            stamps[file.name] = before
        return stamps

    def _outcomes_file(self, task: str) -> Path:
        return self.outcomes / f"{task.replace('/', '-')}.npz"


def read_evaluation(folder: str | Path) -> Evaluation | None:
    """evaluation.json of a run; None if there is none, or if the run's weights have changed since."""
    return EvaluationFolder(folder).read()


def read_outcomes(folder: str | Path, task: str) -> NDArray[np.float64] | None:
    """Right or wrong, 1 or 0, for each question of a task, (samples,), by the task's usual accuracy; None if the task
    has no accuracy or was not evaluated on the folder's weights."""
    place = EvaluationFolder(folder)
    held = place.read()
    result = None if held is None else held.tasks.get(task)
    name = None if result is None else accuracy_metric(task, result)
    return None if name is None else place.read_outcomes(task, name)


def accuracy_metric(task: str, result: TaskResult) -> str | None:
    """The metric that a task is usually judged by, if it counts right answers."""
    found = [name for name in ACCURACIES if name in result.metrics]
    if "acc_norm" in found and task in NORMALISED:
        return "acc_norm"
    return found[0] if found else None


def mean_accuracy(tasks: Mapping[str, TaskResult]) -> tuple[float, float] | None:
    """Mean of the tasks' usual accuracies, and its standard error; None where no task has one."""
    found = [
        (value, result.error(name) or 0.0)
        for task, result in tasks.items()
        if (name := accuracy_metric(task, result)) is not None and (value := result.metrics[name]) is not None
    ]
    if not found:
        return None
    mean = math.fsum(value for value, _ in found) / len(found)
    return mean, math.sqrt(math.fsum(error**2 for _, error in found)) / len(found)


def task_metrics(task: str, found: Sequence[Evaluation]) -> list[str]:
    """The metrics to show of a task: its perplexity, and its usual accuracy."""
    result = next((evaluation.tasks[task] for evaluation in found if task in evaluation.tasks), None)
    if result is None:
        return []
    usual = accuracy_metric(task, result)
    shown = [name for name in result.values() if name in ("word_perplexity", "perplexity")]
    return [*shown, usual] if usual else shown or list(result.values())[:1]


def with_error(value: float | None, error: float | None) -> str:
    """A metric with its standard error, as text."""
    if value is None:
        return MISSING
    digits = ".4f" if abs(value) <= 1 else ".4g"
    return f"{value:{digits}}" + (f" ± {error:{digits}}" if error is not None else "")
