"""The content of a bundle, read: studies, outcomes of their runs, and the results that were stored with them.

manifest.json       the bundle's number of the format, and the versions that wrote it
plan.json           how the study was called and planned
SCALE/study.json    the study at a scale: a ``BundledStudy``
SCALE/runs.json     its runs: a list of ``BundledRun``
SCALE/results.json  what analysis made of them
arrays.npz          losses, answers and curves
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaystudy.errors import UserError
from decaystudy.runs.curves import Curve
from decaystudy.scales import SCALES
from decaystudy.serial import Mismatch, from_plain
from decaystudy.study.analysis.analyse import analyse
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.analysis.scales import Scaled
from decaystudy.study.definition.cells import NAME
from decaystudy.study.execution.outcomes import DocumentLosses, Outcome
from decaystudy.study.planning.plan_schema import RecordedPlan
from decaystudy.study.sharing.archive import ARRAYS, read_arrays, unpack
from decaystudy.study.sharing.schema import BundledDocuments, BundledRun, BundledStudy

PLAN = "plan.json"
Arrays = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class About:
    """What the manifest says beside digests."""

    study: str
    scales: tuple[str, ...]
    """The one that was run last comes first."""
    method: int
    """``decaystudy.versions.STATISTICS`` of the stored results."""
    schema: int
    """Of the stored results."""
    versions: dict[str, str]
    """Of the packages that wrote it."""
    git_revision: str | None = None


@dataclass(frozen=True)
class Bundle:
    """A study as a bundle holds it."""

    about: About
    studies: Mapping[str, Scaled]
    """By scale, the study with the outcomes of its runs."""
    stored: Mapping[str, Any]
    """By scale, the stored results as plain data."""
    curves: Mapping[str, Mapping[str, Curve]]
    """By run (its hash) and TensorBoard's name, losses and median λ over training."""
    planned: Any
    """How the study was called and planned, as plain data."""

    @property
    def plan(self) -> RecordedPlan:
        """How the study was called and planned.

        Raises:
            UserError: this version of the package cannot read it.
        """
        try:
            return from_plain(RecordedPlan, self.planned)
        except Mismatch as error:
            raise UserError(f"the plan in it cannot be read ({error})") from error

    @cached_property
    def results(self) -> dict[str, StudyResults]:
        """By scale, what analysis makes of the runs now.

        Raises:
            UserError: they are nothing that a study could have left.
        """
        try:
            return judged(self.studies)
        except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, AssertionError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UserError(
                f"the bundle of {self.about.study} doesn't fit together ({what}): ask its author"
            ) from error


def read_bundle(path: str | Path) -> Bundle:
    """The content of a bundle.

    Raises:
        UserError: it is none, it has changed since it was written, or a newer version wrote it.
    """
    file = Path(path).expanduser()
    manifest, members = unpack(file)
    plain = {key: item for key, item in manifest.items() if key not in ("format", "members")}
    try:
        about = from_plain(About, plain)
        check_names(about)
        stored = {scale: json.loads(members[results_name(scale)]) for scale in about.scales}
        runs, arrays = read_runs(about, members), read_arrays(members[ARRAYS])
        curves = {run.hash: _curves(run, arrays) for own in runs.values() for run in own}
        return Bundle(about, read_studies(about, members), stored, curves, json.loads(members[PLAN]))
    except UserError as error:
        raise UserError(f"{file} cannot be judged: {error}") from error
    except (Mismatch, KeyError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{file} is no bundle ({error}): give a file that decaystudy bundle wrote") from error


def check_names(about: About) -> None:
    """Refuse names that could not be those of a study and its scales, for reports are written under them.

    Raises:
        ValueError: one is something else.
    """
    if not NAME.fullmatch(about.study):
        raise ValueError(f"{about.study!r:.60} is no study's name")
    for scale in about.scales:
        if scale not in SCALES:
            raise ValueError(f"{scale!r:.60} is no scale of this version")


def read_studies(about: About, members: Mapping[str, bytes]) -> dict[str, Scaled]:
    """The studies in the members of a bundle, with the outcomes of their runs.

    Raises:
        UserError: this version of the package cannot read a claim.
        ValueError: a member is not what it should be.
        KeyError: one is missing.
    """
    arrays, runs = read_arrays(members[ARRAYS]), read_runs(about, members)
    studies = {}
    for scale in about.scales:
        study = from_plain(BundledStudy, json.loads(members[f"{scale}/study.json"]), f"{scale}/study.json")
        if (study.name, study.scale) != (about.study, scale):
            raise ValueError(f"{scale}/study.json is of another study or scale")
        _ = study.claims  # so that one that can't be read is refused now
        studies[scale] = Scaled(study, [_outcome(run, arrays) for run in runs[scale]])
    return studies


def read_runs(about: About, members: Mapping[str, bytes]) -> dict[str, list[BundledRun]]:
    """By scale, the runs in the members of a bundle.

    Raises:
        ValueError: a member is not what it should be.
        KeyError: one is missing.
    """
    names = {scale: f"{scale}/runs.json" for scale in about.scales}
    return {scale: from_plain(list[BundledRun], json.loads(members[name]), name) for scale, name in names.items()}


def judged(studies: Mapping[str, Scaled]) -> dict[str, StudyResults]:
    """By scale, what analysis makes of a study's runs, those at other scales at hand."""
    return {
        scale: analyse(own.study, own.outcomes, [other for at, other in studies.items() if at != scale])
        for scale, own in studies.items()
    }


def results_name(scale: str) -> str:
    """The member that holds the results at a scale."""
    return f"{scale}/results.json"


def _outcome(run: BundledRun, arrays: Arrays) -> Outcome:
    return Outcome(
        run,
        run.state,
        run.message,
        run.result,
        {} if run.step is None else {"step": run.step},
        path=run.path,
        documents=None if run.documents is None else _documents(run.documents, arrays),
        evaluation=run.evaluation,
        answers={task: arrays[name] for task, name in run.answers.items()},
    )


def _documents(names: BundledDocuments, arrays: Arrays) -> DocumentLosses:
    found = [arrays[name] for name in (names.nll, names.tokens, names.bytes)]
    if len({array.shape for array in found}) != 1 or found[0].ndim != 1:
        raise ValueError("losses, tokens and bytes of documents have different shapes")
    return DocumentLosses(*found)


def _curves(run: BundledRun, arrays: Arrays) -> dict[str, Curve]:
    return {name: Curve(arrays[curve.steps], arrays[curve.values]) for name, curve in run.curves.items()}
