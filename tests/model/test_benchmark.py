"""The benchmark of decoding runs, and shows a state that doesn't grow beside a cache that does."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "decode.py"


@pytest.mark.long
def test_the_state_keeps_its_size_and_the_cache_does_not() -> None:
    command = [sys.executable, str(SCRIPT), "--scale", "tiny", "--lengths", "64,128,512", "--tokens", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["64", "128", "512"]
    state, cache = ([float(row[at]) for row in rows] for at in (6, 8))
    assert state[0] == state[1] == state[2] > 0
    assert cache[0] < cache[1] < cache[2]


def test_lengths_that_do_not_grow_are_refused() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--lengths", "512,64"], capture_output=True, text=True)
    assert done.returncode == 2 and "must grow" in done.stderr


def test_a_mistake_shows_its_reason() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--decay", "mamba3"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0 and "unknown decay 'mamba3'" in done.stderr
