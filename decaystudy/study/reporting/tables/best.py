"""Which cell may be set in bold: one that is shown to be the best, not the one that happens to have the least loss."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.study.analysis.results import Comparison, ComparisonVerdict, StudyResults

BETTER_PAIR = tuple[str, str]
"""(the better cell, the other)."""


def shown_best(results: StudyResults) -> str | None:
    """The cell whose loss is shown to be below that of every other cell; None where no cell's is.

    Shown is what follows from the study's comparisons, whose intervals hold together: a verdict between two cells,
    disjoint intervals of their differences to one baseline, and what these imply of third cells.
    """
    cells = [cell.name for cell in results.cells]
    below = closed(shown_pairs(results.comparisons), cells)
    if len(cells) < 2 or results.tokenizers > 1:
        return None
    return next((one for one in cells if all((one, other) in below for other in cells if other != one)), None)


def shown_pairs(rows: Sequence[Comparison]) -> set[BETTER_PAIR]:
    """The pairs of cells of which the comparisons themselves show that one is better."""
    found = {(row.a, row.b) for row in rows if row.verdict == ComparisonVerdict.BETTER}
    found |= {(row.b, row.a) for row in rows if row.verdict == ComparisonVerdict.WORSE}
    for row in rows:
        for other in rows:
            same = row.b == other.b and row.unit == other.unit
            if same and row.high is not None and other.low is not None and row.high < other.low:
                found.add((row.a, other.a))
    return found


def closed(pairs: set[BETTER_PAIR], cells: Sequence[str]) -> set[BETTER_PAIR]:
    """Those pairs, and all that follow from them."""
    found = set(pairs)
    for middle in cells:  # Warshall's algorithm
        above = [one for one in cells if (one, middle) in found]
        under = [other for other in cells if (middle, other) in found]
        found |= {(one, other) for one in above for other in under}
    return found
