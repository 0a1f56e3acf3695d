"""``decaystudy rehearse``: check this machine before a cluster's time is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decaystudy.checks import check_whole
from decaystudy.commands.parsing import make_parser
from decaystudy.commands.run_settings import build_run, given_settings
from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig
from decaystudy.runs.config import RunConfig, compile_choice, merge
from decaystudy.runs.trainer import MOST_DEVICES

DESCRIPTION = """Check this machine and strategy with a tiny run, before a cluster's time is spent. Takes minutes.

Each line says pass, or FAIL and what to do: the file system of --out (rename, locks, links, room, fsync of folders),
the bandwidth between the devices, a run of decaystudy fit, its start values (each layer's λ where its decay says, all
ranks with the weights of one process), its checkpoint read back, and the same run killed and resumed: its tokens,
losses and weights must be those of the undisturbed one, bit for bit. After a failure the files are kept below --out.

  decaystudy rehearse --strategy fsdp --devices 2
  decaystudy rehearse --model.decay mypackage.decays.Mine --out /scratch/me/runs

exit code: 0 when all checks pass, 1 when one fails, 2 for a mistake in the call."""

MOST_KILLS = 100
OBEYED = ("accelerator", "precision", "deterministic")
"""Trainer settings that are rehearsed; the others are the rehearsal's own."""


def run(arguments: list[str]) -> int:
    """Parse and rehearse; return the exit code."""
    parser = make_parser("rehearse", DESCRIPTION)
    parser.add_argument("--strategy", type=str, default="auto", help="auto, ddp or fsdp (FSDP2)")
    parser.add_argument(
        "--devices", type=int | None, default=None, metavar="N", help="GPUs, or processes (default: all GPUs, or one)"
    )
    parser.add_argument("--kills", type=int, default=3, help="times that the run is killed")
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where runs will go")
    parser.add_argument(
        "--compile", type=compile_choice, default="auto", metavar="WHEN", help="as of fit: auto, true or false"
    )
    parser.add_class_arguments(ModelConfig, "model", skip={"vocab_size"})
    parser.add_argument(
        "--trainer",
        type=dict[str, Any],
        default={},
        metavar="NAME VALUE",
        help=f"a setting of Lightning's Trainer: {', '.join(OBEYED)}",
    )
    settings, others = given_settings(parser, arguments)
    check_whole("--kills", others["kills"], 1, MOST_KILLS)
    if others["devices"] is not None:
        check_whole("--devices", others["devices"], 1, MOST_DEVICES)
    config = tiny_run(settings, others["devices"], others["kills"])
    from decaystudy.rehearsal.rehearse import rehearse

    return rehearse(config, Path(others["out"]).expanduser(), others["kills"])


def tiny_run(settings: dict[str, Any], devices: int | None, kills: int) -> RunConfig:
    """The run that is rehearsed.

    Raises:
        UserError: its settings make no sense, or this machine or this process cannot train it.
    """
    from decaystudy.training.processors import check_gpus, check_processes, check_sharding
    from decaystudy.training.world import device_count, launched_by, uses_gpu

    trainer = settings.get("trainer", {})
    for name in trainer:
        if name == "devices":
            raise UserError("a rehearsal has a flag of its own for trainer.devices: use --devices")
        if name not in OBEYED:
            raise UserError(f"trainer.{name} is not rehearsed: of Lightning's settings give {', '.join(OBEYED)}")
    launched = launched_by()
    if launched is not None:
        who, number = launched
        raise UserError(
            f"{who} has started {number} processes, and a rehearsal starts its processes itself: call it once, "
            "without torchrun (in SLURM in the shell of an allocation, or with srun --ntasks 1), and give --devices"
        )
    count = devices or device_count(trainer)
    if uses_gpu(trainer):
        import torch

        if count > torch.cuda.device_count():
            raise UserError(f"--devices is {count} and this machine has {torch.cuda.device_count()} GPUs: give fewer")
    own = {
        "logger": ["csv", "decaystudy.rehearsal.witness.Witness"],
        "data": {"sequence_length": 64, "validation_tokens": 2000},
        "recipe": {"global_batch_size": 4 * count, "micro_batch_size": 2, "checkpoint_every": 5, "validate_every": 10},
        "trainer": {"max_steps": 20 + 6 * kills, "devices": count, "log_every_n_steps": 1},
    }
    config = build_run(merge(own, settings), fetch=True)
    check_sharding(config, count)
    check_gpus(config, count)
    if not uses_gpu(trainer):
        check_processes("--devices", count)
    return config
