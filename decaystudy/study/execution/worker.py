"""What runs in the process of a job: fit, or evaluate. The output goes to the run's log.txt.

    python -m decaystudy.study.execution.worker train RUN --layout '{"trainer": {"devices": 2}}'
    python -m decaystudy.study.execution.worker evaluate RUN --tasks offline,piqa
    python -m decaystudy.study.execution.worker evaluate-many     runs and tasks on stdin, one after another

Exit codes: those of ``decaystudy fit``, and 75 if another process holds the run.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import json
import multiprocessing.util
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from decaystudy.errors import STOPPED, UserError, exit_code
from decaystudy.imports import blaming
from decaystudy.output import show_log
from decaystudy.runs.config import RunConfig
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.state import FINAL
from decaystudy.study.execution.jobs import BUSY_EXIT_CODE, SIGNAL_CODE, JobKind
from decaystudy.study.execution.run_names import hash_of
from decaystudy.training.supervisor import end_with_parent, supervised

MODULE = "decaystudy.study.execution.worker"
EVALUATE_MANY = "evaluate-many"
EVALUATION_FAILED = "evaluation failed: "
"""Begins the last line of the log of an evaluation that failed."""
LENGTHS = 32
"""Training lengths of text on which each longer length is measured."""


def fit(folder: str, layout: Mapping[str, Any]) -> int:
    """Train the run in ``folder``, or resume it; returns the exit code.

    Args:
        layout: changes to its settings, nested: {"strategy": "ddp", "trainer": {"devices": 2}}.
    """
    from decaystudy.training.process import train as train_run

    show_log()
    command = [sys.executable, "-m", MODULE, JobKind.TRAIN, folder, "--layout", json.dumps(layout)]

    def train() -> int:
        with blaming():
            return train_run(planned_run(folder, layout), Path(folder), command)

    code = exit_code(train)
    if code == STOPPED:  # 75 means something else here
        return SIGNAL_CODE + signal.SIGUSR1
    # A refusal by a run that somebody trains, or has just finished, is no mistake.
    return BUSY_EXIT_CODE if code == 2 and state_of(RunFolder(folder)) in ("running", *FINAL) else code


def planned_run(folder: str, layout: Mapping[str, Any]) -> RunConfig:
    """The run in ``folder``, if it is still the one that the study planned.

    Raises:
        UserError: code of the user's own, or this package, has changed since.
    """
    from decaystudy.training.process import read_run

    config, planned = read_run(RunFolder(folder), layout), hash_of(Path(folder))
    if planned is not None and planned != config.identity_hash():
        raise UserError(
            f"{folder} was planned before the code of this run, or this package, changed: call the same command again"
        )
    return config


def evaluate(folder: str, tasks: str) -> str | None:
    """Evaluate the run in ``folder`` on what it has not answered yet.

    Returns:
        What went wrong, in a line, which is also the last line of the log; None if nothing did.
    """
    from decaystudy.evaluation.evaluate import evaluate as evaluate_run
    from decaystudy.runs.loading import finished_run

    try:
        with evaluating(folder):
            length = finished_run(folder)[1].data.sequence_length
            evaluate_run(folder, tasks, lengths=True, length_tokens=LENGTHS * length, tell=print)
    except Exception as failure:
        text = str(failure).strip()
        error = text.splitlines()[0] if text else type(failure).__name__
        if not isinstance(failure, UserError):
            traceback.print_exc()
        print(f"{EVALUATION_FAILED}{error}", flush=True)
        return error
    return None


@contextlib.contextmanager
def evaluating(folder: str) -> Iterator[None]:
    """Wait until no other process evaluates the run; of two that do, the second finds it done."""
    with open(Path(folder) / "evaluation.lock", "ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def train_forked(folder: str, layout: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Body of a process forked from one that has imported torch: trains the run in ``folder``, output to its log."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the study's to handle
    os.environ.update(environment)
    redirect(f"{folder}/log.txt")
    try:
        code = fit(folder, layout)
    except BaseException:
        traceback.print_exc()
        code = 1
    # What multiprocessing does at the end of a process: semaphores that the compiler made would be reported as leaked.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def evaluate_many() -> None:
    """Evaluate the run of each line of stdin, ``{"folder": …, "tasks": …}``; answer each with ``{"error": …}``."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:  # JSON in ASCII, whatever the encoding
        asked = json.loads(line)
        redirect(f"{asked['folder']}/log.txt")
        error = evaluate(asked["folder"], asked["tasks"])
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


class Log(io.TextIOWrapper):
    """Text straight to a file descriptor; what cannot be written (a full disk) is lost, and the run continues."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False), "utf-8", "replace", write_through=True)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def redirect(log: str) -> None:
    """Append stdout and stderr to the log; a log that cannot be written loses the output, never the run."""
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    if target > 2:
        os.close(target)
    sys.stdout, sys.stderr = Log(1), Log(2)


def main() -> int:
    """Do the job that the command line names. It is called again for each process of a run on several devices."""
    parser = argparse.ArgumentParser(prog="decaystudy.study.execution.worker", allow_abbrev=False)
    parser.add_argument("kind", choices=[*JobKind, EVALUATE_MANY])
    parser.add_argument("run", nargs="?")
    parser.add_argument("--layout", type=json.loads, default={})
    parser.add_argument("--tasks")
    parser.add_argument("--die-with-parent", action="store_true")
    given = parser.parse_args()
    if given.die_with_parent:
        end_with_parent()
    if given.kind == EVALUATE_MANY:
        evaluate_many()
        return 0
    if not supervised():  # one of a run's several processes has the log already
        redirect(f"{given.run}/log.txt")
    if given.kind == JobKind.TRAIN:
        return fit(given.run, given.layout)
    return 0 if evaluate(given.run, given.tasks) is None else 1


if __name__ == "__main__":
    sys.exit(main())
