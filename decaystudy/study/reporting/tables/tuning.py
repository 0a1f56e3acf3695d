"""How settings were chosen."""

from __future__ import annotations

from decaystudy.formatting import MISSING
from decaystudy.statistics.digits import rounded
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.search import Trial
from decaystudy.study.definition.tuning import Tried, TunedCell
from decaystudy.study.reporting.tables.fields import CELL, trial_text
from decaystudy.table import Column, Kind, Table


def trials_table(results: StudyResults) -> Table | None:
    """The loss of each cell at each of its trials, and what was chosen; None for a study that tries nothing itself."""
    tuning = results.tuning
    if tuning is None or not any(cell.curve for cell in tuning.cells):
        return None
    trials = list(dict.fromkeys(Trial.of(one.settings) for cell in tuning.cells for one in cell.curve))
    in_bits = results.tokenizers > 1
    rows = []
    for cell in (cell for cell in tuning.cells if cell.curve):
        points = {Trial.of(one.settings): one for one in cell.curve}
        fields = [tried_field(points[trial], in_bits=in_bits) if trial in points else MISSING for trial in trials]
        rows.append((cell.cell, *fields, trial_text(cell.chosen), warnings_text(cell)))
    columns = (CELL, *(Column(trial.label) for trial in trials), Column("chosen"), Column("warnings", Kind.WORDS))
    unit = "bits per byte" if in_bits else "nats per token"
    tries = next(cell.tries for cell in tuning.cells if cell.curve)
    note = (
        f"Loss on tuning documents, {unit} ± its standard error over documents, and in brackets what it is above "
        f"the best; each cell chooses from {tries}. A choice is unstable if the runner-up is above by no more than the "
        "standard error of that difference."
    )
    return Table(columns, tuple(rows), title="Trials", notes=(note,))


def tried_field(one: Tried, *, in_bits: bool) -> str:
    """The loss of a trial with what it has more than the best, or its state."""
    if one.loss is None:
        return one.status
    if in_bits and one.bits_per_byte is None:
        return MISSING
    scale = one.bits_per_byte / one.loss if in_bits and one.bits_per_byte is not None else 1.0
    error, above_error = (None if x is None else x * scale for x in (one.standard_error, one.above_error))
    shown = rounded(one.loss * scale, error)
    shown += "" if error is None else f" ± {rounded(error, error)}"
    return f"{shown} ({rounded(one.above * scale, above_error, signed=True)})" if one.above else shown


def taken_table(results: StudyResults) -> Table | None:
    """The settings that cells take over from another study; None where none does."""
    tuning = results.tuning
    taken = [cell for cell in tuning.cells if cell.taken_from is not None] if tuning is not None else []
    if tuning is None or not taken:
        return None
    columns = (CELL, Column("chosen"), Column("for", Kind.WORDS), Column("warnings", Kind.WORDS))
    rows = [(cell.cell, trial_text(cell.chosen), cell.taken_from or "", warnings_text(cell)) for cell in taken]
    return Table(columns, tuple(rows), title=f"Settings chosen in {tuning.source}")


def warnings_text(cell: TunedCell) -> str:
    """What speaks against a choice."""
    warnings = ["at the edge of the grid"] * cell.at_edge + ["choice unstable"] * cell.unstable
    return ", ".join([*warnings, *([cell.why] if cell.why else [])])
