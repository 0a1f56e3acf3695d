"""The Triton kernels: interpreted, in a process of their own (`triton_interpreted`); and compiled, on a GPU."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.ops.calls import attend, outputs_and_gradients, random_call, relative_errors
from tests.ops.test_resets import resets_at

gpu = pytest.mark.gpu
Call = dict[str, Tensor]


def interpret(marks: str) -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed (pip install 'decaystudy[gpu]')")
    tests = Path(__file__).with_name("triton_interpreted.py")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", marks, "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, env=environment, cwd=tests.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_interpreted() -> None:
    interpret("not slow")


@pytest.mark.slow
def test_interpreted_for_many_calls() -> None:
    interpret("slow")


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return torch.device("cuda")


def gpu_call(cuda: torch.device, dtype: torch.dtype, **options: object) -> Call:
    call = random_call(0, **({"tokens": 300, "keys": 64, "values": 64} | options))
    call = {name: x.to(cuda, torch.float32) for name, x in call.items()}
    return call | {name: call[name].to(dtype) for name in ("q", "k", "v")}


def in_float64(call: Call, resets: Tensor | None = None) -> Call:
    exact = {name: x.double() for name, x in call.items()}
    return outputs_and_gradients(exact, lambda leaves: attend(leaves, "recurrent", resets))


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


WIDTHS = [(64, 64), (128, 128), (16, 16), (32, 32), (48, 48), (80, 80), (96, 96), (192, 192), (256, 256)]
SHAPES = [
    *(pytest.param({"keys": keys, "values": values}, id=f"{keys}-{values}") for keys, values in WIDTHS),
    *(
        pytest.param({"keys": keys, "values": values, "tokens": 65}, id=f"{keys}-{values}")
        for keys, values in ((128, 64), (80, 16), (16, 256), (256, 192))
    ),
    *(
        pytest.param({"keys": keys, "values": values, "scalar": True, "tokens": 130}, id=f"{keys}-{values}-head")
        for keys, values in ((64, 64), (128, 128), (64, 128), (128, 64), (48, 80), (96, 80), (192, 192), (256, 256))
    ),
    *(pytest.param({"keys": 64, "values": 64, "tokens": tokens}, id=f"{tokens}-tokens") for tokens in (1, 63, 64, 129)),
]


@gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_exact(cuda: torch.device, shape: dict) -> None:
    call = gpu_call(cuda, torch.float32, **shape)
    for resets in (None, resets_at(call["q"].shape[1], [0], []).to(cuda)):
        got = outputs_and_gradients(call, lambda leaves, resets=resets: attend(leaves, "triton", resets))
        errors = relative_errors(got, in_float64(call, resets))
        assert max(errors.values()) < 1e-5, errors


@gpu
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strongest", [0.05, 1.0, 200.0])
def test_bfloat16_costs_little_more_than_rounding(cuda: torch.device, strongest: float, shape: dict) -> None:
    """Errors of bfloat16 results against those of exact ones of the same inputs, rounded; and the same bits twice."""
    call = gpu_call(cuda, torch.bfloat16, strongest=strongest, specials=False, **shape)
    tokens = call["q"].shape[1]
    for resets in (None, resets_at(tokens, [0], [tokens // 2]).to(cuda)):

        def run(leaves: Call, resets: Tensor | None = resets) -> tuple[Tensor, Tensor]:
            return attend(leaves, "triton", resets)

        got, again = outputs_and_gradients(call, run), outputs_and_gradients(call, run)
        assert all(torch.equal(again[name], x) for name, x in got.items())
        for name, exact in in_float64(call, resets).items():
            error = rms(got[name].double() - exact)
            if got[name].dtype == torch.bfloat16:
                assert error < 2 * rms(exact.bfloat16().double() - exact), name
            else:
                assert error < 0.03 * rms(exact) + 1e-7, name


@gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_float16_keeps_its_bits(cuda: torch.device, shape: dict) -> None:
    call = gpu_call(cuda, torch.float16, strongest=20.0, **shape)
    got, exact = outputs_and_gradients(call, "triton"), in_float64(call)
    assert all(rms(got[name].double() - x) < 1e-3 * rms(x) for name, x in exact.items())


@gpu
def test_more_elements_than_32_bits_count(cuda: torch.device) -> None:
    """A batch of one sequence over and over, expanded: what is written comes to 2^31 elements and more a tensor."""
    if torch.cuda.mem_get_info()[0] < 60 * 2**30:
        pytest.skip("needs 60 GiB of GPU memory")
    one = gpu_call(cuda, torch.bfloat16, batch=1, tokens=2048, heads=8, keys=128, values=128, strongest=0.1)
    del one["initial_state"]
    batch = 2**31 // one["q"].numel() + 1
    call = {name: x.expand(batch, *x.shape[1:]).detach().requires_grad_() for name, x in one.items()}
    o = attend(call, "triton")[0]
    assert torch.equal(o[-1], o[0]) and torch.equal(o[:1], attend(one, "triton")[0])
    gradients = torch.autograd.grad(o, list(call.values()), one["v"].expand_as(o))
    assert all(torch.equal(x[-1], x[0]) and x[0].any() for x in gradients)
