"""Statistics."""

from decaystudy.statistics.comparison import Comparison, compare, differences
from decaystudy.statistics.verdicts import Verdict, verdict

__all__ = ["Comparison", "Verdict", "compare", "differences", "verdict"]
