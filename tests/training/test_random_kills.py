"""Runs on two processes that are killed at random moments, again and again: in the end nothing is lost or changed.

DECAYSTUDY_TEST_SEED chooses other moments.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from decaystudy.runs.folder import RunFolder
from tests.training import small

pytestmark = [pytest.mark.slow, pytest.mark.long]
STEPS = 36
SETTINGS = [*small.SETTINGS, "--trainer.max_steps", str(STEPS), "--trainer.log_every_n_steps", "1"]
SETTINGS += ["--recipe.checkpoint_every", "5", "--recipe.validate_every", "9", "--logger", "tensorboard,csv"]
LAYOUTS = {"ddp": ["--trainer.devices", "2"], "fsdp": ["--trainer.devices", "2", "--strategy", "fsdp"]}
VICTIMS = ("rank 0", "rank 1", "all", "parent")
"""Whom kill -9 hits; the other signals are sent to the process that was called."""
CODES = {"all": -signal.SIGKILL, "parent": -signal.SIGKILL, "rank 0": 1, "rank 1": 1}
STARTING, ENDING = 0, STEPS
"""In place of a step: while the processes start, and while the last step, validation and the result are written."""


@dataclass(frozen=True)
class Blow:
    """A signal some time after a step."""

    number: signal.Signals
    victim: str
    step: int
    seconds: float

    @property
    def code(self) -> int:
        return {signal.SIGTERM: 143, signal.SIGUSR1: 75}.get(self.number) or CODES[self.victim]


def blows(draw: random.Random) -> list[Blow]:
    """Each victim and signal once, in any order, at increasing steps; then kills at the start and at the end."""
    kinds = [*((signal.SIGKILL, who) for who in VICTIMS), (signal.SIGTERM, "parent"), (signal.SIGUSR1, "parent")]
    draw.shuffle(kinds)
    steps = sorted(draw.sample(range(2, STEPS - 2), len(kinds)))
    drawn = [Blow(number, who, step, draw.uniform(0, 0.2)) for (number, who), step in zip(kinds, steps, strict=True)]
    start = Blow(signal.SIGKILL, draw.choice(VICTIMS), STARTING, draw.uniform(1, 5))
    end = Blow(signal.SIGKILL, draw.choice(VICTIMS), ENDING, draw.uniform(0, 0.3))
    return [start, *drawn, end]


def start(out: Path, layout: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "decaystudy", "fit", *SETTINGS, *LAYOUTS[layout], "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(out: Path, layout: str) -> dict[str, Any]:
    process = start(out, layout)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said[-3000:]
    return {**small.numbers(out), "documents": (out / "validation_documents.npz").read_bytes()}


def last_row(out: Path) -> int:
    try:
        return int((out / "metrics.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")[0])
    except (OSError, ValueError, IndexError):
        return 0


def ranks(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def strike(blow: Blow, out: Path, layout: str) -> bool:
    """Train until the blow, deal it, and wait until no process holds the run; false where the run ended before it."""
    process = start(out, layout)
    deadline = time.monotonic() + 180
    while last_row(out) < blow.step or len(ranks(process)) < 2:
        if process.poll() == 0 and last_row(out) == STEPS:
            return False
        assert process.poll() is None and time.monotonic() < deadline, (blow, process.communicate()[1][-3000:])
        time.sleep(0.002)
    time.sleep(blow.seconds)
    pids = [*ranks(process), process.pid]
    assert len(pids) == 3 or blow.step == ENDING, (blow, process.communicate()[1][-3000:])
    struck = {"all": pids, "parent": pids[-1:], "rank 0": pids[:1], "rank 1": pids[-2:-1]}[blow.victim]
    for pid in struck:
        os.kill(pid, blow.number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == blow.code or (blow.step == ENDING and process.returncode == 0), (blow, said[-3000:])
    assert "Traceback" not in said, (blow, said)
    deadline = time.monotonic() + 20
    while RunFolder(out).held():
        assert time.monotonic() < deadline, f"after {blow} a process lives on"
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_at_random_moments(layout: str, tmp_path: Path) -> None:
    undisturbed = finish(tmp_path / "undisturbed", layout)
    steps = [step for step, _ in undisturbed["curves"]["tensorboard"]["train/loss"]]
    assert steps == list(range(1, STEPS + 1)), "the curve that the killed run is compared with is whole"
    struck = tmp_path / "struck"
    dealt = blows(random.Random(f"{layout} {os.environ.get('DECAYSTUDY_TEST_SEED', '0')}"))
    landed = sum(strike(blow, struck, layout) for blow in dealt)
    assert landed >= len(dealt) - 2, "a busy machine may miss the last steps, which pass within milliseconds"
    assert finish(struck, layout) == undisturbed
