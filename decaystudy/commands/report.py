"""``decaystudy report``: rebuild a study's tables, figures and report."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse

DESCRIPTION = """Rebuild results.json, results.csv, results.md, report.tex and report.html of studies from their runs.

report.html is one self-contained file with tables, figures, claims, planned and actual cost, and failed cells."""


def run(arguments: list[str]) -> int:
    """Parse and rebuild; return the exit code."""
    parser = make_parser("report", DESCRIPTION)
    parser.add_argument(
        "studies", nargs="*", default=[], metavar="NAME_OR_FILE", help="studies (default: all that --out holds)"
    )
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where the runs and results are")
    given = parse(parser, arguments)
    from decaystudy.study.reporting.report import report

    return report(list(given.studies or []), out=given.out)
