"""Training steps on one GPU: python benchmarks/train.py [--scale 160m] [--batch 16] [--only ours-mamba2,llama]

Every contestant trains in this process, one after the other, on the same random tokens: autocast to bfloat16 over
float32 weights, clipping at 1, fused AdamW. The first line of a contestant is its ratio to Hugging Face's Llama of the
same size under torch.compile (or to the first contestant where that is left out). Ceilings of the machine, a large
matrix product and a large copy, come first; MFU is over that product, with each model's own matrix products.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import gc
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn

from benchmarks.rivals import search_briefly
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.model.count import forward_flops
from decaystudy.runs.recipe import RecipeConfig
from decaystudy.scales import find_scale
from decaystudy.training.compilation import compile_model
from decaystudy.training.optimizer import make_optimizer

Loss = Callable[[Tensor], Tensor]
VOCABULARY = 50304


def ours(scale: str, length: int, compiled: bool, **model: Any) -> tuple[nn.Module, Loss, float]:
    config = ModelConfig(**{**find_scale(scale).model, "vocab_size": VOCABULARY, **model})
    with torch.device("meta"):
        net = DecayTransformer(config)
    net.to_empty(device="cuda")
    net.initialise()
    compile_model(net, compiled, torch.device("cuda"))

    def loss(tokens: Tensor) -> Tensor:
        return net(tokens[:, :-1], targets=tokens[:, 1:], reduction="mean")

    return net, loss, float(forward_flops(config, length).training)


def llama(scale: str, length: int, compiled: bool) -> tuple[nn.Module, Loss, float]:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = find_scale(scale).model
    net = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=shape["d_model"],
            intermediate_size=shape["glu_width"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            max_position_embeddings=length,
            attn_implementation="sdpa",
            use_cache=False,
        )
    ).cuda()
    return net.train(), *_loss_and_flops(net, compiled, shape, length)


def gla(scale: str, length: int, compiled: bool) -> tuple[nn.Module, Loss, float]:
    from fla.models import GLAConfig, GLAForCausalLM

    shape = find_scale(scale).model
    net = GLAForCausalLM(
        GLAConfig(
            vocab_size=VOCABULARY,
            hidden_size=shape["d_model"],
            intermediate_size=shape["glu_width"],
            num_hidden_layers=shape["layers"],
            num_heads=shape["heads"],
            expand_k=1.0,
            expand_v=1.0,
            max_position_embeddings=length,
            use_cache=False,
        )
    ).cuda()
    return net.train(), *_loss_and_flops(net, compiled, shape, length)


def _loss_and_flops(net: nn.Module, compiled: bool, shape: dict[str, Any], length: int) -> tuple[Loss, float]:
    run = torch.compile(net) if compiled else net
    matrices = sum(p.numel() for name, p in net.named_parameters() if p.dim() == 2 and "embed" not in name)

    def loss(tokens: Tensor) -> Tensor:
        return run(input_ids=tokens[:, :-1], labels=tokens[:, :-1]).loss

    return loss, 6.0 * matrices + 6.0 * shape["layers"] * shape["d_model"] * length


CONTESTANTS: dict[str, Callable[[str, int], tuple[nn.Module, Loss, float]]] = {
    "ours-mamba2": lambda s, n: ours(s, n, True, decay="mamba2", backend="triton"),
    "ours-hgrn2": lambda s, n: ours(s, n, True, decay="hgrn2", backend="triton"),
    "ours-lightnet": lambda s, n: ours(s, n, True, decay="lightnet", backend="triton"),
    "ours-scalar": lambda s, n: ours(s, n, True, decay="mamba2", granularity="scalar", backend="triton"),
    "ours-softmax": lambda s, n: ours(s, n, True, mixer="softmax"),
    "ours-mamba2-eager": lambda s, n: ours(s, n, False, decay="mamba2", backend="triton"),
    "llama": lambda s, n: llama(s, n, True),
    "fla-gla": lambda s, n: gla(s, n, False),
    "fla-gla-compiled": lambda s, n: gla(s, n, True),
    "ours-mamba2-fla": lambda s, n: ours(s, n, True, decay="mamba2", backend="fla"),
}
REFERENCE = "llama"


def measure(name: str, scale: str, batch: int, length: int, steps: int, profile: Path | None) -> dict[str, Any]:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    torch.manual_seed(0)
    began = time.perf_counter()
    net, loss_of, flops = CONTESTANTS[name](scale, length)
    built = time.perf_counter() - began
    optimizer = make_optimizer(net, RecipeConfig(learning_rate=1e-4))
    tokens = torch.randint(0, 50257, (batch, length + 1), device="cuda")
    losses = []

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = loss_of(tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())

    step()
    torch.cuda.synchronize()
    first = time.perf_counter() - began - built
    for _ in range(3):
        step()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize()
    times = [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(events)]
    if profile is not None:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as recorded:
            for _ in range(3):
                step()
            torch.cuda.synchronize()
        profile.mkdir(parents=True, exist_ok=True)
        table = recorded.key_averages().table(sort_by="cuda_time_total", row_limit=60, max_name_column_width=110)
        (profile / f"{name}.txt").write_text(table)
    seconds = statistics.median(times)
    return {
        "name": name,
        "tokens_per_second": batch * length / seconds,
        "step_ms": 1e3 * seconds,
        "spread_ms": 1e3 * (max(times) - min(times)),
        "tflops": flops * batch * length / seconds / 1e12,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "build_s": built,
        "first_step_s": first,
        "loss": [float(x) for x in (losses[0], losses[-1])],
    }


def ceilings() -> dict[str, float]:
    """TFLOP/s of a large bfloat16 product and TB/s (read and written) of a large copy."""
    from triton.testing import do_bench

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    product = do_bench(lambda: a @ b, return_mode="median")
    copy = do_bench(lambda: target.copy_(source), return_mode="median")
    return {"matmul_tflops": 2 * 8192**3 / product / 1e9, "copy_tb_s": 2 * (1 << 30) / copy / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="160m")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="names, separated by commas")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--profile", type=Path, help="write each contestant's kernels by time into this folder")
    parser.add_argument("--share", help="i/n: only compile this share of flash-linear-attention's variants (rivals.py)")
    options = parser.parse_args()
    search_briefly(options.share)
    limits = ceilings()
    machine = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    print(f"{machine}; matmul {limits['matmul_tflops']:.0f} TFLOP/s, copy {limits['copy_tb_s']:.2f} TB/s")
    print(f"{options.scale}, {options.batch} × {options.length} tokens, bfloat16 over float32 weights", flush=True)
    results = []
    for name in options.only.split(","):
        try:
            row = measure(name, options.scale, options.batch, options.length, options.steps, options.profile)
        except Exception as error:  # one that fails must not lose the others
            row = {"name": name, "error": f"{type(error).__name__}: {str(error)[:1500]}"}
            print(f"{name}: {row['error']}", flush=True)
        results.append(row)
        print(json.dumps(row), flush=True)
    good = [row for row in results if "error" not in row]
    if options.json:
        content = {"machine": machine, "ceilings": limits, "arguments": vars(options), "results": results}
        options.json.write_text(json.dumps(content, indent=1, default=str))
    if not good:
        return
    base = next((row for row in good if row["name"] == REFERENCE), good[0])
    print(f"\n{'':20}{'× ' + base['name']:>12}{'tokens/s':>11}{'step':>10}{'MFU':>7}{'peak':>10}{'first step':>12}")
    for row in good:
        print(
            f"{row['name']:20}{row['tokens_per_second'] / base['tokens_per_second']:12.2f}"
            f"{row['tokens_per_second']:11,.0f}{row['step_ms']:7.1f} ms{row['tflops'] / limits['matmul_tflops']:7.0%}"
            f"{row['peak_gb']:7.1f} GB{row['first_step_s']:10.1f} s"
        )


if __name__ == "__main__":
    main()
