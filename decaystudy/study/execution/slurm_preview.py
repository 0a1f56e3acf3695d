"""What would be submitted to SLURM, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decaystudy.formatting import hours
from decaystudy.table import Column, Kind, Table
from decaystudy.terminal import fitted, terminal_width


def preview_text(values: Mapping[str, Any]) -> str:
    """What would be submitted, for people."""
    if not values["arrays"]:
        return "slurm: no job would be submitted"
    words, numbers = ("jobs", "partition"), ("nodes", "GPUs/node", "tasks/node", "CPUs/task")
    columns = [*(Column(name, Kind.WORDS) for name in words), *(Column(name) for name in numbers)]
    columns += [Column("memory", Kind.WORDS), Column("time limit"), Column("planned")]
    rows = [
        (
            f"{array['jobs']} × {array['kind']}",
            array["partition"] or "default",
            str(array["nodes"]),
            str(array["gpus_per_node"]),
            str(array["tasks_per_node"]),
            str(array["cpus_per_task"]),
            array["memory"] or "default",
            array["time_limit"],
            "–" if array["planned_hours"] is None else f"at most {hours(array['planned_hours'])}",
        )
        for array in values["arrays"]
    ]
    counts = f"{values['jobs']} jobs in {len(rows)} submission{'s' if len(rows) > 1 else ''}"
    lines = [f"slurm: {counts}", fitted(Table(tuple(columns), tuple(rows)), terminal_width())]
    if len({array["kind"] for array in values["arrays"]}) > 1:
        lines.append("an evaluation begins once its run has been trained")
    lines += [f"!: {warning}" for warning in values["warnings"]]
    script = values["arrays"][0]["script"].rstrip().splitlines()
    return "\n".join([*lines, "", "script of the first:", *(f"  {line}".rstrip() for line in script)])
