"""How the runs of a study are laid out over devices: refused before anything is started where that cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import Study
from decaystudy.study.definition.several import union
from decaystudy.study.execution.jobs import JobKind
from decaystudy.study.execution.launcher import Launcher
from decaystudy.training.layout import run_layout
from decaystudy.training.processors import check_sharding
from decaystudy.training.world import World


def refuse_devices(study: Study) -> None:
    """Refuse runs that set their own devices, which are the launcher's to give."""
    for cell in study.cells:
        for name, flag in (("devices", "--devices"), ("num_nodes", "--slurm.nodes")):
            if name in cell.config.trainer:
                raise UserError(f"trainer.{name} is set for cell {cell.name!r}: leave it out and give {flag}")


def refuse_layouts(studies: Sequence[Study], launcher: Launcher) -> None:
    """Refuse runs that cannot be split over as many devices as they get."""
    for run in union(studies):
        needs = launcher.resources(run, JobKind.TRAIN)
        check_sharding(run.config, needs.devices * needs.nodes)
        run_layout(run.config, World(needs.devices, needs.nodes))
