"""The tables of a study, from its results."""

from decaystudy.study.reporting.tables.cells import cells_table
from decaystudy.study.reporting.tables.claims import claim_details_table, claims_table, scales_table
from decaystudy.study.reporting.tables.comparisons import accuracies_table, comparisons_table, seeds_table
from decaystudy.study.reporting.tables.runs import run_data, runs_table
from decaystudy.study.reporting.tables.tasks import lengths_table, tasks_table
from decaystudy.study.reporting.tables.tuning import taken_table, trials_table

__all__ = [
    "accuracies_table",
    "cells_table",
    "claim_details_table",
    "claims_table",
    "comparisons_table",
    "lengths_table",
    "run_data",
    "runs_table",
    "scales_table",
    "seeds_table",
    "taken_table",
    "tasks_table",
    "trials_table",
]
