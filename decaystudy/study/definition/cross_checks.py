"""What can be wrong between the cells of a study and what else its file, or the command line, says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from decaystudy.errors import UserError, nearest
from decaystudy.study.definition.cells import Cell
from decaystudy.study.definition.schema import StudySpec
from decaystudy.study.definition.settings import Setting


def check_overrides(spec: StudySpec, overrides: Mapping[Setting, Any]) -> None:
    """Refuse settings of the command line that a cell sets."""
    if overrides.get(("data", "tuning")):
        raise UserError("--data.tuning is for the trials of a study, which sets it itself: use --tune")
    for cell in spec.cells:
        for setting in cell.settings:
            for other in overrides:
                if setting[: len(other)] == other or other[: len(setting)] == setting:
                    name = ".".join(other)
                    raise UserError(
                        f"--{name} is set by cell {cell.name!r} of {spec.file}:{cell.line}: leave the flag out, "
                        "or write a study file with other cells"
                    )


def check_distinct(spec: StudySpec, cells: Sequence[Cell]) -> None:
    """Refuse two cells that are the same run."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        digest = cell.config.identity_hash()
        if digest in seen:
            other = seen[digest]
            raise spec.error(
                f"cells {other.name!r} (line {other.line}) and {cell.name!r} are the same run: remove one", cell.line
            )
        seen[digest] = cell


def check_names(spec: StudySpec, cells: Mapping[str, Cell]) -> None:
    """Refuse comparisons, claims and lists that name cells which there are not, or layers that none has."""

    def check(name: str, what: str, line: int) -> None:
        if name not in cells:
            close = nearest(name, cells)
            hint = f"did you mean {close!r}?" if close else f"choose from {', '.join(cells)}"
            raise spec.error(f"{what} refers to unknown cell {name!r}: {hint}", line)

    for comparison in spec.comparisons:
        check(comparison.a, "this comparison", comparison.line)
        check(comparison.b, "this comparison", comparison.line)
    for claim in spec.claims:
        for name in sorted(claim.named_cells()):
            check(name, f"claim {claim.id!r}", claim.line)
        layers = max(cell.config.model.layers for cell in cells.values())
        complaint = claim.complaint(layers)
        if complaint is not None:
            raise spec.error(f"claim {claim.id!r} {complaint}", claim.line)
    for scale, patterns in spec.extra_cells.items():
        for i, pattern in enumerate(patterns):
            if not any(fnmatchcase(name, pattern) for name in cells):
                close = nearest(pattern, cells)
                hint = f"did you mean {close!r}?" if close else f"choose from {', '.join(cells)}"
                raise spec.document.error(f"{pattern!r} fits no cell: {hint}", "extra_cells", scale, i)
