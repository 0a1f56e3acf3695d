"""``decaystudy status``: how far a study's runs are."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """How far a study's runs are: state, step, loss, tokens/s and time left of each.

On a terminal the table is kept up to date until every run has ended; Ctrl-C leaves the runs alone."""


def run(arguments: list[str]) -> int:
    """Parse and show; returns the exit code."""
    parser = make_parser("status", DESCRIPTION)
    parser.add_argument(
        "studies", nargs="*", default=[], metavar="NAME_OR_FILE", help="studies (default: all that --out holds)"
    )
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where the runs are")
    parser.add_argument(
        "--watch", type=bool | None, default=None, help="keep the table up to date (default: on a terminal)"
    )
    given = parse(parser, arguments)
    from decaystudy.study.status import status

    return status(list(given.studies or []), out=given.out, watch=given.watch)
