"""The processes of the local launcher: forked, fresh, or kept for one evaluation after another."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from decaystudy.errors import Failure
from decaystudy.study.execution.jobs import Job, JobReport, JobState
from decaystudy.study.execution.worker import EVALUATE_MANY

ORPHANED = 255
"""What multiprocessing gives as the exit code of a process whose own parent, the server of forks, has died."""

REFUSED_SECONDS, MOST_REFUSED_SECONDS = 0.05, 10.0
"""Between two tries to reach the server of forks, and for how long it may refuse."""


class JobProcess(Protocol):
    """A process that does a job."""

    gpus: tuple[str, ...]
    """GPUs that it holds."""
    pid: int

    def report(self) -> JobReport:
        """How the job does."""
        ...

    def stop(self) -> None:
        """Ask it to end in order."""
        ...

    def end(self) -> None:
        """Kill it and wait for it."""
        ...

    def waitable(self) -> int | None:
        """A file descriptor that becomes readable when the job ends; None if there is none."""
        ...


class Forked:
    """A process forked from one that has imported torch."""

    def __init__(self, process: BaseProcess, gpus: tuple[str, ...] = ()) -> None:
        self.gpus = gpus
        self._process = process
        start_forked(process)
        assert process.pid is not None
        self.pid = process.pid

    def report(self) -> JobReport:
        code = self._process.exitcode
        if code == ORPHANED:
            return JobReport(JobState.KILLED, "killed with the process that it was forked from")
        return JobReport(JobState.RUNNING) if code is None else ended(code)

    def stop(self) -> None:
        kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        kill(self.pid)
        self._process.join()

    def waitable(self) -> int | None:
        return int(self._process.sentinel)


class Fresh:
    """A process with an interpreter of its own."""

    def __init__(self, command: list[str], environment: Mapping[str, str], gpus: tuple[str, ...]) -> None:
        self.gpus = gpus
        self._process = start(command, environment, gpus, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.pid = self._process.pid

    def report(self) -> JobReport:
        code = self._process.poll()
        return JobReport(JobState.RUNNING) if code is None else ended(code)

    def stop(self) -> None:
        kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        kill(self.pid)
        self._process.wait()

    def waitable(self) -> int | None:
        return None


class Evaluator:
    """A process that imports once, and evaluates one run after another."""

    def __init__(self, environment: Mapping[str, str], gpus: tuple[str, ...]) -> None:
        self.gpus = gpus
        command = [sys.executable, "-m", "decaystudy.study.execution.worker", EVALUATE_MANY, "--die-with-parent"]
        self._process = start(command, environment, gpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        self._answer: JobReport | None = None

    def take(self, job: Job) -> None:
        """Evaluate the run of this job; the one before must have ended."""
        assert self._process.stdin is not None
        self._answer = None
        self._process.stdin.write(json.dumps({"folder": str(job.folder.path), "tasks": job.tasks}) + "\n")
        self._process.stdin.flush()

    def report(self) -> JobReport:
        if self._answer is None and multiprocessing.connection.wait([self.waitable()], timeout=0):
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if line:
                error = json.loads(line)["error"]
                self._answer = JobReport(JobState.DONE) if error is None else JobReport(JobState.FAILED, error)
            else:
                self._answer = ended(self._process.wait())
        return self._answer or JobReport(JobState.RUNNING)

    def alive(self) -> bool:
        """Whether it can take another job."""
        return self._process.poll() is None

    def stop(self) -> None:
        kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        kill(self.pid)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def waitable(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()


def ended(code: int) -> JobReport:
    """The report on a process that ended with this code."""
    state = JobState.of_exit_code(code)
    if state is JobState.KILLED:
        return JobReport(state, f"killed by signal {-code if code < 0 else code - 128}")
    return JobReport(state, f"ended with exit code {code}" if state is JobState.FAILED else "")


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Kill a process, or send it another signal; nothing happens if it has ended."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def start(
    command: list[str], environment: Mapping[str, str], gpus: tuple[str, ...], *, stdin: int, stdout: int
) -> subprocess.Popen[str]:
    """A process in a session of its own, so that Ctrl-C reaches the study only, which sees the GPUs it is given."""
    return subprocess.Popen(
        command,
        env={**os.environ, **environment, **visible(gpus)},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )


def visible(gpus: tuple[str, ...]) -> dict[str, str]:
    """The environment in which a process sees these GPUs only."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}


def start_forked(process: BaseProcess) -> None:
    """Start a process of ``forkserver``'s; a server that was killed, as for want of memory, is started anew once.

    Raises:
        Failure: the new one died too, or it refuses.
    """
    deaths = refusals = 0
    while True:
        try:
            process.start()
            return
        except ConnectionRefusedError as error:
            # A dead server closes its socket before its parent can see that it has ended, and starts another.
            refusals += 1
            if refusals * REFUSED_SECONDS >= MOST_REFUSED_SECONDS:
                raise Failure(
                    f"the process that runs are forked from has refused connections for {MOST_REFUSED_SECONDS:g} "
                    "seconds: see whether it hangs, end it, and call the same command again, which resumes"
                ) from error
        except (EOFError, ConnectionError) as error:
            deaths += 1
            if deaths == 2:
                raise Failure(
                    "the process that runs are forked from was killed, and so was the one in its place: see whether "
                    "memory is short, and call the same command again, which resumes"
                ) from error
        time.sleep(REFUSED_SECONDS)


def forkserver(*modules: str) -> Any:
    """A multiprocessing context whose processes are forked from one that has imported these modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    if threading.current_thread() is not threading.main_thread():
        return context
    # Ctrl-C while it imports is the caller's to handle, and not worth a traceback.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    return context
