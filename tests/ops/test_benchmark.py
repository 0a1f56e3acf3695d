"""The benchmark's rival computes the same thing, so that its time means something."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.ops.calls import attend, random_call


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "ops.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_ops", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("dplr", [False, True])
def test_the_loop_equals_the_operators(benchmark: ModuleType, scalar: bool, dplr: bool) -> None:
    call = random_call(0, tokens=40, scalar=scalar, dplr=dplr)
    del call["initial_state"]
    torch.testing.assert_close(benchmark.loop(**call), attend(call, "recurrent")[0], rtol=0, atol=1e-12)


def test_a_race_has_every_backend(benchmark: ModuleType) -> None:
    shape = {"batch": 1, "tokens": 20, "heads": 2, "channels": 4}
    results = benchmark.race(shape, "cpu", rounds=1, scalar=False, dplr=True, strongest=0.3)
    assert list(results) == ["loop", "recurrent", "chunked"]
    assert all(seconds > 0 for times in results.values() for seconds in times)
