"""Time and memory of decay attention: python benchmarks/ops.py [--threads 2] [--device cpu] [--rounds 5]

First table: forward and backward passes of each backend against the loop that one would write oneself, all timed in
turn in one process. Second table: one chunked forward and backward pass at growing length, each length in a process of
its own, with the memory that it took.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Threads that wait for each other spin for microseconds, not milliseconds, then yield: with the default, every number
# is a matter of what else runs on the machine. On an idle one it makes no difference.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from decaystudy.errors import UserError
from decaystudy.ops import decay_attention, dplr_attention

PAPER = {"batch": 1, "tokens": 2048, "heads": 6, "channels": 128}
TINY = {"batch": 8, "tokens": 256, "heads": 2, "channels": 64}
LENGTHS = (1024, 2048, 4096, 8192, 16384)


def loop(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor | None = None) -> Tensor:
    """The rival: a plain loop over unbound time steps, with autograd's backward pass."""
    decay = log_decay.exp() if log_decay.dim() == 4 else log_decay.exp().unsqueeze(-1)
    rows, columns = q.unsqueeze(-2).unbind(1), k.unsqueeze(-1).unbind(1)
    values, decays = v.unsqueeze(-2).unbind(1), decay.unsqueeze(-1).unbind(1)
    shares = beta[..., None, None].unbind(1) if beta is not None else None
    state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    outputs = []
    for t in range(q.shape[1]):
        if shares is None:
            state = torch.addcmul(columns[t] * values[t], decays[t], state)
        else:
            state = decays[t] * state
            change = shares[t] * (values[t] - columns[t].mT @ state)
            state = torch.addcmul(state, columns[t], change)
        outputs.append(rows[t] @ state)
    return torch.stack(outputs, 1).squeeze(-2)


def inputs(shape: dict, device: str, scalar: bool, dplr: bool, strongest: float) -> list[Tensor]:
    torch.manual_seed(0)
    batch, tokens, heads, channels = shape.values()
    q, k, v = (torch.randn(batch, tokens, heads, channels) for _ in range(3))
    log_decay = -strongest * torch.rand(batch, tokens, heads, *(() if scalar else (channels,)))
    tensors = [q, k, v, log_decay]
    if dplr:
        tensors[1] = torch.nn.functional.normalize(k, dim=-1)
        tensors.append(torch.rand(batch, tokens, heads))
    return [x.to(device).requires_grad_() for x in tensors]


def operator(backend: str) -> Callable[..., Tensor]:
    def run(*tensors: Tensor) -> Tensor:
        return (dplr_attention if len(tensors) == 5 else decay_attention)(*tensors, backend=backend)[0]

    return loop if backend == "loop" else run


def once(run: Callable[..., Tensor], tensors: list[Tensor]) -> tuple[float, float]:
    """Seconds forward and backward."""
    wait = torch.cuda.synchronize if tensors[0].is_cuda else lambda: None
    wait()
    start = time.perf_counter()
    o = run(*tensors)
    wait()
    middle = time.perf_counter()
    torch.autograd.grad(o.sum(), tensors)
    wait()
    return middle - start, time.perf_counter() - middle


def race(shape: dict, device: str, rounds: int, scalar: bool, dplr: bool, strongest: float) -> dict[str, list[float]]:
    """Median (forward, backward) seconds per backend; the backends take turns, after one round to warm up."""
    tensors = inputs(shape, device, scalar, dplr, strongest)
    names = ["loop", "recurrent", "chunked", *(["fla"] if device == "cuda" else [])]
    timings: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(rounds + 1):
        for name in list(timings):
            try:
                timings[name].append(once(operator(name), tensors))
            except UserError as refusal:
                print(f"    {refusal}")
                del timings[name]
    return {name: [statistics.median(part) for part in zip(*runs[1:], strict=True)] for name, runs in timings.items()}


def compare(device: str, rounds: int) -> None:
    print(f"{'':44}{'backend':>10}{'forward':>11}{'backward':>11}{'both':>11}{'loop / it':>11}")
    for label, shape, scalar, dplr, strongest in (
        ("one decay per channel, log λ in (-0.3, 0)", PAPER, False, False, 0.3),
        ("one decay per channel, log λ in (-20, 0)", PAPER, False, False, 20.0),
        ("one decay per head, log λ in (-0.3, 0)", PAPER, True, False, 0.3),
        ("DPLR, one decay per channel, (-0.3, 0)", PAPER, False, True, 0.3),
        ("one decay per channel, log λ in (-0.3, 0)", TINY, False, False, 0.3),
        ("one decay per head, log λ in (-0.3, 0)", TINY, True, False, 0.3),
        ("DPLR, one decay per channel, (-0.3, 0)", TINY, False, True, 0.3),
    ):
        print("B={batch} T={tokens} H={heads} D={channels}".format(**shape))
        for name, (forward, backward) in (results := race(shape, device, rounds, scalar, dplr, strongest)).items():
            ratio = sum(results["loop"]) / (forward + backward)
            times = "".join(f"{1e3 * seconds:8.1f} ms" for seconds in (forward, backward, forward + backward))
            print(f"  {label:42}{name:>10}{times}{ratio:10.1f}x")
            label = ""


def grow(threads: int, rounds: int) -> None:
    print("\nchunked, B=1 H=6 D=128, one decay per channel: forward and backward together")
    print(f"{'tokens':>10}{'time':>12}{'a 1k tokens':>16}{'memory':>12}{'a 1k tokens':>16}")
    for tokens in LENGTHS:
        command = [sys.executable, __file__, "--threads", str(threads), "--rounds", str(rounds), "--only", str(tokens)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        seconds, memory = result["seconds"], result["bytes"]
        print(
            f"{tokens:10}{1e3 * seconds:9.0f} ms{1e3 * seconds / tokens * 1024:13.1f} ms"
            f"{memory / 1e6:9.0f} MB{memory / 1e6 / tokens * 1024:13.1f} MB"
        )


def one_length(tokens: int, rounds: int) -> None:
    """Print the median seconds and the bytes by which the process grew, inputs and their gradients included."""
    once(operator("chunked"), inputs(PAPER | {"tokens": 128}, "cpu", False, False, 0.3))  # what a first call loads
    before = peak_memory()
    tensors = inputs(PAPER | {"tokens": tokens}, "cpu", False, False, 0.3)
    seconds = statistics.median(sum(once(operator("chunked"), tensors)) for _ in range(rounds))
    print(json.dumps({"seconds": seconds, "bytes": peak_memory() - before}))


def peak_memory() -> int:
    """The most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands a parent's ru_maxrss on to its children
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, of which the median counts")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        one_length(options.only, options.rounds)
        return
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, median of {options.rounds}\n")
    compare(options.device, options.rounds)
    if options.device == "cpu":
        grow(options.threads, options.rounds)


if __name__ == "__main__":
    main()
