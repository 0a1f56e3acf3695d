"""OUT/STUDY/plan.json: how a study was called and what it was planned to cost, so that report, status and clean know
which runs are its own. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError, nearest
from decaystudy.io import read_mapping, write_json
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store


@dataclass(frozen=True)
class Call:
    """The arguments of a run-study that decide which runs a study has."""

    study: str
    """Its name, or the absolute path of its file."""
    scale: str
    seeds: tuple[int, ...]
    all_cells: bool
    overrides: dict[str, Any]
    learning_rates: tuple[float, ...] | None

    def expand(self) -> Study:
        """The study as it was called."""
        return expand(
            read_study(self.study),
            scale=self.scale,
            seeds=self.seeds,
            all_cells=self.all_cells,
            overrides=self.overrides,
            learning_rates=self.learning_rates,
        )


def write_call(study: Study, store: Store, call: Call, plan: Mapping[str, Any]) -> None:
    """Keep the call and the plan. A plan of the same runs that is there already stays: it was made before they ran."""
    path = store.study_folder(study.name) / "plan.json"
    held = read_mapping(path)
    values = {
        "call": {
            "study": call.study,
            "scale": call.scale,
            "seeds": list(call.seeds),
            "all_cells": call.all_cells,
            "overrides": call.overrides,
            "learning_rates": None if call.learning_rates is None else list(call.learning_rates),
        },
        **plan,
    }
    if held is not None and run_ids(held) == run_ids(values):
        return
    if held is not None:
        values["earlier"] = {**held.get("earlier", {}), held["call"]["scale"]: held["call"]}
        values["earlier"].pop(call.scale, None)
    store.make(path.parent)
    write_json(path, values)


def run_ids(plan: Mapping[str, Any]) -> list[str]:
    """The runs of a plan."""
    return [cell["id"] for cell in plan.get("cells", [])]


def read_plan(store: Store, name: str) -> dict[str, Any]:
    """plan.json of a study, by its name or the path of its file.

    Raises:
        UserError: the study has not been run here.
    """
    stem = Path(name).stem if name.endswith((".yaml", ".yml")) or "/" in name else name
    plan = read_mapping(store.study_folder(stem) / "plan.json")
    if plan is None:
        known = studies_of(store)
        close = nearest(stem, known)
        hint = f"did you mean {close!r}?" if close else f"run it with decaystudy run-study {name} --out {store.out}"
        raise UserError(f"no study {stem!r} has been run in {store.out}: {hint}")
    return plan


def read_call(store: Store, name: str) -> Call:
    """How the study was last called."""
    return as_call(read_plan(store, name)["call"])


def needed_runs(store: Store, name: str) -> set[str]:
    """The runs that a study needs: those of its last call at each scale, by its file as it is now.

    Where the file has gone or no longer fits its call, the runs of the last plan.
    """
    plan = read_plan(store, name)
    needed: set[str] = set()
    for values in [plan["call"], *plan.get("earlier", {}).values()]:
        try:
            needed |= {run.hash for run in as_call(values).expand().runs()}
        except UserError:
            needed |= set(run_ids(plan))
    return needed


def as_call(values: Mapping[str, Any]) -> Call:
    """A call from its form in plan.json."""
    rates = values["learning_rates"]
    return Call(
        study=values["study"],
        scale=values["scale"],
        seeds=tuple(values["seeds"]),
        all_cells=values["all_cells"],
        overrides=values["overrides"],
        learning_rates=None if rates is None else tuple(rates),
    )


def studies_of(store: Store) -> list[str]:
    """Names of the studies that were run here."""
    return sorted(path.parent.name for path in store.out.glob("*/plan.json"))


def expand_recorded(store: Store, names: Sequence[str]) -> list[Study]:
    """The studies as they were last called; all of them if none is named."""
    found = list(names) or studies_of(store)
    if not found:
        raise UserError(f"no study has been run in {store.out}: give the folder of the runs with --out")
    return [read_call(store, name).expand() for name in found]
