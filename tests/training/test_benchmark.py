"""The benchmark of the loop trains both ways, and compares them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "loop.py"


@pytest.mark.slow
@pytest.mark.long
def test_fit_is_compared_with_a_bare_loop(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    command = [sys.executable, str(SCRIPT), "--steps", "13", "--rounds", "1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seconds = json.loads(file.read_text())["seconds"]
    assert seconds.keys() == {"bare", "fit"} and all(0 < value[0] < 60 for value in seconds.values())
    assert "× fit" in done.stdout
    # So much is certain on any machine: a look costs something, and less than the steps between.
    assert 0 < json.loads(file.read_text())["telemetry_percent"] < 100 and "% telemetry" in done.stdout
