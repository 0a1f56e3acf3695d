"""How the cells of a study are drawn: a colour for what the cell is of, such as its decay, a dash for its level."""

from __future__ import annotations

from decaystudy.plotting import LineStyle, line_style
from decaystudy.study.analysis.pairing import groups
from decaystudy.study.analysis.results import StudyResults


def cell_styles(results: StudyResults) -> dict[str, LineStyle]:
    """By cell. Cells that differ in a level that several pairs replace share a colour; others have their own."""
    known: dict[str, tuple[str, str]] = {}
    for group in groups(results.comparisons, results.axis):
        for one in group.rows if group.level else ():
            known.setdefault(one.row.b, (one.name, group.baseline))
            known.setdefault(one.row.a, (one.name, group.level))
    hues: dict[str, int] = {}
    levels: dict[str, int] = {baseline: 0 for _, baseline in known.values() if baseline in _baselines(results)}
    found = {}
    for cell in results.cells:
        stem, level = known.get(cell.name, (cell.name, ""))
        hue = hues.setdefault(stem, len(hues))
        found[cell.name] = line_style(hue, levels.setdefault(level, len(levels)) if level else 0)
    return found


def _baselines(results: StudyResults) -> set[str]:
    return {group.baseline for group in groups(results.comparisons, results.axis) if group.level}
