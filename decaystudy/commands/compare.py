"""``decaystudy compare``: two studies side by side."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Put two studies side by side: sizes, corpora, machines; for each comparison and claim both effects with
their intervals and verdicts, and whether they agree.

Each is a bundle, the folder of a study's results, or a results.json; BUNDLE:SCALE is a bundle's results at that scale.
Losses are compared in nats per token where both have the same tokenizer, else in bits per byte.

  decaystudy compare small/sharing.bundle large/sharing.bundle
  decaystudy compare sharing.bundle:mini sharing.bundle:160m
  decaystudy compare runs/sharing colleague/sharing.bundle"""


def run(arguments: list[str]) -> int:
    """Parse and print; returns the exit code."""
    parser = make_parser("compare", DESCRIPTION)
    parser.add_argument("a", metavar="A", help="a bundle, or the folder of a study's results")
    parser.add_argument("b", metavar="B", help="another one")
    given = parse(parser, arguments)
    from decaystudy.study.sharing.compare import compare

    return compare(given.a, given.b)
