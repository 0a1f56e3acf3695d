"""``decaystudy report``: results.json of studies from their runs, and CSV, Markdown, LaTeX and one self-contained HTML
page from results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, why_unread, write_json, write_text
from decaystudy.plotting import save, svg
from decaystudy.runs.state import RunState
from decaystudy.serial import Mismatch, from_plain, to_plain
from decaystudy.study.analysis.analyse import analyse
from decaystudy.study.analysis.answer import answer
from decaystudy.study.analysis.results import SCHEMA, StudyResults
from decaystudy.study.analysis.scales import Scaled
from decaystudy.study.definition.expand import Study
from decaystudy.study.execution.outcomes import read_outcomes
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.study.planning.record import plan_file, read_plan, read_recorded, studies_of
from decaystudy.study.reporting.board import keep_study_board
from decaystudy.study.reporting.captions import CAPTIONS
from decaystudy.study.reporting.curve_figures import Curves, curves_of
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_tex, as_text
from decaystudy.study.reporting.figures import all_figures
from decaystudy.study.reporting.html import as_html
from decaystudy.terminal import terminal_width

FIGURES = (".svg", ".pdf")


def report(studies: Sequence[str] = (), *, out: str = "runs") -> int:
    """Rebuild the tables, figures and the report of studies from what their runs have left.

    Args:
        studies: names, or paths of study files; all that were run in ``out`` unless given.
        out: where runs and results are.
    """
    store = Store(out)
    names = list(studies) or studies_of(store)
    if not names:
        raise UserError(f"no study has been run in {out}: give the folder of the runs with --out")
    plans = [read_plan(store, name) for name in names]
    store.check([plan.study for plan in plans])
    for plan in plans:
        folder = store.study_folder(plan.study)
        try:
            study = with_proposals(plan.call.expand(), store)
        except UserError as error:
            # The study's file has gone or changed; its results may still be here.
            file = folder / "results.json"
            if not file.exists():
                raise
            try:
                results = read_results(file)
            except UserError as unreadable:
                raise UserError(f"{unreadable}; first mend this: {error}") from unreadable
            print(f"decaystudy: {error}; the report is made from {file} as it is")
            write_tables(folder, results)
        else:
            kept = last_record(study, store)
            if kept is not None:
                print(f"decaystudy: {gone(study, store)}; the report is made from {folder / 'results.json'} as it is")
                write_tables(folder, kept)
            results = kept or write_results(study, store, {})
        write_report(results, plan, store)
        keep_study_board(store, plan, results)
        print(as_text(results, terminal_width()))
        print(f"\n{folder / 'report.html'} (and report.tex, figures, results.csv, results.md)")
    return 0


def last_record(study: Study, store: Store) -> StudyResults | None:
    """results.json, where it is all that is left of runs that have finished; else None."""
    if any(store.find(run) is not None for run in study.runs()):
        return None
    try:
        results = read_results(store.study_folder(study.name) / "results.json")
    except UserError:
        return None
    return results if any(run.status == RunState.FINISHED for run in results.runs) else None


def gone(study: Study, store: Store) -> str:
    """What to say of a study that has results and no run."""
    return (
        f"the runs of {study.name} are gone from {store.path}, or its settings mean others here (relative paths count "
        "from where the command is given)"
    )


def write_report(results: StudyResults, plan: Plan, store: Store, curves: Curves | None = None) -> None:
    """Write report.tex, report.html and the figures, each as SVG and as PDF.

    Args:
        plan: as the study was planned.
        curves: of its runs; read from their folders unless given.
    """
    folder = store.study_folder(plan.study)
    drawn = all_figures(results, curves_of(results, store) if curves is None else curves)
    as_svg = {name: svg(figure) for name, figure in drawn.items()}
    place = folder / "figures"
    for name in CAPTIONS:  # those of a figure that it no longer has
        for ending in FIGURES:
            (place / f"{name}{ending}").unlink(missing_ok=True)
    store.make(place)
    for name, figure in drawn.items():
        write_text(place / f"{name}.svg", as_svg[name])
        save(figure, place / f"{name}.pdf")
    write_text(folder / "report.tex", as_tex(results))
    write_text(folder / "report.html", as_html(results, plan, store.out, as_svg))


def write_results(study: Study, store: Store, failures: Mapping[str, str]) -> StudyResults:
    """Write results.json, results.csv and results.md of a study, and link its runs.

    Args:
        failures: by hash, the runs that could not even start, with the reason.
    """
    results = analyse(study, read_outcomes(study, store, failures), other_scales(study, store))
    store.link(study, study.runs())
    folder = store.study_folder(study.name)
    write_json(folder / "results.json", to_plain(results))
    write_tables(folder, results)
    return results


def other_scales(study: Study, store: Store) -> list[Scaled]:
    """The study at the other scales that it was run at here, as it was last called there; none if no claim asks.

    A scale at which the study's file no longer fits its call is left out, as if it had not been run.
    """
    recorded = read_recorded(plan_file(store, study.name))
    if recorded is None or not any(claim.scales for claim in study.spec.claims):
        return []
    found = []
    for call in [recorded.call, *recorded.earlier.values()]:
        if call.scale != study.scale:
            try:
                other = with_proposals(call.expand(), store)
            except UserError:
                continue
            found.append(Scaled(other, read_outcomes(other, store)))
    return found


def write_tables(folder: Path, results: StudyResults) -> None:
    """Write results.csv and results.md."""
    write_text(folder / "results.csv", as_csv(results))
    write_text(folder / "results.md", as_markdown(results))


def read_results(path: str | Path) -> StudyResults:
    """The content of a results.json.

    Raises:
        UserError: there is none, or another version of decaystudy wrote it.
    """
    file = Path(path)
    plain = read_mapping(file)
    if plain is None:
        raise UserError(f"{file} {why_unread(file)}: run the study, or decaystudy report")
    again = f"decaystudy report {file.absolute().parent.name} writes it anew from the runs"
    schema = plain.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"{file} has schema {schema} and this version of decaystudy reads up to {SCHEMA}: upgrade decaystudy"
        )
    if "comparisons" not in plain or "call" in plain:  # a run's result, or a study's plan
        raise UserError(f"{file} is not a study's results: give a study's folder, or its results.json")
    if schema != SCHEMA:
        raise UserError(f"{file} was written by an earlier version of decaystudy: {again}")
    try:
        results = from_plain(StudyResults, plain)
    except Mismatch as error:
        raise UserError(f"{file} is not a study's results ({error}): {again}") from error
    return results if results.answer else replace(results, answer=answer(results))
