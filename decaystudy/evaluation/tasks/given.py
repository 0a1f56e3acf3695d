"""Tasks of the user's own, as files that lm-eval reads: named by their paths, or by name in a folder of such files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from decaystudy.checks import shown
from decaystudy.errors import UserError
from decaystudy.evaluation.tasks.catalog import OWN, resolve
from decaystudy.io import digest

SUFFIXES = (".yaml", ".yml")
MOST_INCLUDES = 20


@dataclass(frozen=True)
class Chosen:
    """What to evaluate."""

    names: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    """Of the tasks that are files of the user's own, by name."""


class _Loader(yaml.SafeLoader):
    """YAML whose functions, as in ``!function utils.metric``, are left alone."""


_Loader.add_multi_constructor("!", lambda loader, tag, node: f"!{tag}")


def choose(tasks: str | Sequence[str], include_path: str | Path | None = None) -> Chosen:
    """The tasks that these words mean: groups, tasks of lm-eval, task files, and tasks, groups and tags of a folder.

    Args:
        include_path: a folder of task files, whose names go before lm-eval's.

    Raises:
        UserError: a file cannot be read, or is no task; there is no such folder.
    """
    beside, broken = ({}, {}) if include_path is None else read_folder(Path(include_path).expanduser())
    found: dict[str, Path | None] = {}
    for word in resolve(tasks):
        if word.endswith(SUFFIXES):
            path = Path(word).expanduser().absolute()
            found[task_name(read(path), path)] = path
        elif word in beside:
            found |= beside[word]
        else:
            for path, error in broken.items():
                if word in path.read_text(encoding="utf-8", errors="replace"):
                    raise error
            found[word] = None
    files = {name: path for name, path in found.items() if path is not None}
    for name in set(files) & set(OWN):
        raise UserError(f"{files[name]} has the name of a task of this package, {name}: give it another one")
    return Chosen(tuple(found), files)


def read(path: Path, depth: int = 0) -> dict[str, Any]:
    """A task file with what it includes.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        content = yaml.load(path.read_bytes().decode("utf-8-sig"), _Loader)
    except OSError as error:
        raise UserError(f"cannot read the task file {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"the task file {path} is not UTF-8 text at byte {error.start}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f", line {mark.line + 1}"
        raise UserError(f"the task file {path}{place} is not valid YAML: see lm-eval's guide to new tasks") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no task of lm-eval: it holds no settings such as task: NAME")
    included = content.get("include")
    if not isinstance(included, str):
        return content
    if depth == MOST_INCLUDES:
        raise UserError(f"the task file {path} includes itself, or more than {MOST_INCLUDES} files in a row")
    return {**read(beside_file(path, included), depth + 1), **content}


def task_name(content: Mapping[str, Any], path: Path) -> str:
    """What a task file calls its task.

    Raises:
        UserError: it is a group, or has no name.
    """
    name = content.get("task")
    if "group" in content or isinstance(name, list):
        raise UserError(
            f"{path} is a group: give the files of its tasks, or the folder as --include-path and the group's name"
        )
    if not isinstance(name, str) or not name or "," in name or "\0" in name:
        raise UserError(f"{path} is no task of lm-eval: its task is {shown(name)}, not a name")
    if not {"dataset_path", "custom_dataset", "class"} & set(content):
        raise UserError(f"{path} is no task of lm-eval: it names no dataset_path")
    return name


def read_folder(folder: Path) -> tuple[dict[str, dict[str, Path | None]], dict[Path, UserError]]:
    """By the name of each task, group and tag in a folder and those below it, the tasks that it stands for; and what is
    wrong with files that cannot be read, which may be no tasks at all.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"--include-path {folder} is no folder: give one that holds task files of lm-eval")
    groups: dict[str, list[Any]] = {}
    found: dict[str, dict[str, Path | None]] = {}
    broken: dict[Path, UserError] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix == ".yaml" and path.is_file()):
        try:
            content = read(path.absolute())
        except UserError as error:
            broken[path] = error
            continue
        name, tags = content.get("task"), content.get("tag")
        if isinstance(content.get("group"), str):
            groups[content["group"]] = name if isinstance(name, list) else [name]
        elif isinstance(name, str):  # a file without a name is included by others
            found[name] = {name: path.absolute()}
            for tag in tags if isinstance(tags, list) else [tags]:
                if isinstance(tag, str) and tag != name:
                    found.setdefault(tag, {}).update(found[name])
    for group, members in groups.items():
        found[group] = {}
        for member in members:
            name = member if isinstance(member, str) else None
            found[group] |= found.get(name, {name: None}) if name is not None else {}
    return {name: tasks for name, tasks in found.items() if tasks}, broken


def content_hash(path: Path) -> str:
    """Hash of what decides the questions of a task file: itself, its includes, the code beside it, local data."""
    read_files: dict[str, str] = {}

    def add(file: Path) -> None:
        if file.is_file() and str(file) not in read_files:
            read_files[str(file)] = ""
            with file.open("rb") as opened:
                read_files[str(file)] = hashlib.file_digest(opened, "blake2b").hexdigest()

    for file in [*chain_of(path), *sorted(path.parent.glob("*.py"))]:
        add(file)
    settings = read(path).get("dataset_kwargs")
    for text in texts(settings.get("data_files") if isinstance(settings, dict) else None):
        add(Path(text).expanduser())
    return digest(sorted(read_files.values()))[:12]


def chain_of(path: Path) -> Iterator[Path]:
    """A task file, and those that it includes."""
    for _ in range(MOST_INCLUDES):
        yield path
        included = yaml.load(path.read_bytes().decode("utf-8-sig"), _Loader).get("include")
        if not isinstance(included, str):
            return
        path = beside_file(path, included)


def beside_file(path: Path, name: str) -> Path:
    """The file that a task file names."""
    return path.parent / name


def texts(value: Any) -> Iterator[str]:
    """Every text in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
