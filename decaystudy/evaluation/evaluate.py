"""Evaluates a model: validation perplexity, then lm-eval's tasks one after the other, each kept when it is done."""

from __future__ import annotations

import importlib.metadata
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from decaystudy.checks import MOST_STEPS, check_batch_size, check_whole
from decaystudy.errors import UserError
from decaystudy.evaluation.lm_eval.quiet import quiet
from decaystudy.evaluation.lm_eval.tasks import load_tasks
from decaystudy.evaluation.tasks.catalog import OWN
from decaystudy.evaluation.tasks.compatibility import refuse_model, refuse_settings
from decaystudy.evaluation.tasks.given import Chosen, choose, content_hash
from decaystudy.io import digest
from decaystudy.runs.evaluation import Evaluation, EvaluationFolder, TaskResult

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

    from decaystudy.runs.loading import LoadedRun

log = logging.getLogger("decaystudy")

BOOTSTRAP = 100_000
"""Resamples for standard errors without a formula (perplexities): lm-eval's own number."""
BOOTSTRAP_OWN = 1_000
"""The same for the tasks of this package."""


def evaluate(
    folder: str | Path,
    tasks: str | Sequence[str] | Chosen = "paper",
    *,
    limit: int | None = None,
    batch_size: int | str = "auto",
    lengths: bool = False,
    length_tokens: int | None = None,
    tell: Callable[[str], None] = log.info,
    trusted: bool = False,
) -> Evaluation:
    """Evaluate the model in a folder, and keep the results beside it.

    A task that was evaluated on these weights before is found again; an interrupted evaluation resumes with the next
    task.

    Args:
        folder: a run's, or one with a causal language model in Hugging Face form.
        tasks: groups (paper, offline, recall), tasks of lm-eval and task files, or what ``choose`` made of them.
        limit: maximum number of questions per task.
        batch_size: a number, or auto.
        lengths: also loss by position, and perplexity at multiples of the training length.
        length_tokens: about the maximum number of tokens of each length longer than in training.
        tell: is given a line for each thing done.
        trusted: whether code that a model in Hugging Face form brings or names may be run.

    Returns:
        All that is known of these weights, which evaluation.json holds.

    Raises:
        UserError: there is no model, no such task, or a task's data is not available.
    """
    from decaystudy.hub.from_run import is_hub_folder
    from decaystudy.runs.loading import finished_run

    chosen = tasks if isinstance(tasks, Chosen) else choose(tasks)
    names, hashes = chosen.names, {name: content_hash(path) for name, path in chosen.files.items()}
    check_batch_size(batch_size)
    if limit is not None:
        check_whole("--limit", limit, 1, MOST_STEPS)
    a_run = not is_hub_folder(folder)
    if a_run:
        run_folder, config = finished_run(folder)
        refuse_settings(config, str(run_folder.path), names)
    place = EvaluationFolder(folder)
    found = place.start()
    missing = [name for name in names if not is_done(found.tasks.get(name), name, limit, hashes)]
    want_loss = a_run and (found.validation is None or found.validation.bits_per_byte is None)
    want_lengths = lengths and a_run and found.lengths is None
    if not (missing or want_loss or want_lengths):
        tell(f"{folder} has been evaluated already")
        return found
    with quiet():
        # Before any work, so that missing data is said at once.
        loaded = load_tasks(missing, chosen.files) if missing else {}
    run, model = open_model(folder, batch_size, trusted=trusted)
    if run is None:
        refuse_model(folder, model, loaded)
    if run is not None and (want_loss or want_lengths):
        from decaystudy.evaluation.lengths import measure
        from decaystudy.evaluation.perplexity import held_out_blocks, token_losses, validation

        losses = token_losses(run.model, held_out_blocks(run), reset_after=run.eos_id)
        held_out = validation(run, losses)
        found = replace(found, validation=held_out)
        tell(f"  validation: perplexity {held_out.perplexity:.2f}, {held_out.bits_per_byte:.4f} bits per byte")
        if want_lengths:
            by_length, by_position = measure(run, tokens=length_tokens, validation=losses)
            found = replace(found, lengths=by_length, positions=by_position)
        place.write(found)
    for name in missing:
        try:
            result, outcomes = evaluate_task(model, name, loaded[name], limit)
        except UserError:
            raise
        except Exception as error:
            if name not in chosen.files:
                raise
            raise UserError(f"the task {name} of {chosen.files[name]} fails: {in_a_line(error)}") from error
        if name in hashes:
            result = replace(result, data=hashes[name])
        found = replace(found, tasks={**found.tasks, name: result})
        place.write_outcomes(name, outcomes)
        place.write(found)
        tell(f"  {name}: {told(result)}")
    return found


def open_model(folder: str | Path, batch_size: int | str, *, trusted: bool = False) -> tuple[LoadedRun | None, HFLM]:
    """The run, if the folder is one's, and the model as lm-eval takes it; ``trusted`` as for ``evaluate``."""
    from decaystudy.evaluation.lm_eval.model import language_model
    from decaystudy.hub.from_run import hub_model, hub_tokenizer, is_hub_folder, load_hub_folder
    from decaystudy.runs.loading import load_run

    with quiet():
        if is_hub_folder(folder):
            model, tokenizer = load_hub_folder(folder, trusted=trusted)
            return None, language_model(model, tokenizer, str(batch_size))
        run = load_run(folder)
        return run, language_model(hub_model(run), hub_tokenizer(run), str(batch_size))


def evaluate_task(
    model: HFLM, name: str, task: dict[str, Any], limit: int | None
) -> tuple[TaskResult, dict[str, list[float]]]:
    """A model's metrics on a task, and the value of each metric for each question."""
    import torch
    from lm_eval.evaluator import evaluate as lm_evaluate

    random.seed(0)  # the seeds of lm-eval's own command line
    np.random.seed(1234)
    torch.manual_seed(1234)
    with quiet(name):
        found: Any = lm_evaluate(
            lm=model, task_dict=task, limit=limit, bootstrap_iters=BOOTSTRAP_OWN if name in OWN else BOOTSTRAP
        )
    results, versions = found["results"], found["versions"]
    metrics: dict[str, float | None] = {}
    for key, value in results[name].items():
        metric, comma, kind = key.partition(",")
        if comma:
            label = metric if kind == "none" else key
            metrics[label] = as_number(value)  # "N/A" where there is no standard error
    outcomes: dict[str, list[float]] = {}
    questions = []
    for sample in found.get("samples", {}).get(name, []):
        questions.append(sample["doc_hash"])
        for metric in sample["metrics"]:
            number = as_number(sample[metric])
            if number is not None:
                outcomes.setdefault(metric, []).append(number)
    result = TaskResult(
        samples=results[name].get("sample_len", len(questions)),
        version=versions.get(name),
        limit=limit,
        questions=digest(questions),
        lm_eval=importlib.metadata.version("lm_eval"),
        data=data_of(name) if name in OWN else None,
        metrics=metrics,
    )
    return result, outcomes


def as_number(value: Any) -> float | None:
    """A question's outcome as a number: right or wrong, or the log-likelihood of (log-likelihood, words)."""
    if isinstance(value, (bool, int, float, np.number)):
        return float(value)
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], (int, float)):
        return float(value[0])
    return None


def is_done(result: TaskResult | None, name: str, limit: int | None, hashes: Mapping[str, str] | None = None) -> bool:
    """Whether a task's result answers what is asked now.

    Args:
        hashes: of the tasks that are files of the user's own, what decides their questions.
    """
    if result is None or result.limit != limit:
        return False
    return result.data == (data_of(name) if name in OWN else (hashes or {}).get(name))


def in_a_line(error: Exception) -> str:
    """What went wrong in code or a file of the user's own: the kind of error, and the first line of what it says."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}{f', {said[0]}' if said else ''}"


def data_of(name: str) -> str:
    """What the questions of one of the package's own tasks are made from, as a hash."""
    from decaystudy.evaluation.tasks.files import group_of, identity

    return digest(identity(group_of(name)))[:12]


def told(result: TaskResult) -> str:
    """The metrics of a task in a line."""
    parts = []
    for name, value in result.values().items():
        error = result.error(name)
        parts.append(f"{name} {value:.4g}" + (f" ± {error:.2g}" if error is not None else ""))
    return ", ".join(parts) + f" ({result.samples} questions)"
