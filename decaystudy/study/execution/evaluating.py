"""Evaluates the finished runs of a study: a few processes, each of which imports once and takes one run after another.

Needs no torch itself; ``python -m decaystudy.study.execution.evaluating`` is what runs in those processes.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from decaystudy.evaluation.tasks.catalog import OWN, PAPER, resolve
from decaystudy.evaluation.tasks.compatibility import refuse_settings
from decaystudy.formatting import duration
from decaystudy.runs.config import RunConfig
from decaystudy.runs.evaluation import mean_accuracy, read_evaluation
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.scheduler import last_line
from decaystudy.study.execution.store import Store
from decaystudy.study.execution.worker import die_with_parent, redirect

LENGTHS = 32
"""Training lengths of text on which each longer length is measured."""


def tasks_of(study: Study) -> str:
    """What a study's cells are evaluated on: what its file says, else what fits its text."""
    if study.spec.evaluate is not None:
        return study.spec.evaluate
    sources = {cell.config.data.source for cell in study.cells}
    return {"python-docs": "offline", "recall": "recall"}.get(sources.pop(), "paper") if len(sources) == 1 else "paper"


def refuse_tasks(study: Study, tasks: str) -> None:
    """Refuse, before anything is trained, tasks that a cell can't be asked.

    Raises:
        UserError: which task, which cell, and why.
    """
    advice = f"name other tasks under evaluate: in {study.spec.file}"
    for cell in study.cells:
        refuse_settings(cell.config, f"the cell {cell.name}", resolve(tasks), advice)


def refuse_unknown_tasks(tasks: Iterable[str]) -> None:
    """Refuse names that lm-eval doesn't know; asked only about names that aren't in the package's groups, since lm-eval
    takes seconds to say.

    Raises:
        UserError: the name, and the nearest that there is.
    """
    names = [name for some in tasks for name in resolve(some) if name not in PAPER and name not in OWN]
    if names:
        from decaystudy.evaluation.lm_eval.quiet import quiet
        from decaystudy.evaluation.lm_eval.tasks import task_manager

        with quiet():
            task_manager(names)


def evaluate_runs(
    runs: Sequence[Run], store: Store, tasks: str, launcher: LocalLauncher, say: Callable[[str], None]
) -> dict[str, str]:
    """Evaluate what is finished and not evaluated yet; returns, by hash, the runs that could not be, and why."""
    todo = [
        (run, folder)
        for run in runs
        if (folder := store.find(run)) is not None
        and state_of(folder) == "finished"
        and not is_evaluated(folder, tasks)
    ]
    if not todo:
        return {}
    slots = min(len(todo), launcher.slots([run for run, _ in todo]))
    say(f"evaluating {len(todo)} runs on {', '.join(resolve(tasks))}")
    waiting: queue.SimpleQueue[tuple[Run, RunFolder]] = queue.SimpleQueue()
    for item in todo:
        waiting.put(item)
    trouble: dict[str, str] = {}
    devices = list(launcher.gpus) if launcher.on_gpu([run for run, _ in todo]) else []
    workers = [start(tasks, devices[i % len(devices)] if devices else None) for i in range(slots)]
    threads = [threading.Thread(target=feed, args=(worker, waiting, say, trouble), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # in pieces, so that Ctrl-C is heard
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    while not waiting.empty():
        trouble[waiting.get_nowait()[0].hash] = "every evaluating process ended before its turn came"
    return trouble


def start(tasks: str, gpu: str | None) -> subprocess.Popen[str]:
    """A process that evaluates each folder that is written to it and answers with a line."""
    environment = dict(os.environ)
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    return subprocess.Popen(
        [sys.executable, "-m", "decaystudy.study.execution.evaluating", tasks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )


def feed(
    worker: subprocess.Popen[str],
    waiting: queue.SimpleQueue[tuple[Run, RunFolder]],
    say: Callable[[str], None],
    trouble: dict[str, str],
) -> None:
    """Give a worker one run after another until none is left or it dies."""
    assert worker.stdin is not None and worker.stdout is not None
    while True:
        try:
            run, folder = waiting.get_nowait()
        except queue.Empty:
            return
        started = time.monotonic()
        try:
            worker.stdin.write(f"{folder.path}\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except OSError:
            answer = ""
        error = json.loads(answer)["error"] if answer else last_line(folder, worker.poll())
        if error is None:
            mean = mean_accuracy(held.tasks if (held := read_evaluation(folder.path)) else {})
            text = "" if mean is None else f": mean accuracy {mean[0]:.4f}"
            say(f"  ✔ {run.name} evaluated in {duration(time.monotonic() - started)}{text}")
        else:
            trouble[run.hash] = error
            say(f"  ✘ {run.name} not evaluated: {error}")
        if not answer:
            return


def is_evaluated(folder: RunFolder, tasks: str) -> bool:
    """Whether the run has answered all of the tasks with the weights that it has."""
    from decaystudy.evaluation.evaluate import is_done

    held = read_evaluation(folder.path)
    if held is None or held.validation is None:
        return False
    return all(is_done(held.tasks.get(name), name, None) for name in resolve(tasks))


def main() -> int:
    """Evaluate each folder named on a line of stdin; answer each with a line of JSON."""
    die_with_parent()
    tasks = sys.argv[1]
    answers: Any = os.fdopen(os.dup(1), "w", encoding="utf-8")
    from decaystudy.errors import UserError
    from decaystudy.evaluation.evaluate import evaluate

    for line in sys.stdin:
        folder = line.rstrip("\n")
        redirect(f"{folder}/log.txt")
        error = None
        try:
            length = RunConfig.from_dict(RunFolder(folder).read_config() or {}).data.sequence_length
            evaluate(folder, tasks, lengths=True, length_tokens=LENGTHS * length, tell=print)
        except Exception as failure:
            error = str(failure).strip().splitlines()[0] if str(failure).strip() else type(failure).__name__
            if not isinstance(failure, UserError):
                traceback.print_exc()
            print(f"evaluation failed: {error}")
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
