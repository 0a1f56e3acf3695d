"""The command line: finds the verb, imports only its module, and turns errors into one sentence.

Exit codes: 0 done, 1 something failed, 2 a mistake in the call, 3 a run diverged, 4 out of memory, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import re
import sys

from decaystudy import __version__
from decaystudy.checks import shown
from decaystudy.errors import UserError, exit_code, unknown
from decaystudy.imports import blaming
from decaystudy.live import opening
from decaystudy.output import Output, lost, unfailing_output, use_utf8

GROUPS = {
    "train": {
        "fit": "train one run, or resume it",
        "run-study": "answer a question: plan, train and compare the runs of a study",
        "probe": "measure this machine's training speed, for plans in hours",
        "doctor": "versions, GPU, kernels, cache and hub, for bug reports",
        "rehearse": "check this machine with a tiny run that is killed and resumed",
        "clean": "delete runs that no study needs any more",
    },
    "look": {
        "list": "studies, decays, scales, data sources and loggers",
        "status": "progress of a study's runs",
        "report": "rebuild a study's tables, figures and report",
        "tensorboard": "curves, decays and answers in TensorBoard",
        "evaluate": "perplexity and task accuracies of trained models",
        "decays": "the decays of trained models, by layer and head",
        "ablate": "perplexity of a trained model under another decay",
        "generate": "text from a trained model",
    },
    "data": {
        "prepare-data": "tokenize a source before training",
        "data-stats": "documents, tokens and samples of a source",
        "prepare-tasks": "download the data of evaluation tasks",
    },
    "share": {
        "bundle": "write a study as one small file",
        "rejudge": "judge bundles again, without the runs",
        "compare": "put two studies side by side",
        "export": "write a run in Hugging Face form",
    },
}
VERBS = {verb: line for verbs in GROUPS.values() for verb, line in verbs.items()}

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Variables that Lightning reads as numbers when it is imported."""

EPILOG = """examples:
  decaystudy run-study sharing         at scale tiny: offline, on this CPU
  decaystudy run-study sharing --scale 160m --dry-run
  decaystudy fit --model.decay simple --model.decay_options.p 0.95
  decaystudy VERB --help               the settings of a verb"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if argv is None:
        use_utf8()
    arguments = sys.argv[1:] if argv is None else argv
    with unfailing_output() as output:
        try:
            code = exit_code(lambda: dispatch(arguments))
        except SystemExit as end:  # how argparse leaves after --help
            code = int(end.code or 0)
        if Output.before_writing is not None:
            Output.before_writing()
        output.flush()
        if reason := lost(output):
            print(f"decaystudy: standard output could not be written ({reason}); all else is done", file=sys.stderr)
            # A run's results are in its folder; what other verbs print may be all that they give.
            trained = arguments[:1] == ["fit"] and not {"-h", "--help", "--print_config"} & set(arguments)
            return code if trained else code or 1
    return code


def dispatch(arguments: list[str]) -> int:
    """Run the verb that the arguments begin with."""
    if arguments[:1] == ["help"] and arguments[1:2]:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("--version", "-V"):
        print(f"decaystudy {__version__}")
        return 0
    for word in arguments:
        if not word.isascii() and any("\ud800" <= character <= "\udfff" for character in word):
            raise UserError(
                f"{shown(word)} is not UTF-8 text: rename what it names, or name files by a pattern like *.txt"
            )
    verb, rest = arguments[0], arguments[1:]
    if verb.startswith("-"):
        raise UserError(f"{shown(verb)} stands before the verb: write decaystudy VERB {verb[:60]}, such as fit or list")
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    check_surroundings()
    # Figures go to files; a wrong backend would be the end of whoever imports matplotlib.
    os.environ.pop("MPLBACKEND", None)
    opening(f"decaystudy {verb} …")
    with blaming():
        module = importlib.import_module(f"decaystudy.commands.{verb.replace('-', '_')}")
        return int(module.run(rest))


def check_surroundings() -> None:
    """Refuse what the libraries that are imported later end in the middle of.

    Raises:
        UserError: the working folder is gone, or a variable that numbers processes is no number.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UserError("the folder in which this command was called was removed: change to another one") from error
    for name in RANKS:
        rank = os.environ.get(name, "0")
        if not re.fullmatch(r"-?[0-9]{1,9}", rank):
            raise UserError(
                f"the environment variable {name} is {shown(rank)}, and it numbers the processes of a run: unset it, "
                "or give a whole number"
            )


def overview() -> str:
    """The text of ``decaystudy --help``."""
    groups = "\n\n".join(
        f"{group}:\n" + "\n".join(f"  {verb:<15}{line}" for verb, line in verbs.items())
        for group, verbs in GROUPS.items()
    )
    return (
        "usage: decaystudy VERB [settings]\n\n"
        "The laboratory for decay in linear attention: questions in, planned and\n"
        f"resumable training runs out, with tables, figures and error bars.\n\n{groups}\n\n{EPILOG}"
    )
