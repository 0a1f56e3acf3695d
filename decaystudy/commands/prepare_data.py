"""``decaystudy prepare-data``: tokenize a source before training."""

from __future__ import annotations

from decaystudy.commands.data_settings import add_data_settings, count_tokens, given_data, tell_few
from decaystudy.commands.parsing import make_parser
from decaystudy.output import show_log

DESCRIPTION = """Tokenize a source into the cache before training: all of it, or until there are --tokens tokens.

The same command resumes interrupted work. Machines and SLURM tasks that share the cache share the work. Give it the
--data settings of the runs: a tokenizer that is trained on the source sees training documents only, so with another
--data.validation_fraction it is trained, and the source tokenized, again.

  decaystudy prepare-data --data.source fineweb-edu --data.tokenizer gpt2 --tokens 10B --workers 8"""


def run(arguments: list[str]) -> int:
    """Parse and tokenize; return the exit code."""
    parser = make_parser("prepare-data", DESCRIPTION)
    parser.add_argument(
        "--tokens", type=str | None, default=None, help="number of tokens, such as 10B or 200M (default: all)"
    )
    parser.add_argument(
        "--workers", type=int | None, default=None, help="number of processes (default: one per eight cores)"
    )
    add_data_settings(parser)
    config, seed, others = given_data(parser, arguments)
    show_log()
    from decaystudy.data.prepare import prepare

    print(prepare(config, tokens=count_tokens(others["tokens"]), workers=others["workers"], seed=seed))
    tell_few(config)
    return 0
