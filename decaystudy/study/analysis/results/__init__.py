"""What a study's answer is: the content of results.json, from which tables, figures and reports are made.

A seed is a sample, as a document is. So one seed gives differences of checkpoints and no verdict; intervals of a family
hold together with the probability that it names.
"""

from decaystudy.study.analysis.results.cells import Accuracy, CellLength, CellPosition, CellResult, CellTask, Difference
from decaystudy.study.analysis.results.comparisons import (
    AccuracyComparison,
    Comparison,
    ComparisonVerdict,
    Family,
    JudgedDifference,
    SeedDifference,
    in_bits,
)
from decaystudy.study.analysis.results.runs import Cost, RunRow
from decaystudy.study.analysis.results.scales import ScaleClaim, ScaleVerdict
from decaystudy.study.analysis.results.study import SCHEMA, StudyResults
from decaystudy.study.definition.claims.result import ClaimPart, ClaimResult

__all__ = [
    "SCHEMA",
    "Accuracy",
    "AccuracyComparison",
    "CellLength",
    "CellPosition",
    "CellResult",
    "CellTask",
    "ClaimPart",
    "ClaimResult",
    "Comparison",
    "ComparisonVerdict",
    "Cost",
    "Difference",
    "Family",
    "JudgedDifference",
    "RunRow",
    "ScaleClaim",
    "ScaleVerdict",
    "SeedDifference",
    "StudyResults",
    "in_bits",
]
