"""Whether two backends train alike: python benchmarks/backends.py [--scale mini] [--steps 500] [--seeds 1]
                                                                   [--config text.yaml]

``triton`` and ``chunked``, and ``chunked`` with chunks of 32 tokens for the size of rounding alone, train from the same
start on the same tokens, in float32 and in bfloat16. Shown are the largest gap between the losses of the first 20
steps, the gap between the means of the last 100, and the largest relative gap between the gradient norms of the
decay's parameters at step 1. Any rounding makes two runs part, so one gap of the last 100 tells little: with several
seeds, each with a start and tokens of its own, it is the mean over them, with its standard error.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import statistics
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch._inductor.config
from torch import nn

from decaystudy.data import DataModule
from decaystudy.model import DecayTransformer
from decaystudy.ops import chunks
from decaystudy.runs.config import RunConfig
from decaystudy.training.compilation import compile_model
from decaystudy.training.optimizer import make_optimizer
from decaystudy.training.schedule import wsd

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def train(config: RunConfig, backend: str, batches: list[torch.Tensor], *, half: bool) -> dict[str, object]:
    """Losses of every step, and the gradient norms of the decay's parameters at the first."""
    device = batches[0].device
    torch._dynamo.reset()
    config.model.backend = backend
    with torch.device("meta"):
        model = DecayTransformer(config.model, seed=config.seed)
    model.to_empty(device=device)
    model.initialise()
    compile_model(model, "auto", device)
    optimizer = make_optimizer(model, config.recipe)
    warmup = config.recipe.warmup_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: wsd(step, len(batches), warmup=warmup, decay_fraction=0.2, final_fraction=0.1)
    )
    losses, norms = [], {}
    for tokens in batches:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            loss = model(tokens[:, :-1], targets=tokens[:, 1:], reduction="mean")
        loss.backward()
        if not norms:
            norms = {
                n: float(p.grad.norm()) for n, p in model.named_parameters() if ".decay." in n and p.grad is not None
            }
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses).tolist(), "norms": norms}


def compare(one: dict[str, object], other: dict[str, object]) -> dict[str, float]:
    first = [abs(a - b) for a, b in zip(one["losses"][:20], other["losses"][:20], strict=True)]
    last = statistics.mean(one["losses"][-100:]) - statistics.mean(other["losses"][-100:])
    norms = [abs(one["norms"][n] - other["norms"][n]) / other["norms"][n] for n in other["norms"] if other["norms"][n]]
    return {"first_20": max(first), "last_100": last, "gradient_norms": max(norms, default=0.0)}


def over_seeds(gaps: list[dict[str, float]]) -> dict[str, float]:
    """The worst of the early gaps, and mean and standard error of the late ones."""
    late = [gap["last_100"] for gap in gaps]
    error = statistics.stdev(late) / len(late) ** 0.5 if len(late) > 1 else float("nan")
    worst = {name: max(gap[name] for gap in gaps) for name in ("first_20", "gradient_norms")}
    return worst | {"last_100": statistics.mean(late), "last_100_error": error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="mini")
    parser.add_argument("--decay", default="mamba2")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--config", help="settings of fit, for the data")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = {"source": "python-docs"}
    if options.config:
        from decaystudy.yaml_document import load

        data = load(Path(options.config)).values["data"]
    config = RunConfig.build(options.scale, data=data, model={"decay": options.decay})
    source = DataModule(
        config.data, seed=config.seed,
        global_batch_size=config.recipe.global_batch_size, micro_batch_size=config.recipe.micro_batch_size,
    )  # fmt: skip
    source.prepare_data()
    source.setup()
    stream = iter(source.train_dataloader())
    batches = [[next(stream)["tokens"].to(device) for _ in range(options.steps)] for _ in range(options.seeds)]
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(
        f"{options.scale}, {options.decay}, {options.steps} steps, {options.seeds} seeds, {name}, "
        f"torch {torch.__version__}",
        flush=True,
    )
    # Compiled code is kept by what it was made of, which the size of a chunk is no part of.
    torch._inductor.config.force_disable_caches = True
    usual = chunks.CHUNK
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    losses: dict[str, list[dict[str, object]]] = {}
    for precision in options.precisions.split(","):
        found[precision] = {"triton": [], "chunked-32": []}
        losses[precision] = []
        for seed in range(options.seeds):
            config.seed = seed
            runs = {}
            for label, backend, size in (
                ("chunked", "chunked", usual),
                ("chunked-32", "chunked", 32),
                ("triton", "triton", usual),
            ):
                chunks.CHUNK = size
                runs[label] = train(config, backend, batches[seed], half=precision == "bfloat16")
            chunks.CHUNK = usual
            losses[precision].append({label: run["losses"] for label, run in runs.items()})
            for label, gaps in found[precision].items():
                gaps.append(compare(runs[label], runs["chunked"]))
                shown = over_seeds(gaps)
                print(
                    f"{precision} {label} against chunked, {seed + 1} seeds: first 20 losses {shown['first_20']:.1e}, "
                    f"mean of the last 100 {shown['last_100']:+.4f} ± {shown['last_100_error']:.4f} nats, "
                    f"gradient norms of the decay {shown['gradient_norms']:.1e}",
                    flush=True,
                )
            if options.json:
                options.json.write_text(json.dumps({"gaps": found, "losses": losses}))


if __name__ == "__main__":
    main()
