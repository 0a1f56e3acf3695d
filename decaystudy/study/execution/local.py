"""Runs on this machine: so many at once, each in a process of its own. Needs no torch.

On a CPU a run is forked from a process that has imported torch and Lightning and computed nothing: that saves each run
seven seconds. Runs on GPUs, or of several processes, get a fresh interpreter.
"""

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
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.machine import cpu_count, local_gpus
from decaystudy.study.execution.worker import train


@dataclass
class Job:
    """A run's process."""

    run: Run
    folder: RunFolder
    process: Any
    """A multiprocessing or subprocess one."""
    gpus: tuple[str, ...] = ()

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def exit_code(self) -> int | None:
        """None while it runs; −9 if it was killed by signal 9."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def end(self) -> None:
        """Kill it; its last checkpoint stays."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(Exception):
            self.process.wait() if isinstance(self.process, subprocess.Popen) else self.process.join()


@dataclass
class LocalLauncher:
    """Starts runs on this machine.

    Args:
        jobs: runs at once; None for as many as fit the machine.
        devices: GPUs or processes of each run.
    """

    jobs: int | None = None
    devices: int = 1
    gpus: tuple[str, ...] = field(default_factory=lambda: local_gpus())
    _free: list[str] = field(default_factory=list)
    _context: Any = None

    def slots(self, runs: Sequence[Run]) -> int:
        """How many of these runs go at once."""
        if self.on_gpu(runs):
            if self.devices > len(self.gpus):
                raise UserError(f"--devices {self.devices}: this machine has {len(self.gpus)} GPUs; ask for fewer")
            fitting = len(self.gpus) // self.devices
            if self.jobs is not None and self.jobs > fitting:
                raise UserError(
                    f"--jobs {self.jobs} with --devices {self.devices} needs {self.jobs * self.devices} GPUs and this "
                    f"machine has {len(self.gpus)}: ask for --jobs {fitting}"
                )
            self._free = list(self.gpus)
            return self.jobs or fitting
        return self.jobs or self.fitting(runs)

    def fitting(self, runs: Sequence[Run]) -> int:
        """How many of these runs this machine has room for at once."""
        if self.on_gpu(runs):
            return max(1, len(self.gpus) // self.devices)
        cpus = cpu_count()
        threads = max((run.config.threads or cpus for run in runs), default=1)
        return max(1, cpus // (threads * self.devices))

    def start(self, run: Run, folder: RunFolder) -> Job:
        """Start a run in its folder, which has its config.yaml."""
        if self.devices > 1 or self.on_gpu([run]):
            return self._start_fresh(run, folder)
        threads = str(run.config.threads or "")
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} if threads else {}
        process = self._forkserver().Process(target=train, args=(str(folder.path), environment))
        process.start()
        return Job(run, folder, process)

    def _start_fresh(self, run: Run, folder: RunFolder) -> Job:
        environment = dict(os.environ)
        layout: dict[str, Any] = {"trainer": {"devices": self.devices}}
        if self.devices > 1 and run.config.strategy == "auto":
            layout["strategy"] = "ddp"
        module = "decaystudy.study.execution.worker"
        command = [sys.executable, "-m", module, str(folder.path), json.dumps(layout)]
        taken: tuple[str, ...] = ()
        if self.on_gpu([run]):
            taken = tuple(self._free[: self.devices])
            del self._free[: self.devices]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
        elif run.config.threads:
            environment["OMP_NUM_THREADS"] = str(run.config.threads)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return Job(run, folder, process, taken)

    def ended(self, job: Job) -> None:
        """Give back what the job held."""
        self._free += job.gpus

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Return when a job ends, or after so long."""
        forked = [job.process.sentinel for job in jobs if not isinstance(job.process, subprocess.Popen)]
        if len(forked) < len(jobs):
            seconds = min(seconds, 0.5)
        multiprocessing.connection.wait(forked, timeout=seconds)

    def on_gpu(self, runs: Sequence[Run]) -> bool:
        """Whether these runs go to this machine's GPUs."""
        return bool(self.gpus) and any(run.config.trainer.get("accelerator", "auto") != "cpu" for run in runs)

    def _forkserver(self) -> Any:
        if self._context is None:
            self._context = forkserver("decaystudy.training.fit", "decaystudy.training.process")
        return self._context


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
