"""``decaystudy rejudge``: judges bundles again, by the code that judges runs, and compares with what they say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.formatting import harmless
from decaystudy.runs.state import states_text
from decaystudy.serial import to_plain
from decaystudy.study.analysis.results import SCHEMA, StudyResults
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.documents import as_text
from decaystudy.study.sharing.content import About, Bundle, read_bundle
from decaystudy.study.sharing.differences import Difference, differences, numbers
from decaystudy.terminal import terminal_width
from decaystudy.versions import STATISTICS

SHOWN = 5
"""Differences that are told one by one."""


def rejudge(files: Sequence[str], *, write: str | None = None) -> int:
    """Judge each bundle again and print its answer and tables, as ``report`` does.

    Args:
        files: bundles.
        write: a folder for the report, tables and figures of each, in a folder of the study's name.

    Returns:
        The exit code: 1 if a verdict or number differs from the one that is stored, under the same method.
    """
    bundles = [(file, read_bundle(file)) for file in files]  # first, so that nothing is printed beside a refusal
    for file, bundle in bundles:
        refuse_newer(file, bundle.about)
    if write is not None:
        write_reports(bundles, Path(write).expanduser())
    return max([judge_again(file, bundle) for file, bundle in bundles], default=0)


def judge_again(file: str, bundle: Bundle) -> int:
    """Print what is made of one bundle; returns 1 if it should have come out otherwise."""
    about = bundle.about
    told: list[Difference] = []
    for scale, results in bundle.results.items():
        print(f"{harmless(heading(file, about, results))}\n\n{as_text(results, terminal_width())}\n")
        stored = bundle.stored[scale]
        found = list(differences(stored, to_plain(results), same_schema=about.schema == SCHEMA))
        told += [replace(one, field=f"{scale}: {one.field}") for one in found]
        if not found:
            print(f"✔ {file}: all {numbers(stored)} numbers at {scale} and every verdict come out as they are stored\n")
    if about.method != STATISTICS:
        print("\n".join(method_changed(about, told)) + "\n")
        return 0
    sys.stdout.flush()
    for one in told[:SHOWN]:
        print(f"decaystudy: {file}: {one}", file=sys.stderr)
    if len(told) > SHOWN:
        print(f"decaystudy: {file}: and {len(told) - SHOWN} more fields differ", file=sys.stderr)
    return 1 if told else 0


def write_reports(bundles: Sequence[tuple[str, Bundle]], folder: Path) -> None:
    """Write report.html, report.tex, figures, results.csv and results.md of each bundle below a folder: in STUDY, or of
    several scales in SCALE/STUDY.

    Raises:
        UserError: two of them would be in one place, or the study's own results are there.
    """
    places: dict[Path, str] = {}
    for file, bundle in bundles:
        for scale, results in bundle.results.items():
            store = Store(folder if len(bundle.results) == 1 else folder / scale, "--write")
            place = store.study_folder(results.study)
            if place in places:
                raise UserError(f"{places[place]} and {file} are both of {results.study}: write one of them elsewhere")
            if (place / "plan.json").exists():
                raise UserError(f"{place} has the results of the study's own runs: give another folder with --write")
            places[place] = file
            # matplotlib and jinja2 are needed by nothing else here
            from decaystudy.study.reporting.report import write_report, write_tables

            store.make(place)
            write_tables(place, results)
            write_report(results, bundle.plan, store, bundle.curves)
            print(f"{place / 'report.html'} (and report.tex, figures, results.csv, results.md)", file=sys.stderr)


def heading(file: str, about: About, results: StudyResults) -> str:
    """What a bundle is of, and what wrote it."""
    version = about.versions.get("decaystudy", "of no known version")
    states = states_text([run.status for run in results.runs])
    return (
        f"{Path(file).name}: {results.study} at {results.scale}, {len(results.runs)} runs ({states}), written by "
        f"decaystudy {version} with method {about.method}"
    )


def method_changed(about: About, told: Sequence[Difference]) -> list[str]:
    """What the method of now says otherwise than that of then: verdicts one by one, and how many numbers."""
    verdicts = [one for one in told if one.of_verdict]
    others = [one for one in told if not one.of_verdict]
    lines = [
        f"judged by method {about.method} then and {STATISTICS} now: {len(verdicts)} verdicts and "
        f"{len(others)} other fields differ"
    ]
    return lines + [f"  {one}" for one in [*verdicts, *others[:SHOWN]]] + (["  …"] if len(others) > SHOWN else [])


def refuse_newer(file: str, about: About) -> None:
    """Refuse a bundle whose results this version knows less about than the one that wrote it."""
    for what, theirs, ours in (("method", about.method, STATISTICS), ("schema", about.schema, SCHEMA)):
        if theirs > ours:
            raise UserError(
                f"{file} has {what} {theirs} and this version of decaystudy knows up to {ours}: upgrade decaystudy"
            )
