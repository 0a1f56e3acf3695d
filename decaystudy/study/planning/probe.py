"""``decaystudy probe``: how fast this machine trains, so that plans say hours.

It trains some of the study's cells for a few steps, as many at once as the study would, through the same ``fit``, and
reads a Lightning profiler: steps and validation apart from a run's start and end.
"""

from __future__ import annotations

import dataclasses
import datetime
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig
from decaystudy.study.definition.expand import Run
from decaystudy.study.definition.several import expand_all, union
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.execution.local import LocalLauncher
from decaystudy.study.execution.processes import forkserver, start_forked
from decaystudy.study.execution.worker import redirect
from decaystudy.study.planning.hardware import Probe, choose_speed, shape_key, summarise_probe, write_probe
from decaystudy.training.supervisor import end_with_parent

STEPS = 13
"""One to warm up, and three groups of four whose median counts."""
OFFLINE = ("python-docs", "recall")
"""Data sources that every machine has; for the others, text of the first stands in."""
BUDGET_SECONDS = 35.0
"""No cell is begun later than this; the others are reckoned from those that were measured."""


def probe(
    studies: Sequence[str] = ("sharing",),
    *,
    scale: str | None = None,
    jobs: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> int:
    """Measure this machine's training speed, in under a minute, for the hours of later plans.

    Args:
        studies: whose cells to measure.
        scale: tiny unless given.
        jobs: runs at once; as many as fit the machine unless given, which is what run-study does.
        overrides: settings of all cells, nested.
    """
    expanded = expand_all(studies, scale=scale, overrides=overrides)
    chosen = expanded[0].scale
    runs = distinct_shapes(union(expanded))
    launcher = LocalLauncher(ExecutionOptions(jobs=jobs))
    launcher.check(runs)
    on_gpu = launcher.on_gpu(runs)
    if not on_gpu and runs[0].config.threads is None:
        raise UserError(f"scale {chosen} is made for GPUs and this machine has none: plan with --gpu a100-80gb instead")
    at_once = launcher.at_once(runs)
    at_once = min(-(-at_once // len(launcher.gpus)) if on_gpu else at_once, len(runs))
    print(f"measuring {chosen} with {at_once} at once{' on a GPU' if on_gpu else ''} …", file=sys.stderr)
    measured, log = measure(runs, at_once, on_gpu)
    if not measured:
        raise UserError(f"no run could be measured: {log}")
    found = gather(measured, runs)
    path = write_probe(found, chosen, jobs=at_once, gpu=on_gpu)
    jobs_at_once = at_once * len(launcher.gpus) if on_gpu else at_once
    speed = choose_speed(chosen, gpu=None, devices=1, jobs=jobs_at_once, on_cpu=not on_gpu)
    for run in runs:
        key = shape_key(run.config)
        seconds = found.token_seconds.get(key)
        rate = f"{1 / seconds:,.0f} tokens/s" if seconds else "not measured"
        print(f"  {run.cell:<28}{rate:>20}   {speed.seconds(run.config):,.0f} s a run")
    print(f"  a run's start and end take {found.fixed_seconds:.1f} s; kept in {path}")
    return 0


def distinct_shapes(runs: Sequence[Run]) -> list[Run]:
    """One run of each shape."""
    shapes: dict[str, Run] = {}
    for run in runs:
        shapes.setdefault(shape_key(run.config), run)
    return list(shapes.values())


def measure(runs: Sequence[Run], at_once: int, on_gpu: bool) -> tuple[list[dict[str, Any]], str]:
    """What each measured run took, from ``at_once`` processes that work on a share of the runs each."""
    if on_gpu:
        context: Any = multiprocessing.get_context("spawn")
    else:
        context = forkserver("decaystudy.study.planning.profiling")
    with tempfile.TemporaryDirectory(prefix="decaystudy-probe-") as folder:
        log = Path(folder) / "log.txt"
        shares = [
            [(shape_key(run.config), short(run.config, on_gpu)) for run in runs[i::at_once]] for i in range(at_once)
        ]
        answers = context.SimpleQueue()
        ready = context.Barrier(at_once)
        arguments = [(share, f"{folder}/{i}", str(log), ready, answers) for i, share in enumerate(shares)]
        processes = [context.Process(target=measure_share, args=each) for each in arguments]
        for process in processes:
            start_forked(process)
        measured: list[dict[str, Any]] = []
        for process in processes:
            while process.is_alive():
                process.join(timeout=0.1)
                while not answers.empty():
                    measured.append(answers.get())
        while not answers.empty():
            measured.append(answers.get())
        text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
        return measured, text.splitlines()[-1] if text else "it printed nothing"


def short(config: RunConfig, on_gpu: bool) -> RunConfig:
    """The run cut to a few steps, with text that every machine has."""
    trainer = {**config.trainer, "max_steps": STEPS, "enable_progress_bar": False}
    recipe = dataclasses.replace(config.recipe, validate_every=STEPS, checkpoint_every=STEPS, warmup_steps=1)
    data = config.data
    if on_gpu:
        recipe = dataclasses.replace(recipe, global_batch_size=2 * recipe.micro_batch_size)
        if data.source not in OFFLINE:
            tokenizer = f"bpe:{max(257, config.model.vocab_size)}"
            data = dataclasses.replace(type(data)(), tokenizer=tokenizer, sequence_length=data.sequence_length)
    return dataclasses.replace(config, trainer=trainer, recipe=recipe, data=data)


def measure_share(share: Sequence[tuple[str, RunConfig]], folder: str, log: str, ready: Any, answers: Any) -> None:
    """Body of one process: measure its runs one after the other while the other processes do the same."""
    end_with_parent()
    redirect(log)
    from decaystudy.study.planning.profiling import profile

    ready.wait()
    began = time.perf_counter()
    # The first run pays for what later ones find ready (data, tokenizer, the operating system's caches).
    for number, (key, config) in enumerate(share):
        if time.perf_counter() - began > BUDGET_SECONDS:
            return
        answers.put({"key": key, **profile(config, f"{folder}-{number}")})


def gather(measured: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> Probe:
    """The probe from what single runs took."""
    from decaystudy.runs.records import versions

    stamp = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    found = Probe(measured=f"{stamp}, torch {versions().get('torch', '?')}")
    for one in measured:
        found.token_seconds[one["key"]] = one["step_seconds"] / one["tokens_per_step"]
        found.sequence_seconds[one["key"]] = one["validation_seconds"] / max(one["validation_sequences"], 1)
    found.fixed_seconds = statistics.median(one["fixed_seconds"] for one in measured)
    found.source, found.validation_sequences = measured[0]["source"], measured[0]["validation_sequences"]
    summarise_probe(found, {shape_key(run.config): run.config for run in runs})
    return found
