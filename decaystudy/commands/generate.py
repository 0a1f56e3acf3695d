"""``decaystudy generate``: text from a trained model."""

from __future__ import annotations

import contextlib

from decaystudy.checks import LARGEST_SEED, MOST_STEPS, check_number, check_whole
from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError
from decaystudy.output import reader_gone

COLDEST = 1e-4
"""The least temperature, by which logits can be divided; the most likely token is all but certain at it."""

DESCRIPTION = """Continue a text, token by token, with the model of a run or of an exported folder.

  decaystudy generate runs/a --prompt "The state of a linear attention"
  decaystudy generate runs/a --prompt "" --temperature 0.8 --top-k 50 --seed 1"""


def run(arguments: list[str]) -> int:
    """Parse and print text as it is generated; return the exit code."""
    parser = make_parser("generate", DESCRIPTION)
    parser.add_argument(
        "runs", nargs="*", default=[], metavar="RUN", help="the folder of a finished run or of an exported model"
    )
    parser.add_argument("--prompt", type=str, default="", help="the text to continue")
    parser.add_argument("--tokens", type=int, default=100, help="maximum number of tokens to add")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 always takes the most likely token")
    parser.add_argument("--top-k", type=int, default=0, help="sample from this many most likely tokens; 0 for all")
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="sample from the most likely tokens that together have this probability",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run code that an exported model brings or names"
    )
    given = parse(parser, arguments)
    if len(given.runs) != 1:
        raise UserError("name one run folder, such as runs/a")
    check_whole("--tokens", given.tokens, 1, MOST_STEPS)
    check_number("--temperature", given.temperature, 0, 1e6)
    if 0 < given.temperature < COLDEST:
        raise UserError(
            f"--temperature is {given.temperature:g}: give 0 for the most likely token, or {COLDEST:g} or more"
        )
    check_whole("--top-k", given.top_k, 0, MOST_STEPS)
    check_number("--top-p", given.top_p, 0, 1, without_low=True)
    check_whole("--seed", given.seed, 0, LARGEST_SEED)
    from decaystudy.evaluation.generation import stream

    pieces = stream(
        given.runs[0],
        given.prompt,
        tokens=given.tokens,
        temperature=given.temperature,
        top_k=given.top_k,
        top_p=given.top_p,
        seed=given.seed,
        trusted=given.trust_remote_code,
    )
    with contextlib.closing(pieces):
        for piece in pieces:
            print(piece, end="", flush=True)
            if reader_gone():
                return 0
    print()
    return 0
