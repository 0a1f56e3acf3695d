"""What ``decaystudy fit`` adds to a step: python benchmarks/loop.py [--scale tiny] [--steps 61] [--rows 16]

A bare loop (forward, backward, clipping, AdamW, schedule) and ``fit`` with all that it does beside a step (curves, λ,
heartbeat, progress) train the same model on the same tokens in turn, in one process, without its validations. The
first column is the time of ``fit``'s step over the bare loop's. The last row is what the looks at λ alone take of
``fit``'s steps: the time of one over that of the steps until the next.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import contextlib
import io
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from decaystudy.data import DataModule
from decaystudy.model import DecayTransformer
from decaystudy.runs.config import RunConfig
from decaystudy.study.planning.profiling import Clock, profile
from decaystudy.training.compilation import compile_model
from decaystudy.training.optimizer import make_optimizer
from decaystudy.training.schedule import wsd


def config_of(scale: str, steps: int, rows: int | None) -> RunConfig:
    """The scale's own run, cut to so many steps and rows per step; text that every machine has."""
    data = {"source": "python-docs", "tokenizer": "auto" if scale == "tiny" else "bpe:8192"}
    recipe = {"validate_every": steps, "checkpoint_every": steps, "warmup_steps": 1}
    if rows is not None:
        recipe["global_batch_size"] = rows
    trainer = {"max_steps": steps, "enable_progress_bar": False}
    return RunConfig.build(scale, data=data, recipe=recipe, trainer=trainer)


def bare(config: RunConfig) -> float:
    """Median seconds of a step of the bare loop."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.threads is not None and device.type == "cpu":
        torch.set_num_threads(config.threads)
    with torch.device("meta"):
        model = DecayTransformer(config.model, seed=config.seed)
    model.to_empty(device=device)
    model.initialise()
    compile_model(model, config.compile, device)
    optimizer = make_optimizer(model, config.recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: wsd(step, config.max_steps, warmup=1, decay_fraction=0.5, final_fraction=0.0)
    )
    recipe = config.recipe
    data = DataModule(
        config.data,
        seed=config.seed,
        global_batch_size=recipe.global_batch_size,
        micro_batch_size=recipe.micro_batch_size,
    )
    data.prepare_data()
    data.setup()
    batches = iter(data.train_dataloader())
    half = "16" in str(config.trainer.get("precision"))
    times = []
    for _ in range(config.max_steps):
        began = time.perf_counter()
        for _ in range(recipe.global_batch_size // recipe.micro_batch_size):
            tokens = next(batches)["tokens"].to(device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                loss = model(tokens[:, :-1], targets=tokens[:, 1:], reduction="mean")
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        times.append(time.perf_counter() - began)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return statistics.median(times[len(times) // 4 :])


def looking(clock: Clock, config: RunConfig) -> list[float]:
    """Seconds of each look at λ that a run took between steps."""
    times = clock.durations("Telemetry.on_train_batch_end")
    return times[config.telemetry_every - 1 :: config.telemetry_every]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="tiny")
    parser.add_argument("--steps", type=int, default=61)
    parser.add_argument("--rows", type=int, help="sequences per step (default: the scale's)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    config = config_of(options.scale, options.steps, options.rows)
    found: dict[str, list[float]] = {"bare": [], "fit": []}
    looks: list[float] = []
    for number in range(options.rounds):
        found["bare"].append(bare(config))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            clock = Clock()
            found["fit"].append(profile(config, f"{folder}/{number}", clock)["step_seconds"])
            looks += looking(clock, config)
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(f"{options.scale}, {options.steps} steps, torch {torch.__version__}, median of {options.rounds} rounds")
    for name, seconds in found.items():
        each = ", ".join(f"{1e3 * value:.2f}" for value in seconds)
        print(f"{medians[name] / medians['bare']:6.3f} × {name:5} {1e3 * medians[name]:8.2f} ms ({each})")
    look, every = statistics.median(looks), config.telemetry_every
    share = 100 * look / (every * medians["fit"])
    print(f"{share:6.2f} % telemetry: a look at λ takes {1e3 * look:.2f} ms, every {every} steps")
    if options.json:
        options.json.write_text(
            json.dumps(
                {"scale": options.scale, "steps": options.steps, "seconds": found, "telemetry_percent": share}, indent=1
            )
        )


if __name__ == "__main__":
    main()
