"""A study small enough to run for real in seconds, on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

STUDY = """\
title: A small study
question: Does the decay matter?
scale: tiny
seeds: [0]
axis: decay
baseline: mamba2
settings:
  layers: 2
  d_model: 32
  heads: 2
  glu_width: 64
  sequence_length: 64
  global_batch_size: 4
  micro_batch_size: 4
  max_steps: 40
  warmup_steps: 5
  checkpoint_every: 5
  validate_every: 20
  data.validation_tokens: 2000
grid:
  decay: [mamba2, gla, hgrn2]
claims:
  - {id: gla-worse, says: GLA is worse., difference: [gla, mamba2], above: 0}
"""


def write_study(folder: Path, text: str = STUDY, name: str = "small") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def start(*arguments: str) -> subprocess.Popen[str]:
    """``decaystudy run-study`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "decaystudy", "run-study", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Any verb of ``decaystudy``, in a folder, until it ends."""
    words = [sys.executable, "-m", "decaystudy", *arguments]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=environment, timeout=600, check=False)


def run(*arguments: str, expect: int = 0, timeout: float = 600) -> str:
    """The output of ``decaystudy run-study``, which must end with that code."""
    process = start(*arguments)
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == expect, output
    return output


def results(out: Path, name: str = "small") -> dict[str, Any]:
    """results.json without times and hosts."""
    values = json.loads((out / name / "results.json").read_text())
    for run in values["runs"]:
        del run["cost"]
    return values


def losses(out: Path) -> dict[str, bytes]:
    """Every run's validation losses, byte by byte."""
    return {path.parent.name: path.read_bytes() for path in sorted(out.glob("store/*/validation_loss.npy"))}
