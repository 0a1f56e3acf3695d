"""LightNet's kernels, interpreted, in a process of their own (`lightnet_interpreted`)."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_interpreted() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed (pip install 'decaystudy[gpu]')")
    tests = Path(__file__).with_name("lightnet_interpreted.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, env=environment, cwd=tests.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
