"""Loads tasks with their data, as lm-eval's own objects."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decaystudy.data.network import brief, chain, with_retries
from decaystudy.errors import UserError, nearest
from decaystudy.evaluation.tasks.catalog import GROUPS, OWN, PAPER
from decaystudy.evaluation.tasks.files import group_of, task_folder
from decaystudy.evaluation.tasks.given import Chosen, read

FEWSHOT_SEED = 1234
"""lm-eval's own."""
AHEAD = "fetch it ahead, where there is a network, with decaystudy prepare-tasks --tasks {name}, or use --tasks offline"
AGAIN = "call this again where there is a network"


def load_tasks(names: Sequence[str], files: Mapping[str, Path] | None = None) -> dict[str, dict[str, Any]]:
    """Each task with its data, ready for ``lm_eval.evaluator.evaluate``.

    Args:
        files: of the tasks that are files of the user's own, by name.

    Raises:
        UserError: there is no such task, or its data is neither cached nor available from the hub.
    """
    files = files or {}
    manager = open_manager(names, files)
    return {name: load_task(manager, name, AHEAD.format(name=name), files.get(name)) for name in names}


def open_manager(names: Sequence[str], files: Mapping[str, Path]) -> Any:
    """A ``TaskManager`` for these tasks, of which ``files`` are the user's own, and the network that they may need."""
    known = [name for name in names if name not in files]
    manager = task_manager(known)
    settle_network([name for name in names if name not in files or not is_local(files[name])])
    return manager


def task_manager(names: Sequence[str]) -> Any:
    """lm-eval's ``TaskManager``, that knows all of these tasks.

    Raises:
        UserError: there is no such task.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError(f"evaluation needs lm-eval ({error}): pip install 'lm-eval[hf]'") from error
    manager = TaskManager(include_defaults=any(needs_index(name) for name in names), include_path=folders(names))
    for name in names:
        if name not in manager.all_tasks:
            close = nearest(name, [*GROUPS, *OWN, *manager.all_tasks])
            hint = f"did you mean {close!r}? " if close else ""
            raise UserError(
                f"unknown task {name!r}: {hint}lm-eval ls tasks lists lm-eval's, and groups here are {groups()}"
            )
        if name not in manager.all_subtasks:
            raise UserError(f"{name!r} is a group of lm-eval: name the tasks in it, whose numbers are kept one by one")
    return manager


def settle_network(names: Sequence[str]) -> None:
    """Ask once whether there is a network, if a task may need one; without it keep to the cache."""
    import datasets

    datasets.disable_progress_bars()
    if not all(name in OWN for name in names) and not reachable():
        work_offline()


def load_task(manager: Any, name: str, advice: str, file: Path | None = None) -> dict[str, Any]:
    """One task as ``TaskManager.load`` returns it, with the defaults of lm-eval's command line.

    Args:
        advice: what to do if its data is neither cached nor available.
        file: where it stands, if it is a file of the user's own.
    """
    try:
        loaded = fetch(manager, name, file)
    except UserError:
        raise
    except Exception as error:
        refused = data_error(name, error, advice)
        if file is not None and (is_local(file) or "cannot be loaded" in str(refused)):
            raise UserError(f"the task file {file} cannot be loaded: {in_words(brief(error))}") from error
        raise refused from error
    if file is not None and list(loaded["tasks"]) != [name]:
        raise UserError(f"the task file {file} makes {len(loaded['tasks'])} tasks: name one that makes {name} alone")
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return loaded


def fetch(manager: Any, name: str, file: Path | None = None) -> dict[str, Any]:
    """A task with its data, from the cache or, with retries, from the hub."""
    from huggingface_hub import constants

    def load() -> dict[str, Any]:
        loaded: dict[str, Any] = manager.load([name if file is None else str(file)])
        return loaded

    if name in OWN or constants.HF_HUB_OFFLINE or (file is not None and is_local(file)):
        return load()
    return with_retries(f"fetch the data of task {name}", load)


def in_words(message: str) -> str:
    """What Python says of a setting that there is none of, in words."""
    match = re.search(r"unexpected keyword argument '(.*)'", message)
    return f"lm-eval's tasks have no setting {match[1]}" if match else message


def is_local(file: Path) -> bool:
    """Whether a task file takes its data from files, by one of the readers of ``datasets``."""
    return read(file).get("dataset_path") in ("json", "csv", "text", "parquet", "arrow", "pandas", "xml")


def prepare_tasks(chosen: Chosen) -> Iterator[tuple[str, int]]:
    """Fetch the data of each task in turn; yields its name and how many questions it has.

    Raises:
        UserError: there is no such task, or its data is neither cached nor available from the hub.
    """
    from decaystudy.evaluation.lm_eval.quiet import quiet

    with quiet():
        manager = open_manager(chosen.names, chosen.files)
    for name in chosen.names:
        with quiet(name):
            task = load_task(manager, name, AGAIN, chosen.files.get(name))["tasks"][name]
            try:
                questions = len(task.eval_docs)
            except Exception as error:
                raise data_error(name, error, AGAIN) from error
        yield name, questions


def data_error(name: str, error: Exception, advice: str) -> UserError:
    """Why a task could not be loaded, and what to do."""
    kinds = {type(link).__name__ for link in chain(error)}
    missing = {"OfflineModeIsEnabled", "ConnectionError", "ConnectError", "LocalEntryNotFoundError", "ProxyError"}
    unreachable = kinds & {*missing, "DatasetNotFoundError", "FileNotFoundError", "HfHubHTTPError", "ConnectTimeout"}
    if unreachable:
        return UserError(
            f"the data of task {name} is not in the cache and the hub cannot be reached ({brief(error)}): {advice}"
        )
    return UserError(f"task {name} cannot be loaded: {brief(error)}")


def reachable() -> bool:
    """Whether the hub answers at all: asked once, since its client asks for half a minute before each task."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or any(
        name.lower() in ("https_proxy", "http_proxy", "all_proxy") for name in os.environ
    ):
        return True  # decided already, or only a proxy knows
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    return True


def work_offline() -> None:
    """Have the hub's clients use their caches only, for the rest of this process."""
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True


def needs_index(name: str) -> bool:
    """Whether finding the task takes reading all of lm-eval's."""
    return name not in OWN and name not in PAPER


def folders(names: Sequence[str]) -> list[str]:
    """Where the named tasks are, unless all of lm-eval is searched anyway."""
    import lm_eval.tasks

    root = Path(lm_eval.tasks.__file__).parent
    found = {str(task_folder(group_of(name))) for name in names if name in OWN}
    if not any(needs_index(name) for name in names):
        found |= {str(root / PAPER[name]) for name in names if name in PAPER}
    return sorted(found)


def groups() -> str:
    return ", ".join(GROUPS)
