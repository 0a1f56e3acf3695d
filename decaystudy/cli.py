"""The command line: finds the verb, imports its module and nothing else, and turns errors into one sentence.

Exit codes: 0 done, 1 something failed, 2 a mistake in the call, 3 a run diverged, 4 out of memory, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys

from decaystudy import __version__
from decaystudy.errors import exit_code, unknown

VERBS = {
    "fit": "train one run, or go on with it",
    "run-study": "answer a question: plan, train and compare the runs of a study",
    "status": "how far a study's runs are",
    "report": "rebuild a study's tables, figures and report",
    "probe": "measure this machine's speed, for plans in hours",
    "clean": "remove runs that no study needs any more",
    "prepare-data": "tokenize a source ahead of training",
    "data-stats": "documents, tokens and samples of a source",
    "prepare-tasks": "fetch the data of evaluation tasks ahead",
    "evaluate": "perplexity and tasks for trained models",
    "export": "a run in Hugging Face form",
    "generate": "text from a trained model",
    "decays": "where the decays of trained models are",
    "ablate": "a trained model under another decay",
    "list": "studies, decays, scales and data sources",
}

EPILOG = """examples:
  decaystudy run-study sharing                      the sharing study at scale tiny, offline, on this CPU
  decaystudy run-study sharing --scale 160m --dry-run
  decaystudy fit --model.decay simple --model.decay_options.p 0.95 --out runs/simple
  decaystudy VERB --help                            the settings of a verb"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return exit_code(lambda: dispatch(arguments))
    except SystemExit as end:  # how argparse leaves after --help
        return int(end.code or 0)
    except BrokenPipeError:
        # Whoever read our output has gone (``decaystudy list | head``); say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def dispatch(arguments: list[str]) -> int:
    """Hand over to the module of the verb."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("--version", "-V"):
        print(f"decaystudy {__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    module = importlib.import_module(f"decaystudy.commands.{verb.replace('-', '_')}")
    return module.run(rest)


def overview() -> str:
    """What ``decaystudy --help`` prints."""
    verbs = "\n".join(f"  {verb:<14}{line}" for verb, line in VERBS.items())
    return (
        "usage: decaystudy VERB [settings]\n\n"
        "The laboratory for decay in linear attention: questions in, planned and resumable training runs out,\n"
        f"with tables, figures and error bars.\n\nverbs:\n{verbs}\n\n{EPILOG}"
    )
