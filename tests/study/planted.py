"""Finished runs with known effects, written where ``fit`` would have written them."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from decaystudy.data.pins import known_pins
from decaystudy.runs.evaluation import Evaluation, EvaluationFolder, TaskResult
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.analyse import analyse
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.execution.outcomes import read_outcomes
from decaystudy.study.execution.store import Store
from decaystudy.versions import semantics

DOCUMENTS = 80
QUESTIONS = 400
TOKENS = 64
BYTES_PER_TOKEN = 4.0
ENTROPY = 5.0
DATA = {"source": "planted", "revision": "1", "tokenizer_digest": "words", "validation_digest": "documents"}


def plant(
    study: Study,
    store: Store,
    effects: Mapping[str, float],
    *,
    decays: Mapping[str, Sequence[float]] | None = None,
    starts: Mapping[str, Sequence[float]] | None = None,
    seed_noise: float = 0.002,
    shared_noise: float = 0.01,
    document_noise: float = 0.01,
    rest: float = 0.02,
    data: Mapping[str, Mapping[str, Any]] | None = None,
    at_trial: Callable[[Run], float] = lambda run: 0.0,
    runs: Sequence[Run] | None = None,
    key: int = 0,
) -> None:
    """Give each cell the loss 3 + effect, with noise of seeds (shared by cells, and of each), documents (shared, and as
    cells see them) and the rest.

    Args:
        decays: median λ of each layer at the end, by cell.
        starts: the same at step 0; 0.99 in each layer unless given.
        data: what a cell's runs record of their data, where that differs from the others.
        at_trial: what a run's loss is above that of its cell.
        runs: all that the study knows, unless given. Those that serve to tune have other documents.
    """
    rng = np.random.default_rng(key)
    common = rng.normal(0, 0.5, DOCUMENTS)
    tastes = {cell.name: rng.normal(0, document_noise, DOCUMENTS) for cell in study.cells}
    shared = {seed: rng.normal(0, shared_noise) for seed in study.seeds}
    shared |= {seed: rng.normal(0, shared_noise) for seed in study.tuning_seeds}
    for run in study.runs() if runs is None else runs:
        loss = 3 + effects.get(run.cell, 0.0) + common + tastes[run.cell] - tastes[run.cell].mean()
        loss = loss + shared[run.seed] + rng.normal(0, seed_noise) + rng.normal(0, rest, DOCUMENTS)
        loss += at_trial(run)
        folder = store.claim(run)
        write_losses(folder, loss)
        medians = (decays or {}).get(run.cell, [0.7, 0.8, 0.9])
        wobble = rng.normal(0, 0.002, len(medians))
        mean = float(loss.mean())
        folder.write_result(
            RunResult(
                status=RunState.FINISHED,
                step=run.config.max_steps,
                tokens=run.config.tokens,
                train_loss=mean,
                val_loss=mean,
                val_perplexity=float(np.exp(mean)),
                unigram_entropy=ENTROPY,
                seconds=1.0,
                tokens_per_second=1000.0,
                decay=layers([m + w for m, w in zip(medians, wobble, strict=True)]),
                decay_start=layers((starts or {}).get(run.cell, [0.99] * len(medians))),
                data={
                    **DATA,
                    **pins(run),
                    **({"validation_digest": "tuning documents"} if run.tuning else {}),
                    **(data or {}).get(run.cell, {}),
                },
                version=semantics(),
                code=run.config.code(),
                identity=run.hash,
            )
        )
        folder.write_status("finished", step=run.config.max_steps)


def write_answers(folder: RunFolder, shares: Mapping[str, float], key: int, *, questions: str = "q") -> Evaluation:
    """Answers that are right with a task's probability, the same luck for every cell; returns what was written.

    Args:
        key: of what is a run's own luck.
        questions: hash of the questions.
    """
    folder.weights.write_bytes(b"weights")
    place = EvaluationFolder(folder.path)
    results = {}
    for number, (task, share) in enumerate(shares.items()):
        luck = np.random.default_rng(number).random(QUESTIONS)
        own, shared = np.random.default_rng([key, number]).random((2, QUESTIONS))
        right = (np.where(shared < 0.8, luck, own) < share).astype(float)
        place.write_outcomes(task, {"acc": right.tolist()})
        error = float(right.std(ddof=1) / np.sqrt(QUESTIONS))
        metrics = {"acc": float(right.mean()), "acc_stderr": error}
        results[task] = TaskResult(QUESTIONS, version=1.0, questions=questions, metrics=metrics)
    found = replace(place.start(), tasks=results)
    place.write(found)
    return found


def pins(run: Run) -> dict[str, str]:
    """What the run's data is here, so that the run may be used again."""
    key = json.dumps(dataclasses.asdict(run.config.data))
    if key not in _PINS:
        _PINS[key] = known_pins(run.config.data)
    return _PINS[key]


_PINS: dict[str, dict[str, str]] = {}


def write_losses(folder: RunFolder, loss: np.ndarray) -> None:
    """The loss of each document, (documents,), nats per token."""
    tokens = np.full(len(loss), TOKENS)
    np.save(folder.validation_loss, loss)
    np.savez(folder.validation_documents, nll=loss * tokens, tokens=tokens, bytes=tokens * BYTES_PER_TOKEN)


def read_losses(folder: RunFolder) -> np.ndarray:
    """The loss of each document, (documents,), nats per token."""
    with np.load(folder.validation_documents) as arrays:
        return np.asarray(arrays["nll"] / arrays["tokens"])


def layers(medians: Sequence[float]) -> tuple[LayerDecay, ...]:
    """Layers with these medians of λ."""
    inside = [min(1.0, max(0.0, median)) for median in medians]
    return tuple(LayerDecay(i, median=m, q25=m / 2, q75=(m + 1) / 2, mean=m) for i, m in enumerate(inside))


def answer_of(study: Study, store: Store) -> StudyResults:
    """The study's answer, from what the store holds."""
    return analyse(study, read_outcomes(study, store))
