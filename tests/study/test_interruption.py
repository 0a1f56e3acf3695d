"""Kills at random moments: the same command finishes the study, and its numbers are those of an undisturbed one."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from decaystudy.training.compilation import c_compiler
from tests.study import small

pytestmark = pytest.mark.slow
LONGEST = pytest.mark.long
SECONDS = 14.0
"""About what the small study takes; kills fall anywhere in it."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    small.run(str(small.write_study(out / "file")), "--out", str(out))
    return out


LONG = small.STUDY.replace("max_steps: 40", "max_steps: 800").replace("checkpoint_every: 5", "checkpoint_every: 5000")
LONG = LONG.replace("[mamba2, gla, hgrn2]", "[mamba2, gla]")
ENDLESS = LONG.replace("max_steps: 800", "max_steps: 20000")
"""Long enough to be interrupted between two heartbeats on any machine, with checkpoints that come too late."""


def wait_for_step(out: Path, step: int) -> list[int]:
    """Process ids of the runs, once one of them has come so far."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        states = [json.loads(path.read_text()) for path in out.glob("store/*/status.json")]
        if any(state.get("step", 0) >= step for state in states):
            return running(out)
        time.sleep(0.05)
    raise AssertionError("no run began")


@pytest.mark.parametrize(
    ("number", "code"), [(15, 143), pytest.param(signal.SIGHUP, 129, marks=LONGEST), (signal.SIGUSR1, 75)]
)
def test_a_signal_ends_the_study_and_its_runs_with_checkpoints(tmp_path: Path, number: int, code: int) -> None:
    file = small.write_study(tmp_path / "file", ENDLESS)
    process = small.start(str(file), "--out", str(tmp_path))
    wait_for_step(tmp_path, 5)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code and "Traceback" not in output
    assert not running(tmp_path), "runs outlived their study"
    steps = [int(path.stem.partition("=")[2]) for path in tmp_path.glob("store/*/checkpoints/*.ckpt")]
    assert steps and max(steps) >= 5
    process = small.start(str(file), "--out", str(tmp_path))
    assert process.stdout is not None
    assert any("resumes from its last checkpoint" in line for line in process.stdout)
    process.terminate()
    process.communicate(timeout=60)
    assert not running(tmp_path), "runs outlived their study"


def test_runs_end_at_once_with_a_killed_study(tmp_path: Path) -> None:
    file = small.write_study(tmp_path / "file", ENDLESS)
    process = small.start(str(file), "--out", str(tmp_path))
    runs = wait_for_step(tmp_path, 1)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while living := [pid for pid in runs if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"{living} outlived their study"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=LONGEST)])
def test_a_run_that_is_killed_alone_resumes_once(tmp_path: Path, number: int) -> None:
    file = small.write_study(tmp_path / "file", LONG)
    process = small.start(str(file), "--out", str(tmp_path))
    os.kill(wait_for_step(tmp_path, 5)[0], number)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert f"killed by signal {int(number)}: it resumes once" in output and len(small.losses(tmp_path)) == 2


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


@pytest.mark.parametrize(
    ("victim", "times"), [("study", 3), *(pytest.param(who, 10, marks=LONGEST) for who in ("study", "run", "both"))]
)
def test_kill_at_random_moments(undisturbed: Path, tmp_path: Path, victim: str, times: int) -> None:
    file = small.write_study(tmp_path / "file")
    rng = random.Random(victim)
    kills = tries = 0
    while kills < times:  # a study that has ended before its moment came is begun anew
        tries += 1
        assert tries <= 5 * times, "it always ends too soon"
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
    assert [log.count("training 40 steps") for log in logs] == [1, 1, 1], "whoever came second didn't begin"


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


@pytest.mark.long
def test_a_store_that_is_removed_is_named_and_filled_again(undisturbed: Path, tmp_path: Path) -> None:
    file, out = small.write_study(tmp_path / "file"), tmp_path / "out"
    process = small.start(str(file), "--out", str(out), "--jobs", "1")
    deadline = time.monotonic() + 120
    while not list(out.glob("store/*/checkpoints/*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    (out / "store").rename(tmp_path / "removed")
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 1 and "Traceback" not in output
    assert "was removed while it ran: the same command trains it again" in output
    assert "(log: " not in output, "there is no log any more"
    small.run(str(file), "--out", str(out))
    assert small.losses(out) == small.losses(undisturbed)


@LONGEST
@pytest.mark.skipif(c_compiler() is None, reason="no C compiler")
def test_compiled_runs_end_in_silence(tmp_path: Path) -> None:
    """Python tells at a process's end of semaphores that nobody released, as if something had gone wrong."""
    file = small.write_study(tmp_path / "file", small.STUDY.replace("max_steps: 40", "max_steps: 6"))
    output = small.run(str(file), "--out", str(tmp_path), "--compile", "true", "--jobs", "1")
    assert "leaked" not in output and "Warning" not in output
