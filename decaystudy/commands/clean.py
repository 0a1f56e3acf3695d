"""``decaystudy clean``: remove runs that no study needs any more."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Remove the runs under --out that no study there needs any more, after showing them and asking."""


def run(arguments: list[str]) -> int:
    """Parse and remove; returns the exit code."""
    parser = make_parser("clean", DESCRIPTION)
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where the runs are")
    parser.add_argument("--checkpoints", action="store_true", help="also finished runs' checkpoints; weights stay")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    given = parse(parser, arguments)
    from decaystudy.study.clean import clean

    return clean(out=given.out, checkpoints=given.checkpoints, yes=given.yes)
