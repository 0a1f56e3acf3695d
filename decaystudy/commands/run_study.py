"""``decaystudy run-study``: plan, train and compare the runs of one or more studies."""

from __future__ import annotations

from typing import Any

from decaystudy.commands.parsing import make_parser
from decaystudy.commands.run_settings import add_run_settings, given_settings
from decaystudy.errors import UserError
from decaystudy.output import show_log
from decaystudy.study.execution.launcher import ExecutionOptions
from decaystudy.study.execution.slurm_options import SlurmOptions, join_extra
from decaystudy.study.run import StudyRequest, cancel_jobs, run_study, show_plan

DESCRIPTION = """Answer a question: plan, train and compare the runs of one or more studies.

A study is named (see decaystudy list) or given as a YAML file. Its cells are trained in processes of their own under
--out, where a cell that several studies need is trained once; finished runs are not trained again and interrupted ones
resume. At the end comes a table with paired differences and intervals; results.json, results.csv, results.md,
report.html and figures are in OUT/NAME.

  decaystudy run-study sharing
  decaystudy run-study sharing granularity --scale 160m --seeds 0,1,2 --dry-run --gpu a100-80gb
  decaystudy run-study my/question.yaml --tune lr=1e-4,3e-4,1e-3
  decaystudy run-study sharing --rates-from runs/parameterization/results.json
  decaystudy run-study sharing --scale 410m --launcher slurm --devices 8 --slurm.partition a100 --dry-run
  decaystudy run-study sharing --launcher mypackage.module.MyLauncher

exit code: 0 when every cell finished and was evaluated, 1 when one was not, 2 for a mistake in the call."""


def run(arguments: list[str]) -> int:
    """Parse and run; returns the exit code."""
    parser = make_parser("run-study", DESCRIPTION)
    parser.add_argument("studies", nargs="*", default=[], metavar="NAME_OR_FILE", help="studies by name or path")
    parser.add_argument("--scale", type=str | None, default=None, help="size of all cells (default: the study's first)")
    parser.add_argument("--seeds", type=str | None, default=None, help="such as 0,1 or 0-4; 3 is the one seed 3")
    parser.add_argument("--all-cells", action="store_true", help="also cells that the study leaves out at this scale")
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where runs and results go")
    parser.add_argument("--dry-run", action="store_true", help="print the plan (runs, FLOPs, hours, memory) and stop")
    parser.add_argument("--json", action="store_true", help="the plan as JSON")
    parser.add_argument("--jobs", type=int | None, default=None, help="runs at once (default: as many as fit)")
    parser.add_argument("--devices", type=int, default=1, help="GPUs, or processes, of each run")
    parser.add_argument(
        "--runs-per-gpu",
        type=int | None,
        default=None,
        help="runs that share a GPU (default: as many as are fastest at the scale and fit)",
    )
    parser.add_argument("--gpu", type=str | None, default=None, help="GPU that planned hours assume, such as a100-80gb")
    parser.add_argument(
        "--tune",
        "--sweep",
        dest="sweep",
        type=str | None,
        default=None,
        metavar="SETTING=A,B,…",
        help="values to try each cell at, on seeds and documents that are not reported; lr alone takes 0.3, 1 and 3 "
        "times the scale's",
    )
    parser.add_argument("--tuning-seeds", type=str | None, default=None, help="seeds to try them on (default: 1000)")
    parser.add_argument(
        "--rates-from",
        type=str | None,
        default=None,
        metavar="RESULTS",
        help="results.json of a study that tunes: cells take over the settings that it chose",
    )
    parser.add_argument("--evaluate", action="store_true", help="evaluate every cell on the study's tasks")
    parser.add_argument(
        "--report", type=bool, default=True, metavar="true|false", help="write report.html and figures at the end"
    )
    parser.add_argument("--launcher", type=str, default="local", help="local, slurm, or the import path of your own")
    parser.add_argument(
        "--launcher_options", type=dict[str, Any], default={}, metavar="NAME VALUE", help="for a launcher of your own"
    )
    parser.add_class_arguments(SlurmOptions, "slurm")
    parser.add_argument("--attach", action="store_true", help="watch the jobs of an earlier call until they end")
    parser.add_argument("--cancel", action="store_true", help="end the jobs of an earlier call")
    parser.add_argument(
        "--config", type=str, action="append", metavar="FILE", help="a YAML file of settings for all cells"
    )
    add_run_settings(parser, skip=("scale", "seed", "model"))
    settings, others = given_settings(parser, join_extra(arguments))
    if not others["studies"]:
        raise UserError("name at least one study, such as sharing (decaystudy list shows them), or give a study file")
    show_log()
    scale = settings.pop("scale", None)
    for key in ("seed", "model"):
        if key in settings:
            raise UserError(f"a study sets {key} for each cell itself: take it out of the --config file")
    request = StudyRequest(
        studies=list(others["studies"]),
        scale=scale,
        overrides=settings,
        **{
            name: others[name]
            for name in ("seeds", "all_cells", "sweep", "tuning_seeds", "rates_from", "evaluate", "out")
        },
    )
    execution = ExecutionOptions(
        slurm=SlurmOptions(**(others.get("slurm") or {})),
        **{name: others[name] for name in ("launcher", "launcher_options", "devices", "jobs", "runs_per_gpu", "gpu")},
    )
    alone = [flag for flag in ("dry_run", "attach", "cancel") if others[flag]]
    if len(alone) > 1:
        flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in alone)
        raise UserError(f"{flags} are given together: give one of them")
    if others["json"] and not others["dry_run"]:
        raise UserError("--json prints a plan: add --dry-run")
    if others["dry_run"]:
        return show_plan(request, execution, as_json=others["json"])
    if others["cancel"]:
        return cancel_jobs(request, execution)
    return run_study(request, execution, attach=others["attach"], with_report=others["report"])
