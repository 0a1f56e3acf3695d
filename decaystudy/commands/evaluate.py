"""``decaystudy evaluate``: perplexity and task accuracies of trained models."""

from __future__ import annotations

import logging
import sys

from decaystudy.checks import MOST_STEPS, check_batch_size, check_whole
from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError
from decaystudy.evaluation.tasks.catalog import GROUP_SUMMARIES
from decaystudy.evaluation.tasks.given import Chosen, choose
from decaystudy.io import json_text
from decaystudy.output import print_json, show_log
from decaystudy.plotting import check_target
from decaystudy.runs.evaluation import Evaluation, read_evaluation
from decaystudy.serial import to_plain
from decaystudy.terminal import terminal_width

DESCRIPTION = """Validation perplexity and lm-eval's tasks, for runs or for models in Hugging Face form.

Results are written to RUN/evaluation.json, and the outcome of each question to RUN/evaluation/. Tasks that were
evaluated before on the same weights are not evaluated again; an interrupted evaluation resumes with the next task.

  decaystudy evaluate runs/a runs/b                       the paper's ten tasks (see prepare-tasks)
  decaystudy evaluate runs/a --tasks offline              tasks that need no network
  decaystudy evaluate runs/a --tasks none                 perplexity alone
  decaystudy evaluate runs/a --tasks piqa,arc_easy --limit 100
  decaystudy evaluate runs/a --tasks ./mine.yaml          a task file of lm-eval's

groups of tasks:
""" + "\n".join(f"  {name:<9}{summary}" for name, summary in GROUP_SUMMARIES.items())


def run(arguments: list[str]) -> int:
    """Parse, evaluate and print a table; return the exit code."""
    parser = make_parser("evaluate", DESCRIPTION)
    parser.add_argument(
        "runs", nargs="*", default=[], metavar="RUN", help="folders of finished runs, or of exported models"
    )
    parser.add_argument(
        "--tasks",
        type=str,
        default="paper",
        help="groups, tasks of lm-eval, and task files: offline,piqa,./mine.yaml; none for perplexity alone",
    )
    parser.add_argument(
        "--include-path", type=str | None, default=None, metavar="DIR", help="a folder of task files of your own"
    )
    parser.add_argument("--limit", type=int | None, default=None, help="maximum number of questions per task")
    parser.add_argument(
        "--batch-size", type=str, default="auto", help="questions per batch; auto sizes batches by their tokens"
    )
    parser.add_argument(
        "--lengths",
        type=bool,
        default=True,
        help="also loss by position, and perplexity at 1 to 8 times the training length",
    )
    parser.add_argument(
        "--figure", type=str | None, default=None, metavar="FILE", help="draw loss by position (svg, pdf or png)"
    )
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run code that an exported model brings or names"
    )
    parser.add_argument("--json", action="store_true", help="print the content of evaluation.json instead of a table")
    given = parse(parser, arguments)
    if not given.runs:
        raise UserError("name at least one run's folder, such as runs/a")
    if given.figure is not None:
        check_target(given.figure)
    if given.limit is not None:
        check_whole("--limit", given.limit, 1, MOST_STEPS)
    check_batch_size(given.batch_size)
    show_log(logging.WARNING)
    chosen = Chosen((), {}) if given.tasks.strip() == "none" else choose(given.tasks, given.include_path)
    from decaystudy.evaluation.evaluate import evaluate
    from decaystudy.evaluation.tables import evaluation_text, one_tokenizer
    from decaystudy.hub.from_run import is_hub_folder
    from decaystudy.runs.loading import finished_run

    if given.figure is not None and not given.lengths and not any(map(measured_lengths, given.runs)):
        raise UserError("--figure draws losses by position, which none of these have: leave --lengths false out")
    for folder in given.runs:
        if not is_hub_folder(folder):
            finished_run(folder)  # before the first is evaluated
    found: dict[str, Evaluation] = {}
    for folder in given.runs:
        say(str(folder))
        found[str(folder)] = evaluate(
            folder,
            chosen,
            limit=given.limit,
            batch_size=given.batch_size,
            lengths=given.lengths,
            tell=say,
            trusted=given.trust_remote_code,
        )
    measured = {folder: model.positions for folder, model in found.items() if model.positions}
    if given.figure is not None and not measured:
        raise UserError("--figure draws losses by position, which none of these have: leave --lengths false out")
    if given.figure is not None:
        if not one_tokenizer(found):
            raise UserError(
                "--figure draws losses per token, and these models have different tokenizers: draw one figure for each"
            )
        from decaystudy.evaluation.figures import loss_by_position
        from decaystudy.plotting import save

        lengths = {model.lengths[0].length for model in found.values() if model.lengths}
        save(loss_by_position(measured, lengths), given.figure)
    if given.json:
        print_json(json_text(to_plain(found, omit_none=True)))
        return 0
    print(evaluation_text(found, chosen.names, terminal_width()))
    return 0


def measured_lengths(folder: str) -> bool:
    """Whether losses by position were measured before."""
    before = read_evaluation(folder)
    return before is not None and bool(before.positions)


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)
