"""``decaystudy decays``: the decays of trained models, by layer and head."""

from __future__ import annotations

from typing import Any

from decaystudy.checks import check_whole
from decaystudy.commands.parsing import make_parser, parse
from decaystudy.errors import UserError
from decaystudy.io import json_text
from decaystudy.output import print_json
from decaystudy.plotting import check_target
from decaystudy.terminal import fitted, terminal_width

MOST_TOKENS = 2**24

DESCRIPTION = """Quantiles of λ by layer and head over real text, half-lives in tokens (ln ½ / ln median λ), and the
shares of λ that are saturated near 0 (below 0.01) and near 1 (above 0.999).

  decaystudy decays runs/a
  decaystudy decays runs/a runs/b --figure medians.svg     draw median λ by layer, one line per run
  decaystudy decays runs/a --text my.txt --heads --json"""


def run(arguments: list[str]) -> int:
    """Parse, measure and print; return the exit code."""
    parser = make_parser("decays", DESCRIPTION)
    parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help="folders of finished runs")
    parser.add_argument(
        "--text", type=str | None, default=None, metavar="FILE", help="measure on this text instead of the held-out one"
    )
    parser.add_argument(
        "--tokens", type=int, default=16_384, metavar="N", help="read at most so many tokens, from all over the text"
    )
    parser.add_argument("--heads", action="store_true", help="also a row per head")
    parser.add_argument(
        "--figure", type=str | None, default=None, metavar="FILE", help="draw the medians (svg, pdf or png)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all heads, instead of a table")
    given = parse(parser, arguments)
    if not given.runs:
        raise UserError("name at least one run's folder, such as runs/a")
    if given.figure is not None:
        check_target(given.figure)
    check_whole("--tokens", given.tokens, 1, MOST_TOKENS)
    from decaystudy.evaluation.decays.distribution import decay_distribution
    from decaystudy.evaluation.tables import decays_table
    from decaystudy.runs.loading import finished_run, load_run

    for folder in given.runs:
        finished_run(folder)  # before the first is measured
    found: dict[str, list[dict[str, Any]]] = {}
    for folder in given.runs:
        found[str(folder)] = decay_distribution(load_run(folder), given.text, given.tokens)
    if given.figure is not None:
        from decaystudy.evaluation.figures import median_by_layer
        from decaystudy.plotting import save

        save(median_by_layer(found), given.figure)
    if given.json:
        print_json(json_text(found))
        return 0
    for folder, layers in found.items():
        print(f"{folder}\n{fitted(decays_table(layers, heads=given.heads), terminal_width())}\n")
    if given.figure is not None:
        print(f"figure: {given.figure}")
    return 0
