"""What the runs of a study are evaluated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from decaystudy.evaluation.tasks.catalog import OWN, PAPER, resolve
from decaystudy.evaluation.tasks.compatibility import refuse_settings
from decaystudy.runs.evaluation import read_evaluation
from decaystudy.runs.folder import RunFolder
from decaystudy.study.definition.expand import Study


def tasks_of(study: Study) -> str:
    """What a study's cells are evaluated on: what its file says, else what fits its text."""
    if study.spec.evaluate is not None:
        return study.spec.evaluate
    sources = {cell.config.data.source for cell in study.cells}
    return {"python-docs": "offline", "recall": "recall"}.get(sources.pop(), "paper") if len(sources) == 1 else "paper"


def tasks_of_runs(studies: Sequence[Study], *, always: bool) -> dict[str, str]:
    """By hash, the tasks of each run that is to be evaluated; all of them for a run that several studies evaluate.

    Args:
        always: evaluate every study, not only those whose file asks for it.
    """
    found: dict[str, str] = {}
    for study in studies:
        if always or study.spec.evaluate is not None:
            for run in study.runs():
                if run.tuning:
                    continue
                before = f"{found[run.hash]}," if run.hash in found else ""
                found[run.hash] = ",".join(resolve(f"{before}{tasks_of(study)}"))
    return found


def refuse_tasks(study: Study) -> None:
    """Refuse, before anything is trained, tasks that a cell can't be asked.

    Raises:
        UserError: which task, which cell, and why.
    """
    advice = f"name other tasks under evaluate: in {study.spec.file}"
    for cell in study.cells:
        refuse_settings(cell.config, f"the cell {cell.name}", resolve(tasks_of(study)), advice)


def refuse_unknown_tasks(tasks: Iterable[str]) -> None:
    """Refuse names that lm-eval doesn't know; asked only about names that aren't in the package's groups, since lm-eval
    takes seconds to say.

    Raises:
        UserError: the name, and the nearest that there is.
    """
    names = {name for some in tasks for name in resolve(some) if name not in PAPER and name not in OWN}
    if names:
        from decaystudy.evaluation.lm_eval.quiet import quiet
        from decaystudy.evaluation.lm_eval.tasks import task_manager

        with quiet():
            task_manager(sorted(names))


def is_evaluated(folder: RunFolder, tasks: str) -> bool:
    """Whether the run has answered all of the tasks with the weights that it has."""
    from decaystudy.evaluation.evaluate import is_done

    held = read_evaluation(folder.path)
    if held is None or held.validation is None:
        return False
    return all(is_done(held.tasks.get(name), name, None) for name in resolve(tasks))
