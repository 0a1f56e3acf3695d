"""The speed that a plan assumes: what finished runs, a probe, or a device's peak say of the runs that are planned."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.study.definition.expand import Study
from decaystudy.study.definition.several import union
from decaystudy.study.execution.jobs import JobKind
from decaystudy.study.execution.launcher import Launcher
from decaystudy.study.execution.machine import device_name
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import Speed, choose_speed
from decaystudy.study.planning.past import past_runs, with_past


def plan_speed(studies: Sequence[Study], launcher: Launcher, store: Store) -> tuple[Speed, int]:
    """The speed that a plan assumes, and how many runs go at once."""
    options, runs = launcher.options, union(studies)
    needs = [launcher.resources(run, JobKind.TRAIN) for run in runs]
    on_cpu = all(run.config.threads is not None or not each.gpu for run, each in zip(runs, needs, strict=True))
    elsewhere = options.gpu is not None and not launcher.detached
    at_once = options.jobs or (1 if elsewhere else launcher.at_once(runs))
    devices = max(each.devices * each.nodes for each in needs)
    speed = choose_speed(studies[0].scale, gpu=options.gpu, devices=devices, jobs=at_once, on_cpu=on_cpu)
    if options.gpu is None and devices == 1 and not launcher.detached:
        configs = [run.config for run in runs]
        speed = with_past(speed, past_runs(store.folders(), configs, "cpu" if on_cpu else device_name()))
    return speed, at_once
