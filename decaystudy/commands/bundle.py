"""``decaystudy bundle``: a study as one small file."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Write a study as one small file, which decaystudy rejudge judges again anywhere, without the runs.

It holds settings, losses by document, answers, statistics of λ, claims, results, the plan and versions; no weights and
no text, no names of hosts or users, and of paths only the names of files. Runs that failed or have not finished are in
it as such."""


def run(arguments: list[str]) -> int:
    """Parse and write; returns the exit code."""
    parser = make_parser("bundle", DESCRIPTION)
    parser.add_argument("study", metavar="NAME_OR_FILE", help="a study that was run")
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where the runs and results are")
    parser.add_argument(
        "-o", "--file", type=str | None, default=None, metavar="FILE", help="what to write (default: NAME.bundle)"
    )
    given = parse(parser, arguments)
    from decaystudy.study.sharing.bundle import bundle

    return bundle(given.study, out=given.out, file=given.file)
