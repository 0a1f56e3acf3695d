"""``decaystudy prepare-data``: tokenize a source ahead of training."""

from __future__ import annotations

import logging
import sys

from decaystudy.commands.data_settings import add_data_settings, count_tokens, given_data
from decaystudy.commands.parsing import make_parser

DESCRIPTION = """Tokenize a source into the cache ahead of training, whole or until it holds --tokens tokens.

Interrupted, the same command goes on; several machines or SLURM tasks that share the cache share the work.

  decaystudy prepare-data --data.source fineweb-edu --data.tokenizer gpt2 --tokens 10B --workers 8"""


def run(arguments: list[str]) -> int:
    """Parse and tokenize; returns the exit code."""
    parser = make_parser("prepare-data", DESCRIPTION)
    parser.add_argument("--tokens", type=str | None, default=None, help="such as 10B or 200M (default: all there is)")
    parser.add_argument(
        "--workers", type=int | None, default=None, help="processes (default: one for every eight cores)"
    )
    add_data_settings(parser)
    config, seed, others = given_data(parser, arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    from decaystudy.data.prepare import prepare

    print(prepare(config, tokens=count_tokens(others["tokens"]), workers=others["workers"], seed=seed))
    return 0
