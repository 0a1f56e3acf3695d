"""``decaystudy tensorboard``: curves, λ, settings and answers in TensorBoard."""

from __future__ import annotations

from decaystudy.checks import check_whole
from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError

DESCRIPTION = """Start TensorBoard on this machine over the runs of a study, one run, or a folder of runs.

Runs have the names that the study has for them. HParams compares them by the settings in which they differ, Text has
the study's question, answer, claims and results, Custom Scalars the λ of all layers in one chart. What runs and studies
write meanwhile is shown as it comes. Ctrl-C ends it.

  decaystudy tensorboard sharing
  decaystudy tensorboard runs/tiny-mamba2-seed0-0123456789ab --port 6007"""


def run(arguments: list[str]) -> int:
    """Parse and serve; return the exit code."""
    parser = make_parser("tensorboard", DESCRIPTION)
    parser.add_argument(
        "target", nargs="?", default=None, metavar="STUDY_OR_RUN", help="a study, a run's folder, or a folder of runs"
    )
    parser.add_argument("--out", type=str, default="runs", metavar="DIR", help="where the runs of the study are")
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="the address to listen on; 0.0.0.0 is all of them"
    )
    parser.add_argument(
        "--port", type=int | None, default=None, help="the port (default: the first free one from 6006; 0: any)"
    )
    given = parse(parser, arguments)
    if not given.target:
        raise UserError("name a study, a run's folder, or a folder of runs, such as sharing or runs/a")
    if given.port is not None:
        check_whole("--port", given.port, 0, 65535)
    from decaystudy.study.tensorboard import show

    return show(given.target, out=given.out, host=given.host, port=given.port)
