"""Start-up on this machine: python benchmarks/startup.py [--rounds 5] [--json FILE]

How long a command takes to its first line, and a training at scale tiny from its command to its first step, each in a
fresh process, with the time of bare imports beside it: the first column is the median over that of ``import torch``.
The rounds take turns, so that a slow moment of the machine meets all alike.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = [sys.executable, "-c"]
OURS = [sys.executable, "-m", "decaystudy"]
TRAINING = [*OURS, "fit", "--scale", "tiny", "--trainer.max_steps", "1", "--data.validation_tokens", "512"]
COMMANDS: dict[str, list[str]] = {
    "import torch": [*PYTHON, "import torch; print()"],
    "import lightning.pytorch": [*PYTHON, "import lightning.pytorch; print()"],
    "decaystudy --help": [*OURS, "--help"],
    "decaystudy list": [*OURS, "list"],
    "run-study sharing --dry-run": [*OURS, "run-study", "sharing", "--dry-run"],
    "fit at tiny, to its first step": TRAINING,
}
STEP = "step 1/"


def once(name: str, folder: str) -> float:
    """Seconds from the start of the process to its first line; of a training to the line of its first step."""
    command, marker = COMMANDS[name], ""
    if command is TRAINING:
        command, marker = [*command, "--out", folder], STEP
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    seconds, said = None, []
    for line in process.stdout:
        said.append(line)
        if seconds is None and marker in line:
            seconds = time.perf_counter() - began
    if process.wait() or seconds is None:
        raise SystemExit(f"{name} failed:\n{''.join(said)}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one to warm up")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(options.rounds + 1):
        for name in COMMANDS:
            with tempfile.TemporaryDirectory(prefix="decaystudy-startup-") as folder:
                seconds = once(name, folder)
            if number:
                times[name].append(seconds)
    medians = {name: statistics.median(found) for name, found in times.items()}
    floor = medians["import torch"]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, median of {options.rounds} (least to most)\n")
    for name, found in times.items():
        print(f"{medians[name] / floor:6.2f} × {name:32} {medians[name]:6.2f} s ({min(found):.2f} to {max(found):.2f})")
    if options.json:
        options.json.write_text(json.dumps({"python": sys.version, "cpus": os.cpu_count(), "seconds": times}, indent=1))


if __name__ == "__main__":
    main()
