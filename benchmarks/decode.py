"""Time and memory of decoding one token after a context of growing length, beside softmax attention of the same size.

python benchmarks/decode.py [--scale small] [--decay mamba2] [--lengths 1024,4096,16384,65536] [--tokens 32]
                            [--threads 2] [--device cpu]

Each model runs in a process of its own, on the whole path of a token: embedding, blocks, head. The decay transformer
reads its context, in pieces, through the state that it decodes from. The softmax transformer's cache is filled with
random keys and values instead: reading 64k tokens would take it minutes and change neither figure. Every token then
appends to that cache by copying it, as Hugging Face's dynamic cache does.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import statistics
import subprocess
import time
from dataclasses import fields
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from decaystudy.model import DecayTransformer, DecodingState, ModelConfig
from decaystudy.model.state import LayerState

PIECE = 1024


def read(model: DecayTransformer, state: DecodingState | None, tokens: int) -> DecodingState:
    """The state after ``tokens`` more random tokens."""
    device = model.embedding.weight.device
    for start in range(0, tokens, PIECE):
        ids = torch.randint(model.config.vocab_size, (1, min(PIECE, tokens - start)), device=device)
        _, state = model.hidden(ids, state=state)
    assert state is not None
    return state


def filled(model: DecayTransformer, tokens: int) -> DecodingState:
    """A softmax transformer's cache of ``tokens`` random keys and values."""
    config, device = model.config, model.embedding.weight.device
    shape = (1, config.heads, tokens, config.head_dim)
    layers = [
        LayerState(keys=torch.randn(shape, device=device), values=torch.randn(shape, device=device))
        for _ in range(config.layers)
    ]
    key_mask = torch.ones(1, tokens, dtype=torch.bool, device=device)
    return DecodingState(torch.full((1,), tokens, device=device), layers, key_mask=key_mask)


def state_bytes(state: DecodingState) -> int:
    """Bytes of everything that the next token is decoded from."""
    tensors = [state.position, state.tpe, state.key_mask]
    tensors += [getattr(layer, field.name) for layer in state.layers for field in fields(layer)]
    return sum(x.numel() * x.element_size() for x in tensors if x is not None)


@torch.inference_mode()
def decode(model: DecayTransformer, state: DecodingState, tokens: int) -> tuple[float, DecodingState]:
    """Median seconds per token, greedily decoded, and the state after them."""
    device = model.embedding.weight.device
    token, seconds = torch.zeros(1, 1, dtype=torch.long, device=device), []
    for _ in range(tokens + 1):
        started = time.perf_counter()
        logits, state = model(token, state=state, return_state=True)
        token = logits[:, -1:].argmax(-1)
        token.tolist()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]), state


@torch.inference_mode()
def measure(options: argparse.Namespace) -> None:
    """Print a line of JSON a context length, for one mixer."""
    design = {"mixer": "softmax"} if options.only == "softmax" else {"decay": options.decay}
    with torch.device(options.device):
        model = DecayTransformer(ModelConfig.preset(options.scale, **design)).eval()
    state, length = None, 0
    for target in options.lengths:
        if options.only == "softmax":
            del state
            state = filled(model, target)
        else:
            state = read(model, state, target - length)
        held = state_bytes(state)
        seconds, state = decode(model, state, options.tokens)
        length = target + options.tokens + 1
        print(json.dumps({"length": target, "seconds": seconds, "state": held, "memory": memory(options.device)}))


def memory(device: str) -> int:
    """Most bytes that the process (on a GPU: its tensors) has held so far."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def numbers(text: str) -> list[int]:
    """1024,4096 as integers."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--decay", default="mamba2")
    parser.add_argument("--lengths", type=numbers, default="1024,4096,16384,65536", help="tokens of context, growing")
    parser.add_argument("--tokens", type=int, default=32, help="tokens decoded at each length; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if any(b - a <= options.tokens for a, b in zip([0, *options.lengths], options.lengths, strict=False)):
        parser.error("--lengths must grow by more than --tokens each time")
    torch.set_num_threads(options.threads)
    if options.only:
        measure(options)
        return
    print(f"torch {torch.__version__}, {options.scale}, {options.device}, {options.threads} threads, batch 1, float32")
    print(f"{'context':>10}{options.decay:>14}{'softmax':>12}{'ratio':>9}", end="")
    print(f"{'state':>14}{'cache':>12}{'peak memory':>16}{'of softmax':>14}")
    mine, other = (
        subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--only", mixer], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.splitlines()
        for mixer in ("decay", "softmax")
    )
    for a, b in zip(map(json.loads, mine), map(json.loads, other), strict=True):
        print(
            f"{a['length']:10}{1e3 * a['seconds']:11.1f} ms{1e3 * b['seconds']:9.1f} ms"
            f"{b['seconds'] / a['seconds']:8.1f}x{a['state'] / 1e6:11.2f} MB{b['state'] / 1e6:9.1f} MB"
            f"{a['memory'] / 1e6:13.0f} MB{b['memory'] / 1e6:11.0f} MB"
        )


if __name__ == "__main__":
    main()
