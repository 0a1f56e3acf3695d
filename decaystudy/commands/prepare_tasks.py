"""``decaystudy prepare-tasks``: download the data of evaluation tasks."""

from __future__ import annotations

import logging

from decaystudy.commands.parsing import make_parser, parse
from decaystudy.evaluation.tasks.catalog import GROUP_SUMMARIES
from decaystudy.evaluation.tasks.given import choose
from decaystudy.output import show_log

DESCRIPTION = """Download the data of tasks into the hub's cache ($HF_HOME), so that evaluate then needs no network.

Data that is already there is not downloaded again; the same command resumes an interrupted download.

  decaystudy prepare-tasks                                the paper's ten tasks
  decaystudy prepare-tasks --tasks piqa,arc_easy

groups of tasks:
""" + "\n".join(f"  {name:<9}{summary}" for name, summary in GROUP_SUMMARIES.items())


def run(arguments: list[str]) -> int:
    """Parse and download; return the exit code."""
    parser = make_parser("prepare-tasks", DESCRIPTION)
    parser.add_argument(
        "--tasks", type=str, default="paper", help="groups, tasks of lm-eval, and task files: offline,piqa,./mine.yaml"
    )
    parser.add_argument(
        "--include-path", type=str | None, default=None, metavar="DIR", help="a folder of task files of your own"
    )
    given = parse(parser, arguments)
    show_log(logging.WARNING)
    from decaystudy.evaluation.lm_eval.tasks import prepare_tasks

    for name, questions in prepare_tasks(choose(given.tasks, given.include_path)):
        print(f"✔ {name}: {questions:,} questions", flush=True)
    return 0
