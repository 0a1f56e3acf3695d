"""A run that is killed again and again, and resumed by the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from decaystudy.errors import signal_code, signal_name
from decaystudy.rehearsal.checks import CheckFailed, Rehearsal
from decaystudy.rehearsal.children import SECONDS, child, fit_command, last_line, log_of, run_to_end, wait
from decaystudy.rehearsal.comparison import compare, first_step_of_last_session
from decaystudy.runs.folder import RunFolder
from decaystudy.training.checkpoints import last_step
from decaystudy.training.curve_writer import read_csv

FREE_SECONDS = 30.0
"""How long a killed run's folder may stay locked."""
POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Kill:
    """A signal, and the step at whose end it is sent."""

    number: signal.Signals
    step: int

    def __str__(self) -> str:
        return f"{signal_name(self.number)} at step {self.step}"


def kills(rehearsal: Rehearsal) -> str:
    """The killed run ends as the undisturbed one did: the same tokens, losses and weights, bit for bit."""
    planned = plan(rehearsal.kills, rehearsal.config.max_steps, random.Random())
    resumed = []
    saved = 0
    for kill in planned:
        _kill_once(rehearsal, kill)
        _check_session(rehearsal, saved)
        saved = _saved(rehearsal, kill)
        resumed.append(f"{kill}, resumed at {saved}")
    run_to_end(rehearsal, rehearsal.killed)
    _check_session(rehearsal, saved)
    fingerprint = compare(rehearsal)
    return f"{'; '.join(resumed)}: tokens ({fingerprint[:8]}), losses and weights equal bit for bit"


def plan(times: int, steps: int, draw: random.Random) -> list[Kill]:
    """Kills at random steps in their order: kill -9 first, SIGTERM second, then any of the signals that a run knows and
    this process doesn't ignore (under nohup its children would, too)."""
    known = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
    heard = [one for one in known if one == signal.SIGKILL or signal.getsignal(one) != signal.SIG_IGN]
    numbers = [*heard[:2], *(draw.choice(heard) for _ in range(times))][:times]
    return [
        Kill(number, step)
        for number, step in zip(numbers, sorted(draw.sample(range(2, steps - 4), times)), strict=True)
    ]


def _kill_once(rehearsal: Rehearsal, kill: Kill) -> None:
    out, log = rehearsal.killed, log_of(rehearsal.killed)
    with child(fit_command(rehearsal, out), log) as process:
        _wait_for_step(out, kill.step, process)
        victim = process.pid
        if kill.number == signal.SIGKILL:
            victim = random.choice([victim, *_ranks(process, rehearsal.devices)])
        os.kill(victim, kill.number)
        code = wait(process, f"a run after {kill}", log)
    expected = signal_code(kill.number)
    if kill.number == signal.SIGKILL:
        expected = -signal.SIGKILL if victim == process.pid else 1  # of the process that watches over the ranks
    if code != expected:
        raise CheckFailed(f"after {kill} the run ended with code {code} in place of {expected}: {last_line(log)}")
    deadline = time.monotonic() + FREE_SECONDS
    while RunFolder(out).held():
        if time.monotonic() > deadline:
            raise CheckFailed(f"after {kill} a process of the run lives on and holds {out}: end it, and see {log}")
        time.sleep(0.05)


def _wait_for_step(out: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run's curves show that step."""
    deadline = time.monotonic() + SECONDS
    while read_csv(out).get("train", -1) < step:
        if process.poll() is not None:
            raise CheckFailed(f"the run ended with code {process.poll()} before step {step}: {last_line(log_of(out))}")
        if time.monotonic() > deadline:
            raise CheckFailed(f"the run did not come to step {step} in {SECONDS:.0f} s: {last_line(log_of(out))}")
        time.sleep(POLL_SECONDS)


def _ranks(process: subprocess.Popen[bytes], devices: int) -> list[int]:
    """The processes that a run on several devices has started, where the kernel tells."""
    if devices == 1:
        return []
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _saved(rehearsal: Rehearsal, kill: Kill) -> int:
    """The step that the run will resume from."""
    saved, every = last_step(RunFolder(rehearsal.killed)), rehearsal.config.recipe.checkpoint_every
    if kill.number == signal.SIGKILL:
        least = (kill.step - 1) // every * every
        if rehearsal.config.strategy == "fsdp" and rehearsal.devices > 1:
            least -= every  # it is written while training goes on
    else:
        least = kill.step
    if saved < least:
        raise CheckFailed(
            f"after {kill} the last checkpoint is that of step {saved}, with one every {every} steps: "
            f"see the checkpoints in {rehearsal.killed} and whether the file system of --out has lost one"
        )
    return saved


def _check_session(rehearsal: Rehearsal, saved: int) -> None:
    """Whether the last session began where the checkpoint before it says."""
    began = first_step_of_last_session(rehearsal.killed)
    if began != saved:
        raise CheckFailed(
            f"the run should have resumed at step {saved} and began at {began}: see {log_of(rehearsal.killed)}, which "
            "says whether a checkpoint was broken"
        )
