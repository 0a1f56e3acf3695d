"""The package's own tasks as files that lm-eval reads: a folder with a YAML and a JSON Lines file per task.

``lm_eval --include_path FOLDER --tasks offline`` runs them on any model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import yaml

from decaystudy.data.folders import cached_file, lock
from decaystudy.evaluation.tasks import offline, recall
from decaystudy.evaluation.tasks.catalog import GROUPS
from decaystudy.io import cache_folder, digest


class Maker(Protocol):
    """A module that makes the questions of a group."""

    TASKS: dict[str, dict[str, Any]]
    """The tasks as lm-eval reads them, without their data."""
    VERSION: int

    def identity(self) -> dict[str, Any]:
        """What decides the questions."""

    def questions(self) -> dict[str, list[dict[str, Any]]]:
        """The questions of each task."""


MAKERS: dict[str, Maker] = {"offline": offline, "recall": recall}


def task_folder(group: str) -> Path:
    """The folder of a group's tasks, written if need be; its name changes with the questions."""
    maker = MAKERS[group]
    folder = cache_folder("tasks", f"{group}-{digest(identity(group))[:12]}")
    if not (folder / f"{group}.yaml").exists():
        with lock(folder.with_suffix(".lock")):
            if not (folder / f"{group}.yaml").exists():
                write_tasks(folder, group, maker.TASKS, maker.questions(), maker.VERSION)
    return folder


def write_tasks(
    folder: Path, group: str, tasks: dict[str, dict[str, Any]], questions: dict[str, list[dict[str, Any]]], version: int
) -> None:
    """Write the tasks of a group; the group's own file comes last and vouches for the rest."""
    for name, form in tasks.items():
        data = folder / f"{name}.jsonl"
        _write(data, "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in questions[name]))
        content = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            **form,
            "metadata": {"version": float(version)},
        }
        _write(folder / f"{name}.yaml", _yaml(content))
    _write(folder / f"{group}.yaml", _yaml({"group": group, "task": list(GROUPS[group])}))


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _write(path: Path, text: str) -> None:
    with cached_file(path) as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def group_of(task: str) -> str:
    """The group that one of the package's own tasks is of."""
    return next(group for group in MAKERS if task in GROUPS[group])


def identity(group: str) -> dict[str, Any]:
    """What decides a group's questions."""
    return MAKERS[group].identity()
