"""``decaystudy rejudge``: bundles, judged again without the runs."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Judge bundles again, without the runs: every table, interval and verdict, from losses and answers.

Each file's answer and tables are printed. One that is not as decaystudy bundle wrote it is refused. A file of an older
method of the statistics is judged by the method of now, and what that changes is shown.

exit code: 0 when all comes out as it is stored, 1 when a number or verdict differs, 2 for a file that is no bundle."""


def run(arguments: list[str]) -> int:
    """Parse and judge; returns the exit code."""
    parser = make_parser("rejudge", DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help="bundles, as decaystudy bundle writes them")
    parser.add_argument(
        "--write",
        type=str | None,
        default=None,
        metavar="DIR",
        help="also write report, tables and figures to DIR/STUDY",
    )
    given = parse(parser, arguments)
    from decaystudy.study.sharing.rejudge import rejudge

    return rejudge(list(given.files), write=given.write)
