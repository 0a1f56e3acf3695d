"""Runs side by side in TensorBoard: a folder with each run's curves under its name, the settings in which the runs
differ, their final numbers, and texts.

PLACE/NAME/events…            a link to each file of the run's curves
PLACE/NAME/events….settings   its settings, its accuracies, how it ended
PLACE/TITLE/events….settings  what the runs are compared by, and texts
PLACE/board.json              what of these has been written, so that the rest can be added to them
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json
from decaystudy.runs.config import RunConfig
from decaystudy.runs.evaluation import read_evaluation, task_metrics
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.settings import ALWAYS, Value, final_numbers, flat, notable_settings, settings_of
from decaystudy.runs.state import RunState

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

EVENTS = "events.out.tfevents.*"
RECORD = "board.json"
ABSENT = "–"
"""A setting that a run doesn't have, as an option of another decay."""


@dataclass(frozen=True)
class ShownRun:
    """A run and the name that it is shown by."""

    name: str
    folder: RunFolder
    facts: Mapping[str, Value] = field(default_factory=dict)
    """What is shown before its settings, such as its cell."""


def has_curves(run: ShownRun) -> bool:
    """Whether TensorBoard has something to show of the run."""
    return bool(_event_files(run.folder.path))


def write_board(place: Path, title: str, runs: Sequence[ShownRun], texts: Mapping[str, str]) -> None:
    """Make the folder what it should be by now; what it holds already stays, for TensorBoard may be reading it.

    Args:
        title: of the folder for what is of no single run.
        texts: in Markdown, by name.

    Raises:
        OSError: the folder cannot be written to.
    """
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        settings = differing(runs)
        numbers = {run.name: _numbers(run) for run in runs}
        held = read_mapping(place / RECORD) or {}
        written: dict[str, dict[str, Any]] = {}
        for run in runs:
            _link_curves(place / run.name, run.folder.path)
            wanted = {
                "settings": settings[run.name],
                "numbers": numbers[run.name],
                "ended": _ended(run),
                "step": _step(run),
            }
            _write_run(place / run.name, wanted, _known(held, run.name))
            written[run.name] = wanted
        before = _known(held, title)
        about: dict[str, Any] = {
            "compared": [settings[run.name] for run in runs],
            "metrics": _metrics(numbers),
            "texts": dict(texts),
        }
        about["edition"] = int(before.get("edition", 0)) + (before.get("texts", {}) not in ({}, about["texts"]))
        _write_about(place / title, about, before)
        written[title] = about
        for name in held.keys() - written.keys():
            shutil.rmtree(place / name, ignore_errors=True)
        if written != held:
            write_json(place / RECORD, written)


def differing(runs: Sequence[ShownRun]) -> dict[str, dict[str, Value]]:
    """By name, the facts of each run and every setting in which the runs differ; of a single run what is notable."""
    every = {run.name: _settings(run.folder) for run in runs}
    if len(runs) == 1:
        return {runs[0].name: {**runs[0].facts, **_notable(runs[0].folder)}}
    names = list(dict.fromkeys(name for settings in every.values() for name in settings if name != "logger"))
    varying = [name for name in names if len({settings[name] for settings in every.values() if name in settings}) > 1]
    common = [] if any(run.facts for run in runs) else [name for name in ALWAYS if name in names]
    found = {}
    for run in runs:
        shown = dict(run.facts)
        for name in dict.fromkeys([*common, *varying]):
            if name not in shown:
                shown[name] = _value(name, every[run.name], list(every.values()))
        found[run.name] = shown
    return found


def _value(name: str, own: Mapping[str, Value], every: Sequence[Mapping[str, Value]]) -> Value:
    """A setting of a run. Where others lack it all its values are words, for a column has one kind."""
    if all(name in settings for settings in every):
        return own[name]
    return str(own[name]) if name in own else ABSENT


def _settings(folder: RunFolder) -> dict[str, Value]:
    held = folder.read_config() or {}
    try:
        return settings_of(RunConfig.from_dict(held))
    except (UserError, TypeError, LookupError, ValueError, AttributeError):  # of an earlier version, or code that left
        return flat(held)


def _notable(folder: RunFolder) -> dict[str, Value]:
    held = folder.read_config() or {}
    try:
        return notable_settings(RunConfig.from_dict(held))
    except (UserError, TypeError, LookupError, ValueError, AttributeError):
        return {name: value for name, value in flat(held).items() if name in ALWAYS}


def _numbers(run: ShownRun) -> dict[str, float]:
    """Its accuracies, by the names of curves; also its other final numbers, where it has no such curves itself."""
    found: dict[str, float] = {}
    result = run.folder.read_result()
    if result is not None and result.status == RunState.FINISHED and not _says_settings(run.folder.path):
        found |= final_numbers(result)
    evaluation = read_evaluation(run.folder.path)
    for task, answers in evaluation.tasks.items() if evaluation is not None else ():
        for metric in task_metrics(task, [evaluation] if evaluation is not None else []):
            value = answers.metrics.get(metric)
            if value is not None:
                found[f"validation_task/{task}_{metric}"] = value
    return found


def _ended(run: ShownRun) -> bool | None:
    """Whether a run has ended well; None while it has not ended."""
    result = run.folder.read_result()
    return None if result is None else result.status == RunState.FINISHED


def _step(run: ShownRun) -> int:
    """At which its numbers are drawn: its last one."""
    result = run.folder.read_result()
    return 0 if result is None or result.step is None else result.step


def _metrics(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    from decaystudy.runs.events import METRICS

    tasks = sorted({name for own in numbers.values() for name in own if name.startswith("validation_task/")})
    return {**METRICS, **{name: name.partition("/")[2].replace("_", " ") for name in tasks}}


def _write_run(place: Path, wanted: Mapping[str, Any], held: Mapping[str, Any]) -> None:
    from decaystudy.runs import events

    anew = held.get("settings") != wanted["settings"] or _own_file(place) is None
    _append(place, [events.run_begun(wanted["settings"])] if anew else [], anew=anew)
    known = {} if anew else held.get("numbers", {})
    new = [events.scalar(name, value) for name, value in wanted["numbers"].items() if known.get(name) != value]
    if wanted["ended"] is not None and (anew or held.get("ended") != wanted["ended"]):
        new.append(events.run_ended(well=wanted["ended"]))
    _append(place, new, step=wanted["step"])


def _write_about(place: Path, wanted: Mapping[str, Any], held: Mapping[str, Any]) -> None:
    from decaystudy.runs import events

    place.mkdir(exist_ok=True)
    anew = any(held.get(name) != wanted[name] for name in ("compared", "metrics")) or _own_file(place) is None
    once = [events.compared_by(wanted["compared"], wanted["metrics"]), events.layer_charts()]
    _append(place, once if anew else [], anew=anew)
    known = {} if anew else held.get("texts", {})
    new = [events.text(name, text) for name, text in wanted["texts"].items() if known.get(name) != text]
    _append(place, new, step=wanted["edition"])


def _append(place: Path, values: Sequence[Summary.Value], step: int = 0, *, anew: bool = False) -> None:
    from decaystudy.runs import events

    own = _own_file(place)
    if anew and own is not None:
        own.unlink()
        own = None
    if values:
        events.append_events(own or place / events.file_name(events.SETTINGS), values, step)


def _link_curves(place: Path, folder: Path) -> None:
    """Links to the run's curves, without its settings: here they are others."""
    place.mkdir(exist_ok=True)
    files = {path.name: path for path in _event_files(folder)}
    for path in place.glob(EVENTS):
        if path.is_symlink() and path.name not in files:
            path.unlink(missing_ok=True)
    for name, path in files.items():
        target = os.path.relpath(path.resolve(), place.resolve())
        link = place / name
        if not link.is_symlink() or os.readlink(link) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def _event_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob(EVENTS)) if not path.name.endswith(".settings")]


def _says_settings(folder: Path) -> bool:
    """Whether the run's own curves have its final numbers: those of earlier versions lack some."""
    return any(folder.glob(f"{EVENTS}.settings"))


def _own_file(place: Path) -> Path | None:
    return next((path for path in sorted(place.glob(f"{EVENTS}.settings")) if not path.is_symlink()), None)


def _known(held: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = held.get(name)
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    with (place / ".lock").open("ab") as handle:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
