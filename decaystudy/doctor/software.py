"""Versions, the machine, and settings of the environment that change what the package does."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from decaystudy import __version__
from decaystudy.runs.records import git_revision
from decaystudy.study.execution.machine import cpu_count
from decaystudy.versions import STATISTICS, semantics

PACKAGES = (
    ("torch", ""),
    ("lightning", ""),
    ("numpy", ""),
    ("scipy", ""),
    ("tokenizers", ""),
    ("transformers", ""),
    ("datasets", ""),
    ("huggingface-hub", ""),
    ("pyarrow", ""),
    ("jsonargparse", ""),
    ("tensorboard", ""),
    ("submitit", ""),
    ("triton", "gpu"),
    ("flash-linear-attention", "gpu"),
    ("lm-eval", "evaluate"),
    ("wandb", "wandb"),
    ("trackio", "trackio"),
)
"""Packages, and the extra that installs them."""
VARIABLES = (
    "DECAYSTUDY_CACHE",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "TRITON_INTERPRET",
    "TORCHINDUCTOR_CACHE_DIR",
    "CC",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_XET",
    "SLURM_JOB_ID",
)
Facts = Iterator[tuple[str, str]]


def machine_facts() -> Facts:
    """The package, Python, and the system."""
    numbers = ", ".join(f"{name} {number}" for name, number in {**semantics(), "statistics": STATISTICS}.items())
    yield "decaystudy", f"{__version__} ({numbers})"
    commit = git_revision()
    if commit is not None:
        yield "commit", commit
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "installed in", "a virtual environment" if sys.prefix != sys.base_prefix else "the system's Python"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "CPUs", f"{cpu_count()} of {os.cpu_count()} may be used"
    memory = _memory()
    if memory:
        yield "memory", memory


def package_facts() -> Facts:
    """Versions, and how to get what is missing."""
    for name, extra in PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            how = f"pip install 'decaystudy[{extra}]'" if extra else "install decaystudy again"
            yield name, f"not installed ({how})"


def environment_facts() -> Facts:
    """Variables that are set."""
    found = [(name, os.environ[name]) for name in VARIABLES if name in os.environ]
    yield from found or [("none", "is set")]


def _memory() -> str:
    """What Linux says of the whole machine's memory."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        total, free = (int(lines[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError, IndexError):
        return ""
    return f"{total:.1f} GiB, {free:.1f} GiB available"
