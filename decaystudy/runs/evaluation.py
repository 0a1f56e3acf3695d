"""RUN/evaluation.json and the outcome of every question beside it. Needs no torch.

evaluation.json         ``weights`` (their hash), ``tasks`` ({task: {metric: value, metric_stderr: value, samples,
                        version, …}}), ``validation`` (loss and perplexity on held-out text), ``positions`` and
                        ``lengths`` (loss against position and sequence length) where these were measured
evaluation/TASK.npz     an array a metric, one value a question

What was measured on other weights than the folder holds now is not a result of this folder: it is never read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.formatting import MISSING
from decaystudy.io import read_mapping, write_json

ACCURACIES = ("acc", "acc_norm", "exact_match")
"""Metrics that count right answers, as lm-eval names them."""
NORMALISED = ("hellaswag", "openbookqa", "arc_challenge")
"""Tasks whose accuracy is by custom that of length-normalised answers, acc_norm."""
_FACTS = ("samples", "version", "limit", "questions", "lm_eval")


class EvaluationFolder:
    """The evaluation of the model in one folder: a run, or a model in Hugging Face form."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file = self.path / "evaluation.json"
        self.outcomes = self.path / "evaluation"

    def read(self) -> dict[str, Any] | None:
        """evaluation.json; None if there is none, or if it is of other weights than the folder's."""
        held = read_mapping(self.file)
        if held is None or held.get("weights") != self.weights_hash(held.get("weights_files")):
            return None
        return held

    def start(self) -> dict[str, Any]:
        """What is known of these weights so far, to be added to and given to ``write``."""
        return self.read() or {"weights": self.weights_hash(), "weights_files": self._stamps(), "tasks": {}}

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace evaluation.json."""
        write_json(self.file, dict(values))

    def write_outcomes(self, task: str, values: Mapping[str, Sequence[float]]) -> None:
        """Keep the value of each metric for each question."""
        self.outcomes.mkdir(exist_ok=True)
        target = self._outcomes_file(task)
        draft = target.with_name(f".{target.name}.draft")
        with open(draft, "wb") as file:
            arrays: dict[str, Any] = {name: np.asarray(v, dtype=np.float64) for name, v in values.items()}
            np.savez_compressed(file, **arrays)
        draft.replace(target)

    def read_outcomes(self, task: str, metric: str) -> NDArray[np.float64] | None:
        """The value of a metric for each question of a task, (samples,); None if they were not kept."""
        try:
            with np.load(self._outcomes_file(task)) as arrays:
                return arrays[metric]
        except (OSError, KeyError, ValueError):
            return None

    def weights_hash(self, known: Mapping[str, Any] | None = None) -> str | None:
        """32 hexadecimal digits of the weights' files; None if there are none.

        Args:
            known: size, time and hash of each file as they were recorded; a file that has the same size and time is
                taken to have the same content.
        """
        digest = hashlib.blake2b(digest_size=16)
        stamps = self._stamps(known)
        for name, stamp in stamps.items():
            digest.update(f"{name} {stamp['hash']}\n".encode())
        return digest.hexdigest() if stamps else None

    def _stamps(self, known: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        stamps = {}
        for file in sorted(self.path.glob("*.safetensors")):
            status = file.stat()
            stamp = {"size": status.st_size, "modified": status.st_mtime_ns}
            before = (known or {}).get(file.name) or {}
            if any(before.get(key) != value for key, value in stamp.items()):
                with open(file, "rb") as content:
                    before = {"hash": hashlib.file_digest(content, "sha256").hexdigest()}
            stamps[file.name] = {**stamp, "hash": before["hash"]}
        return stamps

    def _outcomes_file(self, task: str) -> Path:
        return self.outcomes / f"{task.replace('/', '-')}.npz"


def read_evaluation(folder: str | Path) -> dict[str, Any] | None:
    """evaluation.json of a run; None if there is none, or if the run's weights have changed since."""
    return EvaluationFolder(folder).read()


def read_outcomes(folder: str | Path, task: str) -> NDArray[np.float64] | None:
    """Right or wrong, 1 or 0, for each question of a task, (samples,), by the task's usual accuracy; None if the task
    has no accuracy or was not evaluated on the folder's weights."""
    evaluation = EvaluationFolder(folder)
    held = (evaluation.read() or {}).get("tasks", {}).get(task)
    name = accuracy_metric(task, held or {})
    return None if name is None else evaluation.read_outcomes(task, name)


def accuracy_metric(task: str, row: Mapping[str, Any]) -> str | None:
    """The metric that a task is usually judged by, if it counts right answers."""
    found = [name for name in ACCURACIES if name in row]
    if "acc_norm" in found and task in NORMALISED:
        return "acc_norm"
    return found[0] if found else None


def accuracies(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The usual accuracy of each task that has one."""
    return {task: row[name] for task, row in tasks.items() if (name := accuracy_metric(task, row)) is not None}


def mean_accuracy(tasks: Mapping[str, Mapping[str, Any]]) -> tuple[float, float] | None:
    """Mean of the tasks' usual accuracies, and its standard error; None where no task has one."""
    rows = [(row, name) for task, row in tasks.items() if (name := accuracy_metric(task, row)) is not None]
    if not rows:
        return None
    errors = [row.get(f"{name}_stderr") or 0.0 for row, name in rows]
    return (
        math.fsum(row[name] for row, name in rows) / len(rows),
        math.sqrt(math.fsum(error**2 for error in errors)) / len(rows),
    )


def metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a task's row, without standard errors and facts."""
    return {name: value for name, value in row.items() if name not in _FACTS and not name.endswith("_stderr")}


def task_metrics(task: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The metrics to show of a task: its perplexity, and its usual accuracy."""
    row: Mapping[str, Any] = next((values["tasks"][task] for values in found.values() if task in values["tasks"]), {})
    usual = accuracy_metric(task, row)
    shown = [name for name in metrics(row) if name in ("word_perplexity", "perplexity")]
    return [*shown, usual] if usual else shown or list(metrics(row))[:1]


def number(row: Mapping[str, Any], metric: str) -> str:
    """A metric with its standard error."""
    value, error = row.get(metric), row.get(f"{metric}_stderr")
    if not isinstance(value, (int, float)):
        return MISSING
    digits = ".4f" if abs(value) <= 1 else ".4g"
    return f"{value:{digits}}" + (f" ± {error:{digits}}" if isinstance(error, (int, float)) else "")
