"""Kills at random moments: the same command finishes the study, and its numbers are those of an undisturbed one."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.study import small

pytestmark = pytest.mark.slow
TIMES = 10
SECONDS = 14.0
"""About what the small study takes; kills fall anywhere in it."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    small.run(str(small.write_study(out / "file")), "--out", str(out))
    return out


def running(out: Path) -> list[int]:
    """Process ids of the runs under way."""
    found = []
    for path in out.glob("store/*/status.json"):
        status = json.loads(path.read_text())
        if status["state"] == "running" and Path(f"/proc/{status['pid']}").exists():
            found.append(int(status["pid"]))
    return found


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("victim", ["study", "run", "both"])
def test_kill_at_random_moments(undisturbed: Path, tmp_path: Path, victim: str) -> None:
    file = small.write_study(tmp_path / "file")
    rng = random.Random(victim)
    kills = 0
    for _ in range(TIMES):
        process = small.start(str(file), "--out", str(tmp_path))
        if victim == "study":
            time.sleep(rng.uniform(0.5, SECONDS))
        else:  # there must be a run to kill, however slowly this machine starts one
            while not running(tmp_path) and process.poll() is None:
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 1.5))
        runs = running(tmp_path)
        if victim in ("run", "both") and runs:
            kill(rng.choice(runs))
            kills += 1
        if victim in ("study", "both"):
            kills += process.poll() is None
            process.kill()
        process.communicate(timeout=300)
        if victim != "run":
            deadline = time.monotonic() + 10
            while running(tmp_path) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not running(tmp_path), "runs outlived their study"
        # Begin anew once all is done, so that later kills have something to hit.
        if len(small.losses(tmp_path)) == 3:
            assert small.losses(tmp_path) == small.losses(undisturbed)
            for path in tmp_path.glob("store/*/result.json"):
                path.unlink()
                (path.parent / "status.json").unlink()
                for checkpoint in (path.parent / "checkpoints").iterdir():
                    checkpoint.unlink()
    assert kills > 0
    small.run(str(file), "--out", str(tmp_path))
    assert small.results(tmp_path) == small.results(undisturbed)
    assert small.losses(tmp_path) == small.losses(undisturbed)


def test_two_studies_at_once_train_every_cell_once(undisturbed: Path, tmp_path: Path) -> None:
    file = small.write_study(tmp_path / "file")
    processes = [small.start(str(file), "--out", str(tmp_path)) for _ in range(2)]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert small.results(tmp_path) == small.results(undisturbed)
    logs = [path.read_text() for path in tmp_path.glob("store/*/log.txt")]
    assert len(logs) == 3
    assert [log.count("finished 40 steps") for log in logs] == [1, 1, 1]
    assert [log.count("training 40 steps") - log.count("is being trained") for log in logs] == [1, 1, 1]


def test_a_second_study_takes_over_when_the_first_is_killed(undisturbed: Path, tmp_path: Path) -> None:
    file = small.write_study(tmp_path / "file")
    first = small.start(str(file), "--out", str(tmp_path))
    deadline = time.monotonic() + 120
    while not running(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = small.start(str(file), "--out", str(tmp_path))
    time.sleep(2)
    first.kill()
    first.communicate()
    output = second.communicate(timeout=600)[0]
    assert second.returncode == 0, output
    assert small.results(tmp_path) == small.results(undisturbed)
