"""Launch configurations of the Triton kernels, timed one by one: python benchmarks/kernel_configs.py [--heads 16]

bfloat16, one log decay per channel, 16 rows of 2048 tokens, 128 channels per head. Every kernel runs in each
configuration with the same tensors; one that gives other numbers than that of `decaystudy.ops.triton_launch`, or fails,
is shown as such. The first column is the time over that of the configuration in use. With --compile the variants are
compiled and not run, which needs no GPU: Triton keeps them in TRITON_CACHE_DIR, and a machine with the same Triton and
Python finds them there.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from decaystudy.ops import triton_launch as launch
from decaystudy.ops.triton_launch import Config

BATCH, TOKENS, CHANNELS = 16, 2048, 128
Run = Callable[[Config], tuple[Tensor, ...]]
KERNELS = {
    "carry": (launch.CARRY, (1, 2, 3, 4)),
    "output": (launch.OUTPUT, (1, 2, 3)),
    "value_gradient": (launch.VALUE_GRADIENT, (1, 2, 3)),
    "gradient": (launch.GRADIENT, (1, 2)),
}
"""By name: the configuration in use, and the numbers of stages to try."""


def variants(name: str) -> list[Config]:
    """The configuration in use first."""
    own, stages = KERNELS[name]
    tried = [
        Config(keys, values, warps, stage, registers)
        for keys, values, warps, stage in itertools.product((32, 64, 128), (64, 128), (4, 8), stages)
        for registers in ((None,) if name == "carry" else (None, 128 if warps == 8 else 168))
    ]
    return [own, *(config for config in tried if config != own)]


def runs(heads: int, device: str) -> dict[str, Run]:
    """A call of each kernel, in any configuration."""
    torch.manual_seed(0)
    shape = (BATCH, TOKENS, heads, CHANNELS)
    q, k, v, d_o = (torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(4))
    g = torch.nn.functional.logsigmoid(torch.randn(shape, device=device)) / 16
    states, _ = launch.carry(k, v, g, None, None, backward=False)
    _, scores = launch.output(q, k, v, g, None, states, keep_scores=True)
    d_states, _ = launch.carry(q, d_o, g, None, None, backward=True)
    _, pairs = launch.value_gradient(k, v, g, None, d_o, scores, d_states)
    return {
        "carry": lambda c: launch.carry(k, v, g, None, None, backward=False, config=c),
        "output": lambda c: launch.output(q, k, v, g, None, states, keep_scores=True, config=c),
        "value_gradient": lambda c: launch.value_gradient(k, v, g, None, d_o, scores, d_states, config=c),
        "gradient": lambda c: launch.gradient(q, k, v, g, None, d_o, pairs, states, d_states, True, config=c),
    }


def measure(run: Run, config: Config, expected: tuple[Tensor, ...]) -> dict[str, Any]:
    """Milliseconds, and the largest difference from what is expected, relative to its size."""
    from triton.testing import do_bench

    found = run(config)
    gaps = [
        float((one.float() - other.float()).norm() / other.float().norm().clamp(min=1e-30))
        for one, other in zip(found, expected, strict=True)
    ]
    return {"ms": do_bench(lambda: run(config), warmup=5, rep=30, return_mode="median"), "gap": max(gaps)}


def compile_all(heads: int, names: list[str], share: tuple[int, int]) -> None:
    """Compile this share of the variants for sm_90."""
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    from benchmarks.kernel_resources import Target

    driver.set_active(Target(90))
    full = JITFunction.run
    JITFunction.run = lambda self, *a, grid, warmup, **k: full(self, *a, grid=grid, warmup=True, **k)
    calls = runs(heads, "meta")
    for name, config in [(n, c) for n in names for c in variants(n)][share[0] :: share[1]]:
        try:
            calls[name](config)
        except Exception as error:
            print(f"{name} {config}: {type(error).__name__} {str(error)[:100]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--kernels", default=",".join(KERNELS))
    parser.add_argument("--compile", metavar="I/N", help="only compile every N-th variant, from the I-th")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    names = options.kernels.split(",")
    if options.compile:
        first, every = map(int, options.compile.split("/"))
        return compile_all(options.heads, names, (first, every))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.heads} heads", flush=True)
    rows: list[dict[str, Any]] = []
    calls = runs(options.heads, "cuda")
    for name in names:
        expected = calls[name](KERNELS[name][0])
        base: float | None = None
        for config in variants(name):
            row: dict[str, Any] = {"kernel": name, "config": vars(config)}
            try:
                row |= measure(calls[name], config, expected)
            except Exception as error:  # one that fails must not lose the others
                row["error"] = f"{type(error).__name__}: {str(error)[:200]}"
            base = base or row.get("ms")
            rows.append(row)
            ratio = f"{row['ms'] / base:6.3f}" if base and "ms" in row else f"{'':6}"
            print(ratio, json.dumps(row), flush=True)
            if options.json:
                options.json.write_text(json.dumps({"heads": options.heads, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
