"""LightNet's kernels, interpreted and on a GPU, in processes of their own (`lightnet_cases`)."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(**environment: str) -> None:
    tests = Path(__file__).with_name("lightnet_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    kept = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, env=kept, cwd=tests.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_interpreted() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed (pip install 'decaystudy[gpu]')")
    run(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    run(TRITON_INTERPRET="0")
