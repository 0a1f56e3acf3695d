"""The settings of the data alone, from flags, configuration files and a scale."""

from __future__ import annotations

import logging
import re
from typing import Any

from jsonargparse import ArgumentParser

from decaystudy.checks import LARGEST_SEED, check_whole
from decaystudy.commands.run_settings import given_settings
from decaystudy.data.config import DataConfig
from decaystudy.errors import UserError
from decaystudy.runs.config import build_section, merge, scale_defaults
from decaystudy.scales import SCALES

LOG = logging.getLogger(__name__)
MOST_TOKENS = 10**14
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def add_data_settings(parser: ArgumentParser) -> None:
    """Add flags for the data, and for the scale that sets its defaults."""
    parser.add_argument("--config", type=str, action="append", metavar="FILE", help="a YAML file of settings")
    parser.add_argument("--scale", type=str, default="tiny", help=f"sets the defaults of the data: {', '.join(SCALES)}")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of the documents")
    parser.add_class_arguments(DataConfig, "data")


def given_data(parser: ArgumentParser, arguments: list[str]) -> tuple[DataConfig, int, dict[str, Any]]:
    """The configuration of the data, the seed, and the verb's other arguments."""
    settings, others = given_settings(parser, arguments)
    merged = merge(scale_defaults(settings.get("scale", "tiny")), settings)
    data: DataConfig = build_section("data", merged["data"])
    data.validate()
    seed = merged.get("seed", 0)
    check_whole("seed", seed, 0, LARGEST_SEED)
    return data, seed, others


def tell_few(config: DataConfig) -> None:
    """Say so where too few documents are held out for verdicts."""
    from decaystudy.data.holding_out import few_held_out

    if few := few_held_out(config):
        LOG.warning(few)


def count_tokens(text: str | None) -> int | None:
    """The number that ``10B``, ``1.5M``, ``200k`` or ``4096`` stands for."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([\d_,]*\.?\d+)\s*([kmb]?)\s*", text.lower())
    value = float(match[1].replace("_", "").replace(",", "")) * UNITS[match[2]] if match else 0
    if not 1 <= value <= MOST_TOKENS:
        raise UserError(f"--tokens is {text[:60]!r}: give a number such as 10B, 200M or 50000, at most 100000B")
    return round(value)
