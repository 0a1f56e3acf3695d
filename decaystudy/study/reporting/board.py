"""A study in TensorBoard: its runs by name, its question, its answer and its tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from decaystudy.errors import UserError
from decaystudy.runs.board import ShownRun, has_curves, write_board
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.facts import NamedRun
from decaystudy.study.definition.search import Trial
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import Plan, PlannedRun
from decaystudy.study.reporting.documents import bullets, ended_badly, failure_text, tables
from decaystudy.study.reporting.tables import claims_table, scales_table, seeds_table
from decaystudy.table import markdown_escape, markdown_line

LOG = logging.getLogger("decaystudy")
FOLDER = "tensorboard"
"""In the folder of a study."""


class _Named(NamedRun):
    def __init__(self, run: PlannedRun) -> None:
        self.cell, self.seed, self.tuning = run.cell, run.seed, run.tuning
        self.trial = None if run.trial is None else Trial.of(run.trial)


def shown_runs(store: Store, plan: Plan) -> list[ShownRun]:
    """The study's runs that have been begun, by the names that the study has for them."""
    found = []
    for run in plan.runs:
        folder = store.find_hash(run.id)
        if folder is not None and folder.config.exists():
            found.append(ShownRun(_Named(run).name, folder, {"cell": run.cell, "seed": str(run.seed)}))
    return found


def board_folder(store: Store, name: str) -> Path:
    """Where a study's folder for TensorBoard is."""
    return store.study_folder(name) / FOLDER


def write_study_board(store: Store, plan: Plan, results: StudyResults | None) -> Path | None:
    """Write a study's folder for TensorBoard, if any of its runs has curves.

    Args:
        results: None while there are none.
    """
    runs = shown_runs(store, plan)
    if not any(has_curves(run) for run in runs):
        return None
    place = board_folder(store, plan.study)
    write_board(place, plan.study, runs, study_texts(results) if results is not None else {})
    return place


def keep_study_board(store: Store, plan: Plan, results: StudyResults) -> None:
    """The same beside the report. A study whose folder cannot be written has its report all the same."""
    try:
        write_study_board(store, plan, results)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        place = error.filename or board_folder(store, plan.study)
        LOG.warning("nothing was written for TensorBoard (%s: %s)", place, why)
    except (UserError, ImportError) as error:
        LOG.warning("nothing was written for TensorBoard: %s", error)


def study_texts(results: StudyResults) -> dict[str, str]:
    """Question, answer, claims and results in Markdown, by the names under which TensorBoard shows them."""
    question = f"# {markdown_line(results.title)}\n\n{markdown_line(results.question)}"
    texts = {"study/1_question": question, "study/2_answer": markdown_escape(results.answer)}
    judged = [claims_table(results)] if results.claims else []
    over_scales = scales_table(results)
    judged += [over_scales] if over_scales is not None else []
    if judged:
        texts["study/3_claims"] = "\n\n".join(table.markdown() for table in judged)
    by_seed = seeds_table(results)
    parts = [table.markdown() for table in [*tables(results), *([] if by_seed is None else [by_seed])]]
    parts += _remarks([failure_text(run) for run in ended_badly(results)], "Runs that did not finish")
    parts += _remarks(list(results.notes), "Notes")
    texts["study/4_results"] = "\n\n".join(parts)
    return texts


def _remarks(lines: Sequence[str], title: str) -> list[str]:
    return [f"## {title}", bullets(lines)] if lines else []
