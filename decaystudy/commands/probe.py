"""``decaystudy probe``: measure this machine's training speed, for plans in hours."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser
from decaystudy.commands.run_settings import add_run_settings, given_settings
from decaystudy.errors import UserError

DESCRIPTION = """Measure this machine's training speed, in under a minute, so that later plans give hours.

Each distinct shape of the studies' cells is trained for a few steps. Start-up is measured apart, and the median of
three measurements counts."""


def run(arguments: list[str]) -> int:
    """Parse and measure; return the exit code."""
    parser = make_parser("probe", DESCRIPTION)
    parser.add_argument(
        "studies", nargs="*", default=[], metavar="NAME_OR_FILE", help="studies to measure (default: sharing)"
    )
    parser.add_argument("--scale", type=str | None, default=None, help="size of the cells (default: the study's first)")
    parser.add_argument(
        "--jobs", type=int | None, default=None, help="number of runs at once (default: as many as fit)"
    )
    parser.add_argument("--config", type=str, action="append", metavar="FILE", help="a YAML file of settings")
    add_run_settings(parser, skip=("scale", "seed", "logger", "model"))
    settings, others = given_settings(parser, arguments)
    scale = settings.pop("scale", None)
    for key in ("seed", "model"):
        if key in settings:
            raise UserError(f"a study sets {key} for each cell itself: take it out of the --config file")
    if "logger" in settings:
        raise UserError("a probe keeps no curves: take logger out of the --config file")
    from decaystudy.study.planning.probe import probe

    return probe(list(others["studies"] or ["sharing"]), scale=scale, jobs=others["jobs"], overrides=settings)
