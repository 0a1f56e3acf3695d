"""``decaystudy ablate``: perplexity of a trained model under another decay."""

from __future__ import annotations

from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError
from decaystudy.io import json_text
from decaystudy.output import print_json
from decaystudy.terminal import fitted, terminal_width

DESCRIPTION = """Perplexity of a trained model under a decay that it was not trained with. Nothing is trained.

Each change is made on its own and compared with the unchanged model, sequence by sequence. Only the decay changes: a
key that is shared with it (k = 1 − λ) keeps its value.

  decaystudy ablate runs/a --clamp-decay 0.8              set every λ to 0.8
  decaystudy ablate runs/a --clamp-decay 0,0.9            limit λ to 0.9
  decaystudy ablate runs/a --freeze-decay-to-median --average-heads"""


def run(arguments: list[str]) -> int:
    """Parse, measure and print; return the exit code."""
    parser = make_parser("ablate", DESCRIPTION)
    parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help="folders of finished runs")
    parser.add_argument(
        "--clamp-decay", type=str | None, default=None, metavar="λ|LOW,HIGH", help="set every λ, or limit it to a range"
    )
    parser.add_argument(
        "--freeze-decay-to-median",
        action="store_true",
        help="replace each λ by its median over held-out text, per layer, head and dimension",
    )
    parser.add_argument("--average-heads", action="store_true", help="replace each token's λ by the mean over heads")
    parser.add_argument("--drop-rope", action="store_true", help="leave out the rotation of q and k")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parse(parser, arguments)
    if not given.runs:
        raise UserError("name at least one run's folder, such as runs/a")
    clamp = read_clamp(given.clamp_decay) if given.clamp_decay is not None else None
    from decaystudy.evaluation.decays.ablation import ablate
    from decaystudy.evaluation.tables import ablation_table
    from decaystudy.runs.loading import finished_run, load_run

    for folder in given.runs:
        finished_run(folder)  # before the first is measured
    found = {
        str(folder): ablate(
            load_run(folder),
            clamp=clamp,
            freeze_to_median=given.freeze_decay_to_median,
            average_heads=given.average_heads,
            drop_rope=given.drop_rope,
        )
        for folder in given.runs
    }
    if given.json:
        print_json(json_text(found))
        return 0
    for folder, values in found.items():
        print(f"{folder}\n{fitted(ablation_table(values), terminal_width())}\n")
    return 0


def read_clamp(text: str) -> tuple[float, float]:
    """The lower and upper bound that ``0.8`` or ``0.5,0.9`` stands for."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise UserError(f"--clamp-decay is {text!r}: give one λ such as 0.8, or two such as 0.5,0.9")
    return numbers[0], numbers[-1]
