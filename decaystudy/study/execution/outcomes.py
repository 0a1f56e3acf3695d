"""What the store has of each run of a study: all reading that analysis and status need."""

from __future__ import annotations

import dataclasses
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.metrics import bits_per_byte
from decaystudy.runs.evaluation import Evaluation, EvaluationFolder, accuracy_metric
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.definition.judged import JudgedRun
from decaystudy.study.execution.endings import last_line
from decaystudy.study.execution.store import Store

Values = NDArray[np.float64]
MOST_BYTES = 2**29
"""Of losses by document: those of 20 million documents."""
ANEW = "{}: remove its result.json and run the study again, which finishes it from its last checkpoint"


@dataclass(frozen=True)
class DocumentLosses:
    """A run's loss on each held-out document."""

    nll: Values
    """(documents,) summed negative log-likelihood in nats."""
    tokens: Values
    """(documents,) predicted tokens."""
    bytes: Values
    """(documents,) UTF-8 bytes of text that these tokens spell."""


@dataclass(frozen=True)
class Outcome:
    """One run and what is on disk of it, read once."""

    run: JudgedRun
    state: RunState
    message: str = ""
    """Why it did not finish, where that is known."""
    result: RunResult | None = None
    """result.json: of a finished or diverged run."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """status.json; empty where there is none."""
    folder: RunFolder | None = None
    path: str | None = None
    """The folder below --out, so that a store may be moved; None where the run has none."""
    log: str | None = None
    """Path of its log; None where there is none, and for a finished run."""
    documents: DocumentLosses | None = None
    """None unless finished and read; runs of earlier versions have none."""
    evaluation: Evaluation | None = None
    """None unless finished, evaluated and read."""
    answers: Mapping[str, Values] = field(default_factory=dict)
    """By task that counts right answers: 1 or 0 for each question, (questions,)."""

    @property
    def finished(self) -> bool:
        return self.state == RunState.FINISHED

    @property
    def val_loss(self) -> float:
        """The validation loss of a finished run, nats per token."""
        assert self.result is not None and self.result.val_loss is not None
        return self.result.val_loss

    @property
    def decay(self) -> tuple[LayerDecay, ...]:
        """λ of each layer of a finished run; empty for softmax attention."""
        return self.result.decay if self.result else ()


def read_outcomes(study: Study, store: Store, failures: Mapping[str, str] = {}) -> list[Outcome]:
    """Every run of the study with its losses by document and answers; those whose settings are not chosen are planned.

    Args:
        failures: by hash, the runs that could not even start, or not write down how they ended, with the reason.

    Raises:
        UserError: a file is not what it should be.
    """
    return [read_outcome(run, store, failures) for run in [*study.runs(), *study.pending_runs()]]


def read_outcome(run: Run, store: Store, failures: Mapping[str, str] = {}, *, numbers: bool = True) -> Outcome:
    """What the store has of a run.

    Args:
        failures: as for ``read_outcomes``.
        numbers: also losses and answers, for which larger files are read.
    """
    folder = store.find(run)
    failure = failures.get(run.hash)
    if folder is None:
        return Outcome(run, RunState.PLANNED if failure is None else RunState.FAILED, failure or "")
    state, result, status = state_of(folder), folder.read_result(), folder.read_status()
    message = str(status.get("message") or (result.message if result else None) or "")
    missing = what_is_missing(folder, result) if state == RunState.FINISHED else None
    if missing is not None:
        state, message = RunState.FAILED, ANEW.format(missing)
    if failure is not None:
        state, message = RunState.FAILED, failure
    if state == RunState.FAILED and not message:
        message = last_line(folder, None)
    log = str(folder.log) if state != RunState.FINISHED and folder.log.exists() else None
    known = Outcome(run, state, message, result, status, folder, store.relative(folder), log)
    return with_numbers(known, folder) if numbers and known.finished else known


def what_is_missing(folder: RunFolder, result: RunResult | None) -> str | None:
    """What a finished run lacks of what it must have left; None for a whole one."""
    loss = None if result is None else result.val_loss
    if loss is None:
        return "its result holds no validation loss"
    if not 0 <= loss < math.inf:
        return f"its result holds a validation loss of {loss}"
    return None if folder.validation_loss.exists() else f"its {folder.validation_loss.name} is missing"


def with_numbers(outcome: Outcome, folder: RunFolder) -> Outcome:
    """A finished run with its losses and answers."""
    place = EvaluationFolder(folder.path)
    evaluation = place.read()
    answers = {}
    for task, result in evaluation.tasks.items() if evaluation else ():
        metric = accuracy_metric(task, result)
        values = None if metric is None else place.read_outcomes(task, metric)
        if values is not None:
            answers[task] = values
    try:
        documents = read_documents(folder)
        if documents is not None and not are_of(documents, outcome.result):
            raise ValueError(ANEW.format(f"its {folder.validation_documents.name} holds other losses than its result"))
    except ValueError as error:
        return dataclasses.replace(outcome, state=RunState.FAILED, message=str(error))
    return dataclasses.replace(outcome, documents=documents, evaluation=evaluation, answers=answers)


def are_of(documents: DocumentLosses, result: RunResult | None) -> bool:
    """Whether losses by document are those that a result was made from, as far as it tells."""
    told = None if result is None else result.val_bits_per_byte
    return told is None or math.isclose(bits_per_byte(documents.nll, documents.bytes), told, rel_tol=1e-9)


def read_documents(folder: RunFolder) -> DocumentLosses | None:
    """validation_documents.npz; None where there is none, as of runs of earlier versions.

    Raises:
        ValueError: it means nothing, with what to do.
    """
    file = folder.validation_documents
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size <= MOST_BYTES:
            with np.load(file) as arrays:
                nll, tokens, sizes = (np.asarray(arrays[name], dtype=np.float64) for name in ("nll", "tokens", "bytes"))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"its {file.name} cannot be read ({reason}): mend that and run the study again") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(ANEW.format(f"its {file.name} is damaged")) from error
    if size > MOST_BYTES:
        raise ValueError(ANEW.format(f"its {file.name} holds more than any losses by document"))
    whole = nll.ndim == 1 and len(nll) > 0 and nll.shape == tokens.shape == sizes.shape
    if not whole or not np.isfinite(nll).all() or (nll < 0).any() or (tokens <= 0).any():
        raise ValueError(ANEW.format(f"its {file.name} holds no losses"))
    return DocumentLosses(nll, tokens, sizes)
