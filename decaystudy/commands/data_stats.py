"""``decaystudy data-stats``: documents, tokens and samples of a source."""

from __future__ import annotations

from decaystudy.commands.data_settings import add_data_settings, count_tokens, given_data, tell_few
from decaystudy.commands.parsing import make_parser
from decaystudy.io import json_text
from decaystudy.output import print_json, show_log

DESCRIPTION = """A source as tokens: documents, tokens, bytes per token, document lengths, a few decoded samples, and
a hash of the first --tokens tokens that a run with this seed trains on."""


def run(arguments: list[str]) -> int:
    """Parse and print; return the exit code."""
    parser = make_parser("data-stats", DESCRIPTION)
    parser.add_argument("--tokens", type=str, default="1M", help="number of tokens to hash, such as 1M")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_settings(parser)
    config, seed, others = given_data(parser, arguments)
    show_log()
    from decaystudy.data.stats import describe, stats

    facts = stats(config, seed=seed, tokens=count_tokens(others["tokens"]) or 1)
    tell_few(config)
    if others["json"]:
        print_json(json_text(facts))
    else:
        print(describe(facts))
    return 0
