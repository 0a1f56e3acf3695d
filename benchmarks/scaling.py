"""One run on more and more devices: python benchmarks/scaling.py --scale 410m --devices 1,2,8 [--strategies ddp,fsdp]

Each row is ``decaystudy fit`` in processes of its own, with the same seed, text and global batch, on the first
devices of this machine. Tokens/s is the median over the steps after the first ones; efficiency is over the row of one
device; the first step counts from the command. ``plan`` is what a plan for ``--gpu`` expects over what was measured.
With --kill the last row is run again: one of its ranks is killed after a checkpoint and the same command given again,
with all devices and with half of them. Arguments after ``--`` go to fit, such as -- --config text.yaml.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from decaystudy.devices import DEVICES
from decaystudy.model.count import forward_flops
from decaystudy.runs.config import RunConfig
from decaystudy.runs.curves import read_curves
from decaystudy.scales import find_scale
from decaystudy.study.planning.measured import utilisation

STEP = re.compile(r"^step \d+/", re.MULTILINE)
SETTLED = 4
"""Steps that don't count: compilation, caches, the first exchanges between devices."""


@dataclass
class Row:
    """One layout's run."""

    devices: int
    strategy: str
    tokens_per_second: float = 0.0
    mfu: float | None = None
    peak_gib: float = 0.0
    """Of the first device."""
    first_step_seconds: float = 0.0
    seconds: float = 0.0
    """Of the whole command."""
    code: int = 0
    device: str = ""


@dataclass(frozen=True)
class Task:
    """What all rows have in common."""

    scale: str
    steps: int
    micro_batch: int
    cpu: bool
    folder: Path
    more: list[str]

    def command(self, devices: int, strategy: str, out: Path, checkpoint_every: int) -> list[str]:
        trainer = {
            "max_steps": self.steps,
            "devices": devices,
            "accelerator": "cpu" if self.cpu else "gpu",
            "log_every_n_steps": 1,
        }
        settings = [part for name, value in trainer.items() for part in (f"--trainer.{name}", str(value))]
        settings += ["--strategy", strategy if devices > 1 else "auto"]
        settings += ["--recipe.micro_batch_size", str(self.micro_batch), "--recipe.validate_every", str(self.steps)]
        settings += ["--recipe.checkpoint_every", str(checkpoint_every)]
        settings += ["--recipe.warmup_steps", str(max(1, self.steps // 10))]
        return [
            sys.executable,
            "-m",
            "decaystudy",
            "fit",
            "--scale",
            self.scale,
            "--out",
            str(out),
            *settings,
            *self.more,
        ]


def run(command: list[str], devices: int, log: Path, *, kill_in: Path | None = None) -> tuple[float, float, int]:
    """Seconds to the first step, seconds in all, and the exit code; with ``kill_in`` one rank is killed as soon as
    that run folder has a checkpoint."""
    shown = ",".join(map(str, range(devices)))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": shown, "PYTHONUNBUFFERED": "1"}
    began, first, done = time.perf_counter(), 0.0, log.stat().st_size if log.exists() else 0
    with log.open("a") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            time.sleep(0.1)
            if not first and STEP.search(log.read_text()[done:]):
                first = time.perf_counter() - began
            if kill_in is not None and any(kill_in.glob("checkpoints/step=*.ckpt")):
                os.kill(victim := rank_of(process.pid), signal.SIGKILL)
                print(f"killed rank process {victim} {time.perf_counter() - began:.0f} s after the command", flush=True)
                kill_in = None
    return first, time.perf_counter() - began, process.returncode


def rank_of(pid: int) -> int:
    """The youngest of the ranks that a command has started: the processes below it that hold much memory."""
    below, parents = {pid}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = (int(fields[1]), int(fields[19]), int(fields[21]))
    while more := {child for child, (parent, *_) in parents.items() if parent in below} - below:
        below |= more
    ranks = {child: parents[child] for child in below - {pid}}
    largest = max(pages for _, _, pages in ranks.values())
    return max((begun, child) for child, (_, begun, pages) in ranks.items() if pages > largest / 3)[1]


def measure(task: Task, devices: int, strategy: str, out: Path, *, kill: bool | None = None) -> Row:
    """One run; ``kill``: with checkpoints on the way, and whether to kill a rank after the first."""
    row = Row(devices, strategy if devices > 1 else "one device")
    log = task.folder / f"{out.name}.log"
    row.first_step_seconds, row.seconds, row.code = run(
        task.command(devices, strategy, out, task.steps if kill is None else max(2, task.steps // 3)),
        devices,
        log,
        kill_in=out if kill else None,
    )
    curves = read_curves(out, ("train/",), most=None)
    if kill:
        return row
    if row.code == 0 and "train/tokens_per_second" in curves:
        row.tokens_per_second = statistics.median(curves["train/tokens_per_second"].values[SETTLED:])
        row.peak_gib = float(max(curves["train/peak_memory_gib"].values))
        row.mfu = statistics.median(curves["train/mfu"].values[SETTLED:]) if "train/mfu" in curves else None
        row.device = json.loads((out / "result.json").read_text()).get("device", "")
    else:
        print(f"failed with {row.code}; the end of {log}:\n" + "".join(log.read_text().splitlines(True)[-15:]))
    return row


def expected(task: Task, gpu: str, devices: int) -> float:
    """Tokens/s that a plan for such GPUs counts on."""
    device = DEVICES[gpu]
    config = RunConfig.build(task.scale, data={"source": "python-docs", "tokenizer": "bpe:8192"})
    flops = forward_flops(config.model, config.data.sequence_length).training
    return device.flops * utilisation(device, config.model) * devices / flops


def show(row: Row, one: Row | None, planned: float | None) -> None:
    efficiency = row.tokens_per_second / row.devices / one.tokens_per_second if one and one.tokens_per_second else 0.0
    print(
        f"{row.devices:3} {row.strategy:10}{row.tokens_per_second:11,.0f} tokens/s{efficiency:6.2f} per device"
        + (f"{row.mfu:7.1%} MFU" if row.mfu else f"{'':11}")
        + f"{row.peak_gib:7.1f} GiB{row.first_step_seconds:7.0f} s to the first step{row.seconds:6.0f} s in all"
        + (f"  plan {planned / row.tokens_per_second:.2f}" if planned and row.tokens_per_second else "")
        + (f"  failed with {row.code}" if row.code else ""),
        flush=True,
    )


def kill_and_resume(task: Task, devices: int, strategy: str, whole: Path) -> dict[str, object]:
    """A rank is killed, and the same command goes on; then its last checkpoint goes on with half of the devices."""
    out = task.folder / "killed"
    killed = measure(task, devices, strategy, out, kill=True)
    again = measure(task, devices, strategy, out, kill=False)
    curves = [read_curves(folder, ("train/loss",), most=None)["train/loss"] for folder in (whole, out)]
    unbroken = dict(zip(curves[0].steps, curves[0].values, strict=True))
    gap = max(abs(unbroken[step] - loss) for step, loss in zip(curves[1].steps, curves[1].values, strict=True))
    tokens = [json.loads((folder / "result.json").read_text())["tokens"] for folder in (whole, out)]
    print(f"exit code {killed.code} after {killed.seconds:.0f} s")
    print(f"same command: {again.first_step_seconds:.0f} s to its first step, exit code {again.code}")
    print(f"tokens {tokens[0]:,} and {tokens[1]:,}; training losses differ by at most {gap:.2e} from the unbroken run")
    fewer = task.folder / "fewer"
    first = measure(task, devices, strategy, fewer, kill=True)
    half = measure(task, max(1, devices // 2), strategy, fewer, kill=False)
    print(
        f"killed ({first.code}) and gone on with {max(1, devices // 2)}: exit code {half.code}, "
        f"{half.first_step_seconds:.0f} s to its first step"
    )
    return {"killed": asdict(killed), "again": asdict(again), "gap": gap, "tokens": tokens, "fewer": asdict(half)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="410m")
    parser.add_argument("--devices", default="1,2", help="numbers of devices, separated by commas")
    parser.add_argument("--strategies", default="ddp", help="of the rows with several devices: ddp, fsdp")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--micro-batch", type=int, help="sequences per device (default: the scale's)")
    parser.add_argument("--gpu", help="the plan's name of these GPUs, such as h200: compare with its tokens/s")
    parser.add_argument("--cpu", action="store_true", help="processes on this CPU in place of GPUs")
    parser.add_argument("--kill", action="store_true", help="kill a rank of the last row's run and go on")
    parser.add_argument("--folder", type=Path, help="where the runs and their logs go (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    options, more = parser.parse_args(own[:cut]), own[cut + 1 :]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="scaling-"))
    folder.mkdir(parents=True, exist_ok=True)
    micro = options.micro_batch or find_scale(options.scale).recipe["micro_batch_size"]
    task = Task(options.scale, options.steps, micro, options.cpu, folder, more)
    print(f"{options.scale}, {options.steps} steps, micro-batches of {micro}; logs in {folder}", flush=True)
    rows: list[Row] = []
    last, found = folder, {}
    for devices in map(int, options.devices.split(",")):
        for strategy in options.strategies.split(",") if devices > 1 else ["auto"]:
            last = folder / f"{devices}-{strategy}"
            rows.append(measure(task, devices, strategy, last))
            planned = expected(task, options.gpu, devices) if options.gpu else None
            show(rows[-1], next((row for row in rows if row.devices == 1), None), planned)
    if options.kill and rows[-1].code == 0:
        found = kill_and_resume(task, rows[-1].devices, rows[-1].strategy, last)
    if options.json:
        options.json.write_text(json.dumps({"rows": [asdict(row) for row in rows], **found}, indent=1))


if __name__ == "__main__":
    main()
