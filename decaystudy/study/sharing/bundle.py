"""``decaystudy bundle``: writes a study as one small file, without weights, text, hosts, users or paths."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.formatting import size
from decaystudy.io import read_mapping
from decaystudy.runs.curves import read_curves
from decaystudy.runs.evaluation import Evaluation
from decaystudy.runs.folder import RunFolder
from decaystudy.runs.records import git_revision, versions
from decaystudy.runs.result import RunResult
from decaystudy.runs.state import RunState, states_text
from decaystudy.serial import to_plain
from decaystudy.study.analysis.results import SCHEMA
from decaystudy.study.definition.expand import Run, Study
from decaystudy.study.execution.outcomes import DocumentLosses, Outcome, read_outcomes
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan_schema import RecordedPlan
from decaystudy.study.planning.record import read_plan
from decaystudy.study.reporting.report import gone, last_record
from decaystudy.study.sharing.archive import ARRAYS, ArrayWriter, json_bytes, pack, write
from decaystudy.study.sharing.content import PLAN, About, judged, read_studies, results_name
from decaystudy.study.sharing.private import Scrubber
from decaystudy.study.sharing.schema import (
    BundledCell,
    BundledCurve,
    BundledDocuments,
    BundledFile,
    BundledRun,
    BundledStudy,
)
from decaystudy.versions import STATISTICS

ANALYSIS = ("numpy", "scipy")
"""Packages that compute intervals, beside those that a run names."""


def bundle(study: str, *, out: str = "runs", file: str | None = None) -> int:
    """Write a study, as it is now, to one file that ``rejudge`` and ``compare`` read.

    Runs that failed or have not finished are in it as such.

    Args:
        study: its name, or the path of its file.
        out: where runs and results are.
        file: what to write; NAME.bundle unless given.
    """
    store = Store(out)
    plan = read_plan(store, study)
    if file == "-":
        raise UserError(f"a bundle is not written to standard output: name a file, such as -o {plan.study}.bundle")
    path = Path(file or f"{plan.study}.bundle").expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file, such as -o {path / f'{plan.study}.bundle'}")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it, or give another name")
    found, skipped = _studies(plan, store)
    members, about = content(plan, found, store)
    data = pack(members, to_plain(about))
    write(path, data)
    for own, outcomes in found:
        states = states_text([outcome.state for outcome in outcomes])
        print(f"{own.name} at {own.scale}: {len(outcomes)} runs, {states}")
    for line in skipped:
        print(line)
    print(f"{path} ({size(len(data))}; decaystudy rejudge {path} judges it again)")
    return 0


def content(
    plan: RecordedPlan, found: Sequence[tuple[Study, Sequence[Outcome]]], store: Store
) -> tuple[dict[str, bytes], About]:
    """The members of the bundle of a study at the scales that it was run at, and what its manifest says."""
    hosts = {str(o.status["host"]) for _, outcomes in found for o in outcomes if "host" in o.status}
    scrub = Scrubber([store.out, Path.cwd()], hosts)
    arrays = ArrayWriter()
    members = {PLAN: json_bytes(scrub.plain(to_plain(plan)))}
    for study, outcomes in found:
        runs = [to_plain(bundled_run(outcome, arrays), omit_none=True) for outcome in outcomes]
        members[f"{study.scale}/study.json"] = json_bytes(scrub.plain(to_plain(bundled_study(study))))
        members[f"{study.scale}/runs.json"] = json_bytes(scrub.plain(runs))
    members[ARRAYS] = arrays.data()
    about = About(
        study=plan.study,
        scales=tuple(study.scale for study, _ in found),
        method=STATISTICS,
        schema=SCHEMA,
        versions={**versions(), **{name: importlib.metadata.version(name) for name in ANALYSIS}},
        git_revision=git_revision(),
    )
    # The results are made from what the file says, as its readers will make them.
    for scale, results in judged(read_studies(about, members)).items():
        members[results_name(scale)] = json_bytes(to_plain(results))
    return members, about


def bundled_study(study: Study) -> BundledStudy:
    """A study as a bundle holds it."""
    spec = study.spec
    return BundledStudy(
        name=study.name,
        spec=BundledFile(
            title=spec.title,
            question=spec.question,
            axis=spec.axis,
            scales=spec.scales,
            statements=tuple(spec.document.values.get("claims") or ()),
        ),
        scale=study.scale,
        seeds=study.seeds,
        cells=tuple(BundledCell(name=cell.name, facts=cell.facts, identity=cell.identity) for cell in study.cells),
        comparisons=study.comparisons,
        left_out=study.left_out,
        search_words=study.search_words,
        trials=dict(study.trials),
        tuning_seeds=study.tuning_seeds,
        chosen=dict(study.chosen),
        taken=dict(study.taken),
        taken_from=study.taken_from,
    )


def bundled_run(outcome: Outcome, arrays: ArrayWriter) -> BundledRun:
    """A run as a bundle holds it."""
    run, step = outcome.run, outcome.status.get("step")
    assert isinstance(run, Run)
    return BundledRun(
        cell=run.cell,
        seed=run.seed,
        trial=run.trial,
        hash=run.hash,
        tuning=run.tuning,
        facts=run.facts,
        config=run.config.to_dict(),
        state=outcome.state,
        message=outcome.message,
        step=step,
        path=outcome.path,
        result=None if outcome.result is None else _result(outcome.result),
        documents=None if outcome.documents is None else _documents(outcome.documents, arrays),
        evaluation=None if outcome.evaluation is None else _evaluation(outcome.evaluation),
        answers={task: arrays.add(values) for task, values in outcome.answers.items()},
        curves={} if outcome.folder is None else _curves(outcome.folder, arrays),
    )


def _result(result: RunResult) -> RunResult:
    """A result without what a newer version recorded, of which nobody knows what it says."""
    return replace(result, more={})


def _evaluation(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, weights_files={}, more={})


def _documents(documents: DocumentLosses, arrays: ArrayWriter) -> BundledDocuments:
    return BundledDocuments(
        nll=arrays.add(documents.nll), tokens=arrays.add(documents.tokens), bytes=arrays.add(documents.bytes)
    )


def _curves(folder: RunFolder, arrays: ArrayWriter) -> dict[str, BundledCurve]:
    return {
        name: BundledCurve(steps=arrays.add(curve.steps), values=arrays.add(curve.values))
        for name, curve in read_curves(folder.path).items()
    }


def _studies(plan: RecordedPlan, store: Store) -> tuple[list[tuple[Study, list[Outcome]]], list[str]]:
    """The study at each scale that it was run at, the last one first, and lines on those that can't be read.

    Raises:
        UserError: its file no longer fits its last call, or all of its runs are gone.
    """
    found, skipped = [], []
    for call in [plan.call, *plan.earlier.values()]:
        try:
            study = with_proposals(call.expand(), store)
        except UserError as error:
            if call is plan.call:
                raise
            skipped.append(f"scale {call.scale} is left out: {error}")
            continue
        if call is plan.call and last_record(study, store) is not None:
            raise UserError(f"{gone(study, store)}: give the command where the study was run")
        found.append((study, read_outcomes(study, store, _never_begun(store, study))))
    return found, skipped


def _never_begun(store: Store, study: Study) -> dict[str, str]:
    """By hash, the runs that could not even start, of which only the study's results tell."""
    plain: Any = read_mapping(store.study_folder(study.name) / "results.json") or {}
    runs = plain.get("runs", []) if plain.get("scale") == study.scale else []
    failed = {run["id"]: str(run.get("message") or "") for run in runs if run.get("status") == RunState.FAILED}
    return {run.hash: failed[run.hash] for run in study.runs() if run.hash in failed and store.find(run) is None}
