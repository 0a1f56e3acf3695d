"""Decay attention on one GPU beside flash-linear-attention: python benchmarks/ops_cuda.py [--heads 6,8,16]

bfloat16, 16 rows of 2048 tokens, 128 channels per head, forward alone and with backward, in one process. ``packed``
rows hold 16 documents of 128 tokens each: ours is told by resets, flash-linear-attention by cu_seqlens. The rival goes
last, since it searches its launch configurations for minutes; --only ours leaves it out. The first column is the
rival's time over ours. FLOPs are those of chunks of 64 tokens; the floor is the time in which a copy on this GPU moves
the bytes that must be read and written.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from benchmarks.rivals import search_briefly
from benchmarks.train import ceilings
from decaystudy.ops import decay_attention

BATCH, TOKENS, CHANNELS, DOCUMENTS = 16, 2048, 128, 16
FLOPS = {"forward": 98e3, "both": 344e3}
"""A token and head, at 128 channels."""
CASES = [(scalar, packed) for scalar in (False, True) for packed in (False, True)]


def inputs(heads: int, scalar: bool) -> list[Tensor]:
    torch.manual_seed(0)
    shape = (BATCH, TOKENS, heads, CHANNELS)
    q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    gate = torch.randn(shape[:3] if scalar else shape, device="cuda")
    return [x.requires_grad_() for x in (q, k, v, torch.nn.functional.logsigmoid(gate) / 16)]


def ours(scalar: bool, packed: bool) -> Callable[..., Tensor]:
    resets = torch.zeros(BATCH, TOKENS, dtype=torch.bool, device="cuda")
    resets[:, :: TOKENS // DOCUMENTS] = True
    return lambda q, k, v, g: decay_attention(q, k, v, g, resets=resets if packed else None, backend="triton")[0]


def fla(scalar: bool, packed: bool) -> Callable[..., Tensor]:
    from fla.ops.gla import chunk_gla
    from fla.ops.simple_gla import chunk_simple_gla

    operator = chunk_simple_gla if scalar else chunk_gla
    starts = torch.arange(0, BATCH * TOKENS + 1, TOKENS // DOCUMENTS, device="cuda", dtype=torch.int32)

    def run(*tensors: Tensor) -> Tensor:
        if packed:
            rows = [x.reshape(1, BATCH * TOKENS, *x.shape[2:]) for x in tensors]
            return operator(*rows, scale=1.0, cu_seqlens=starts)[0].reshape(tensors[2].shape)
        return operator(*tensors, scale=1.0)[0]

    return run


def measure(run: Callable[..., Tensor], tensors: list[Tensor], heads: int, copy: float) -> dict[str, float]:
    from triton.testing import do_bench

    weight = torch.randn_like(tensors[2])

    def both() -> None:
        torch.autograd.grad(run(*tensors), tensors, weight)

    both()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both()
    peak = torch.cuda.max_memory_allocated() - before
    forward = do_bench(lambda: run(*tensors), return_mode="median")
    time = do_bench(both, return_mode="median")
    moved = 2 * sum(x.nbytes for x in tensors) + 2 * weight.nbytes + sum(x.nbytes for x in tensors)
    return {
        "forward_ms": forward,
        "both_ms": time,
        "ns_per_token_and_head": 1e6 * time / (BATCH * TOKENS * heads),
        "tflops": FLOPS["both"] * BATCH * TOKENS * heads / time / 1e9,
        "floor_share": moved / copy / 1e9 / time,
        "peak_gb": peak / 1e9,
    }


def own_time(rows: list[dict[str, Any]], case: dict[str, Any]) -> float | None:
    """Milliseconds of our own operator in the same case."""
    same = {**case, "name": "ours"}
    return next((row.get("both_ms") for row in rows if same.items() <= row.items()), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", default="6,8,16")
    parser.add_argument("--only", choices=["ours", "fla"])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--share", help="i/n: only compile this share of flash-linear-attention's variants (rivals.py)")
    options = parser.parse_args()
    search_briefly(options.share)
    limits = ceilings()
    machine = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(f"{machine}; matmul {limits['matmul_tflops']:.0f} TFLOP/s, copy {limits['copy_tb_s']:.2f} TB/s")
    rows: list[dict[str, Any]] = []
    for name, make in {"ours": ours, "fla": fla}.items():
        if options.only not in (None, name):
            continue
        for scalar, packed in CASES:
            for heads in map(int, options.heads.split(",")):
                case = {"name": name, "heads": heads, "scalar": scalar, "packed": packed}
                try:
                    found = measure(make(scalar, packed), inputs(heads, scalar), heads, limits["copy_tb_s"])
                except Exception as error:  # one that fails must not lose the others
                    found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
                rows.append(case | found)
                own = own_time(rows, case)
                ratio = f"{found['both_ms'] / own:6.2f}" if own and "both_ms" in found else f"{'':6}"
                print(ratio, json.dumps(rows[-1]), flush=True)
                if options.json:
                    options.json.write_text(
                        json.dumps({"machine": machine, "ceilings": limits, "rows": rows}, indent=1)
                    )


if __name__ == "__main__":
    main()
