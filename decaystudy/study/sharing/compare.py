"""``decaystudy compare``: two studies side by side, from folders of results or from bundles."""

from __future__ import annotations

import os
from pathlib import Path

from decaystudy.errors import UserError, nearest
from decaystudy.formatting import harmless
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.reporting.report import read_results
from decaystudy.study.sharing.content import read_bundle
from decaystudy.study.sharing.side_by_side import (
    Side,
    accuracies_table,
    claims_table,
    comparisons_table,
    facts_table,
    same_tokens,
    summary,
)
from decaystudy.terminal import fitted, fold, terminal_width


def compare(a: str, b: str) -> int:
    """Print what two studies have in common, and whether they agree.

    Args:
        a: a bundle, the folder of a study, or a results.json; of a bundle with several scales also BUNDLE:SCALE.
        b: the same.

    Raises:
        UserError: one of them cannot be read, or they have nothing in common.
    """
    one, two = read_side(a), read_side(b)
    sides = [Side(label, results) for label, results in zip(labels(a, b, one, two), (one, two), strict=True)]
    tables = [make(*sides) for make in (comparisons_table, accuracies_table, claims_table)]
    if all(row[-1].startswith("only in") for table in tables if table is not None for row in table.rows):
        raise UserError(
            f"{a} and {b} have no comparison and no claim in common: compare studies whose cells have the same names"
        )
    width = terminal_width()
    known = [fitted(table, width) for table in [facts_table(*sides), *tables] if table is not None]
    # Each answer is in nats per token, which other tokens can't be compared in.
    answers = [fold(f"{side.label}: {side.results.answer}", width) for side in sides] if same_tokens(one, two) else []
    print(harmless("\n\n".join([known[0], *(["\n".join(answers)] if answers else []), *known[1:], summary(tables)])))
    return 0


def read_side(name: str) -> StudyResults:
    """The results that a name stands for.

    Raises:
        UserError: there are none.
    """
    path, scale = Path(name).expanduser(), None
    if not os.path.lexists(path) and ":" in name:
        base, _, scale = name.rpartition(":")
        path = Path(base).expanduser()
    if path.is_dir() or path.suffix == ".json":
        results = read_results(path / "results.json" if path.is_dir() else path)
        if scale not in (None, results.scale):
            raise UserError(
                f"{path} has results at scale {results.scale} only, not {scale}: bundle the study, which keeps all "
                "its scales"
            )
        return results
    found = read_bundle(path).results
    if scale is None:
        return next(iter(found.values()))
    if scale not in found:
        close = nearest(scale, found)
        hint = f"did you mean {close}?" if close else f"it has {', '.join(found)}"
        raise UserError(f"{path} has no scale {scale!r}: {hint}")
    return found[scale]


def labels(a: str, b: str, one: StudyResults, two: StudyResults) -> tuple[str, str]:
    """Short names that tell the two apart: scales, studies, or files."""
    names = (Path(a).name or a, Path(b).name or b)
    for pair in ((one.scale, two.scale), (one.study, two.study), names):
        if pair[0] != pair[1]:
            return pair
    return f"{names[0]} (first)", f"{names[1]} (second)"
