"""``decaystudy fit``: train one run, or resume it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from decaystudy.commands.parsing import make_parser
from decaystudy.commands.run_settings import add_run_settings, build_run, given_settings
from decaystudy.data.registry import find_source
from decaystudy.formatting import count
from decaystudy.model.count import parameter_count
from decaystudy.output import show_log, shows
from decaystudy.runs.config import RunConfig
from decaystudy.runs.records import dump_config
from decaystudy.training.world import SUPERVISED

LOG = logging.getLogger("decaystudy")
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Variables by which a process of several finds which one it is."""
DESCRIPTION = """Train one run, or resume it.

Settings come from the scale, then from each --config file, then from flags; later ones win. --out receives config.yaml,
status.json, result.json, checkpoints, weights and curves. The same command resumes an interrupted run, on any number of
devices; a folder that holds a run with other settings is refused. The defaults shown are those of --scale.

  decaystudy fit --model.decay simple --model.decay_options.p 0.95
  decaystudy fit --scale 160m --model.granularity scalar --trainer.devices 8 --strategy fsdp
  decaystudy fit --config runs/a/config.yaml --out runs/b --seed 1"""


def run(arguments: list[str]) -> int:
    """Parse, train and print the result; return the exit code."""
    parser = make_parser("fit", DESCRIPTION)
    parser.add_argument(
        "--config", type=str, action="append", metavar="FILE", help="a YAML file of settings; may be repeated"
    )
    parser.add_argument(
        "--out", type=str | None, default=None, metavar="DIR", help="the run folder (default: runs/NAME)"
    )
    parser.add_argument("--print_config", action="store_true", help="print the resulting configuration and stop")
    add_run_settings(parser)
    print_config = "--print_config" in arguments  # jsonargparse has a flag of this name itself
    words = [word for word in arguments if word != "--print_config"]
    settings, others = given_settings(parser, repeat_config(words))
    show_log()
    config = build_run(settings, fetch=not print_config)
    if print_config:
        text = dump_config(config)
        print(text if shows(text) else dump_config(config, ascii_only=True), end="")
        return 0
    out = Path(others["out"] or Path("runs") / default_name(config)).expanduser()
    if SUPERVISED not in os.environ and all(os.environ.get(name, "0") == "0" for name in RANKS):
        LOG.info("%s, in %s", describe(config), out)  # before PyTorch is imported, which takes seconds
    find_source(config.data.source).check(config.data)
    from decaystudy.data.holding_out import few_held_out

    if not (out / "result.json").exists() and (few := few_held_out(config.data)):
        LOG.warning(few)
    from decaystudy.training.process import train

    return train(config, out, [sys.executable, "-m", "decaystudy", "fit", *arguments])


def describe(config: RunConfig) -> str:
    """``mamba2 at scale tiny, 1.23 M parameters, seed 0``"""
    size = count(parameter_count(config.model))
    return f"{_kind(config)} at scale {config.scale}, {size} parameters, seed {config.seed}"


def repeat_config(words: list[str]) -> list[str]:
    """``--config a b`` rewritten as ``--config a --config b``."""
    spread: list[str] = []
    in_config = False
    for word in words:
        if word.startswith("-"):
            in_config = word == "--config"
        elif in_config and spread[-1] != "--config":
            spread.append("--config")
        spread.append(word)
    return spread


def default_name(config: RunConfig) -> str:
    """A folder name that describes the run and is unique to it."""
    return f"{config.scale}-{_kind(config)}-seed{config.seed}-{config.identity_hash()}"


def _kind(config: RunConfig) -> str:
    return "softmax" if config.model.mixer == "softmax" else config.model.decay.rpartition(".")[2]
