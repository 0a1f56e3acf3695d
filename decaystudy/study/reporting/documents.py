"""A study's answer as text for a terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from decaystudy.formatting import harmless
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.results import RunRow, StudyResults
from decaystudy.study.reporting.families import outcome
from decaystudy.study.reporting.tables import (
    cells_table,
    claims_table,
    lengths_table,
    run_data,
    scales_table,
    seeds_table,
    taken_table,
    tasks_table,
    trials_table,
)
from decaystudy.study.reporting.tables.best import shown_best
from decaystudy.study.reporting.tables.cells import LOSS
from decaystudy.study.reporting.tables.fields import trial_text
from decaystudy.table import Table, markdown_escape, markdown_line
from decaystudy.terminal import fitted, fold


def as_text(results: StudyResults, width: int | None = None) -> str:
    """What run-study and report print: question, answer, claims, tables.

    Args:
        width: columns of the terminal; None for lines of any length.
    """
    asked = [f"question: {results.question}"] if results.question else []
    parts = [fold(part, width) for part in (results.title, "\n".join([*asked, f"answer:   {results.answer}"]))]
    parts += [fitted(claims_table(results, marks=True), width)] if results.claims else []
    over_scales = scales_table(results)
    parts += [fitted(over_scales, width)] if over_scales is not None else []
    parts += [fitted(table, width) for table in tables(results)]
    remarks = [
        *(f"✘ {failure_text(run)}" for run in ended_badly(results)),
        *(f"note: {note}" for note in results.notes),
    ]
    parts += [fold("\n".join(remarks), width)] if remarks else []
    return harmless("\n\n".join(parts))


def as_markdown(results: StudyResults) -> str:
    """Question, answer, claims, tables, failures and notes."""
    parts = [f"# {markdown_line(results.title)}"]
    parts += [markdown_line(results.question)] if results.question else []
    parts += [f"**Answer.** {markdown_escape(results.answer)}"]
    parts += [claims_table(results).markdown()] if results.claims else []
    over_scales = scales_table(results)
    parts += [over_scales.markdown()] if over_scales is not None else []
    parts += [table.markdown() for table in tables(results)]
    by_seed, resolved = seeds_table(results), outcome(results)
    parts += [by_seed.markdown()] if by_seed is not None else []
    parts += [f"What the seeds resolve: {markdown_escape(resolved)}."] if resolved else []
    failures = ended_badly(results)
    if failures:
        parts += [
            "## Runs that did not finish",
            bullets(map(failure_text, failures)),
        ]
    parts += [bullets(results.notes)] if results.notes else []
    return "\n\n".join(parts) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {markdown_line(line)}" for line in lines)


def as_tex(results: StudyResults) -> str:
    """The tables of cells, tasks and claims, to be \\input into a paper that uses booktabs."""
    about = f"{results.title} (scale {results.scale})."
    label = f"tab:{results.study}"
    parts = [f"% {results.study} at scale {results.scale}, made by decaystudy\n% {' '.join(results.answer.split())}"]
    parts.append(replace(with_best(cells_table(results), results), title=about).latex(label))
    tasks = tasks_table(results)
    if tasks is not None:
        parts.append(replace(tasks, title=f"Tasks: {about}").latex(f"{label}-tasks"))
    if results.claims:
        parts.append(replace(claims_table(results), title=f"Claims tested: {about}").latex(f"{label}-claims"))
    over_scales = scales_table(results)
    if over_scales is not None:
        title = f"Claims about every scale: {results.title}."
        parts.append(replace(over_scales, title=title).latex(f"{label}-scales"))
    return "\n\n".join(parts) + "\n"


def with_best(table: Table, results: StudyResults) -> Table:
    """The table of cells with the loss of the best one in bold, where one is shown to be the best."""
    best = shown_best(results)
    if best is None:
        return table
    row = [cell.name for cell in results.cells].index(best)
    note = f"Bold: shown to be below all others ({results.loss_family.level:.0%}, all intervals together)."
    return replace(table, bold=frozenset({(row, table.headings.index(LOSS))}), notes=(*table.notes, note))


def as_csv(results: StudyResults) -> str:
    """One line per run."""
    return run_data(results).csv()


def tables(results: StudyResults) -> list[Table]:
    """Those that there are: cells, trials, settings taken over, tasks, lengths."""
    found = [cells_table(results), trials_table(results), taken_table(results), tasks_table(results)]
    found.append(lengths_table(results))
    return [table for table in found if table is not None]


def ended_badly(results: StudyResults) -> list[RunRow]:
    """Runs that were begun and did not finish."""
    return [run for run in results.failures if run.status != RunState.PLANNED]


def failure_text(run: RunRow) -> str:
    """``gla seed 0 diverged at step 7: the loss was nan (log: …)``."""
    at = "" if run.step is None else f" at step {run.step}"
    message = f": {run.message}" if run.message else ""
    log = f" (log: {run.log})" if run.log else ""
    trial = f" {trial_text(run.trial)} tuning" if run.tuning else ""
    return f"{run.cell}{trial} seed {run.seed} {run.status}{at}{message}{log}"
