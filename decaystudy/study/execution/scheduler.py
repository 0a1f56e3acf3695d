"""Trains what a set of studies needs, each run once, whoever else works on the same store. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from decaystudy.errors import UserError
from decaystudy.runs.folder import RunFolder, state_of
from decaystudy.runs.lease import take_lease
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.local import Job, LocalLauncher
from decaystudy.study.execution.store import Store

POLL_SECONDS = 0.5
LOG_TAIL = 4000


@dataclass(frozen=True)
class Event:
    """Something to tell the user."""

    kind: str
    """started, ended, waiting or tick."""
    run: Run | None = None
    folder: RunFolder | None = None
    state: str = ""
    resumed: bool = False
    message: str = ""


def train_all(
    runs: Iterable[Run], store: Store, launcher: LocalLauncher, tell: Callable[[Event, list[Job]], None]
) -> dict[str, str]:
    """Bring every run to its end. Runs that another process holds are waited for, and taken over if it dies.

    A run that fails is not tried again; the next call does so. On an exception (Ctrl-C) the started runs are ended.

    Returns:
        By hash, the runs that could not be started, or not write down how they ended, with the reason.
    """
    trouble: dict[str, str] = {}
    waiting = {run.hash: run for run in runs}
    tried: set[str] = set()
    told: set[str] = set()
    jobs: list[Job] = []
    slots = launcher.slots(list(waiting.values())) if waiting else 0
    try:
        while waiting or jobs:
            for job in [job for job in jobs if job.exit_code() is not None]:
                jobs.remove(job)
                launcher.ended(job)
                if lost_race(job):
                    tried.discard(job.run.hash)
                    waiting[job.run.hash] = job.run
                else:
                    settle(job, trouble)
                    tell(Event("ended", job.run, job.folder, state_of(job.folder)), jobs)
            for key, run in list(waiting.items()):
                found = store.find(run)
                state = state_of(found) if found else "planned"
                if state in FINAL or key in tried:
                    del waiting[key]
                    if key in told:
                        tell(Event("ended", run, found, state), jobs)
                elif state == "running":
                    if key not in told:
                        told.add(key)
                        tell(Event("waiting", run, found, state), jobs)
                elif len(jobs) < slots:
                    try:
                        folder = store.claim(run)
                        if not take_lease(folder):
                            continue
                        del waiting[key]
                        tried.add(key)
                        told.discard(key)
                        jobs.append(launcher.start(run, folder))
                    except (UserError, OSError) as error:
                        waiting.pop(key, None)
                        tried.add(key)
                        trouble[key] = str(error)
                        tell(Event("ended", run, found, "failed", message=str(error)), jobs)
                        continue
                    tell(Event("started", run, folder, "running", resumed=any(folder.checkpoints.iterdir())), jobs)
            tell(Event("tick"), jobs)
            if jobs:
                launcher.wait(jobs, POLL_SECONDS)
            elif waiting:
                time.sleep(POLL_SECONDS)
    finally:
        for job in jobs:
            job.end()
    return trouble


def lost_race(job: Job) -> bool:
    """Whether the run's process found the folder held by another one."""
    if job.exit_code() == 0:
        return False
    status = job.folder.read_status()
    if job.folder.held():
        return True
    return status.get("state") in ("running", *FINAL) and status.get("pid") != job.pid and job.exit_code() == 2


def settle(job: Job, trouble: dict[str, str]) -> None:
    """Record how a process ended that could not do so itself: in its folder, or in ``trouble`` if that fails."""
    code = job.exit_code()
    if code == 0:
        return
    status = job.folder.read_status()
    if status.get("pid") == job.pid and status.get("state") in (*FINAL, "failed", "out-of-memory", "killed"):
        return
    facts = {key: status[key] for key in ("step", "max_steps", "loss") if key in status}
    state = "killed" if code is not None and code < 0 else "failed"
    message = f"killed by signal {-code}" if code is not None and code < 0 else last_line(job.folder, code)
    try:
        job.folder.write_status(state, **facts, message=message)
    except OSError as error:
        trouble[job.run.hash] = f"{message} (and its folder cannot be written to: {(error.strerror or '').lower()})"


def last_line(folder: RunFolder, code: int | None) -> str:
    """The last line of the run's log, which holds its error."""
    try:
        with open(folder.log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1].strip() if lines else f"ended with exit code {code}"
