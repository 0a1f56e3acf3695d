"""From finished runs to comparisons and verdicts."""
