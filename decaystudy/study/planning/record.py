"""OUT/STUDY/plan.json: how a study was called and what it was planned to cost, so that report, status and clean know
which runs are its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError, nearest
from decaystudy.io import read_mapping, write_json
from decaystudy.serial import Mismatch, from_plain, to_plain
from decaystudy.study.definition.expand import Study
from decaystudy.study.definition.library import study_names
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.plan import plan_cells
from decaystudy.study.planning.plan_schema import SCHEMA, Call, Plan, PlannedRun, RecordedPlan


def write_call(study: Study, store: Store, call: Call, plan: Plan) -> None:
    """Keep the call and the plan. A plan of the same runs that is there already stays: it was made before they ran.

    Raises:
        UserError: the plan that is there cannot be read, or the folder cannot be written to.
    """
    path = plan_file(store, study.name)
    held = read_recorded(path)
    fields = {field.name: getattr(plan, field.name) for field in dataclasses.fields(Plan)}
    record = RecordedPlan(**fields, call=call)
    if held is not None and run_ids(held) == run_ids(record):
        record = held
    elif held is not None:
        earlier = {**held.earlier, held.call.scale: held.call}
        earlier.pop(call.scale, None)
        record = dataclasses.replace(record, earlier=earlier)
    plain = to_plain(record)
    if plain != read_mapping(path):
        store.make(path.parent)
        write_json(path, plain)


def run_ids(plan: Plan) -> list[str]:
    """The runs of a plan."""
    return [run.id for run in plan.runs]


def plan_file(store: Store, name: str) -> Path:
    """Where the plan of a study is kept."""
    return store.study_folder(name) / "plan.json"


def read_recorded(path: Path) -> RecordedPlan | None:
    """The plan in ``path``, from whichever version wrote it; None where there is none or it was cut short.

    Raises:
        UserError: a newer version wrote it, or it is something else.
    """
    plain = read_mapping(path)
    if plain is None:
        return None
    schema = plain.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA:
        raise UserError(
            f"{path} has schema {schema} and this version of decaystudy reads up to {SCHEMA}: upgrade decaystudy"
        )
    try:
        return from_plain(RecordedPlan, migrated(plain) if schema == 0 else plain)
    except (Mismatch, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no plan ({error}): remove it and call decaystudy run-study again") from error


def migrated(plain: dict[str, Any]) -> dict[str, Any]:
    """A plan as it was written before plans had a schema: ``cells`` were its runs, their ``status`` was ``state``."""
    runs = [{**run, "cell": run["name"], "status": run["state"]} for run in plain["cells"]]
    for run in runs:
        del run["state"]
    cells = plan_cells([from_plain(PlannedRun, run, f"cells[{i}]") for i, run in enumerate(runs)])
    calls = {key: _migrated_call(call) for key, call in plain.get("earlier", {}).items()}
    call = _migrated_call(plain["call"])
    return {**plain, "schema": 1, "runs": runs, "cells": to_plain(cells), "call": call, "earlier": calls}


def _migrated_call(plain: dict[str, Any]) -> dict[str, Any]:
    """A call whose learning rates stood apart from other searches."""
    call = dict(plain)
    rates = call.pop("learning_rates", None)
    return {**call, "sweep": None if rates is None else "lr=" + ",".join(f"{rate:g}" for rate in rates)}


def read_plan(store: Store, name: str) -> RecordedPlan:
    """plan.json of a study, by its name or the path of its file.

    Raises:
        UserError: the study has not been run here, or its plan cannot be read.
    """
    is_file = name.endswith((".yaml", ".yml")) and not Path(name).is_dir()
    stem = Path(name).stem if is_file else Path(name).name if "/" in name else name
    file = plan_file(store, stem)
    plan = read_recorded(file)
    if plan is not None and plan.study != stem:
        raise UserError(f"{file} is the plan of {plan.study!r}: rename its folder back, or move it away")
    if plan is None and file.exists():
        raise UserError(f"{file} was cut short or is no plan: remove it and call decaystudy run-study again")
    if plan is None:
        known = studies_of(store)
        close = nearest(stem, known)
        again = f"run it with decaystudy run-study {name} --out {store.out}"
        here = f"choose from {', '.join(known)}" if known else "give the folder of the runs with --out"
        hint = f"did you mean {close!r}?" if close else again if is_file or name in study_names() else here
        raise UserError(f"no study {stem!r} has been run in {store.out}: {hint}")
    return plan


def needed_runs(store: Store, name: str) -> set[str]:
    """The runs that a study needs: those of its last call at each scale, by its file as it is now.

    Where the file has gone or no longer fits its call, the runs of the last plan.
    """
    plan = read_plan(store, name)
    needed: set[str] = set()
    for call in [plan.call, *plan.earlier.values()]:
        try:
            needed |= {run.hash for run in with_proposals(call.expand(), store).runs()}
        except UserError:
            needed |= set(run_ids(plan))
    return needed


def studies_of(store: Store) -> list[str]:
    """Names of the studies that were run here."""
    return sorted(path.parent.name for path in store.out.glob("*/plan.json"))


def expand_recorded(store: Store, names: Sequence[str]) -> list[Study]:
    """The studies as they were last called; all of them if none is named.

    Raises:
        UserError: a study has not been run here, or its file no longer fits its call.
    """
    found = list(names) or studies_of(store)
    if not found:
        raise UserError(f"no study has been run in {store.out}: give the folder of the runs with --out")
    return [with_proposals(read_plan(store, name).call.expand(), store) for name in found]
