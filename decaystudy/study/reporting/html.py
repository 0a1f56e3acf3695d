"""A study's report as one page that needs nothing beside it: what ``templates/report.html`` is filled with. Needs no
torch; imports jinja2 when it writes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType

from decaystudy.formatting import hours
from decaystudy.plotting import INK
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.planning.plan_schema import Plan
from decaystudy.study.reporting import tables
from decaystudy.study.reporting.captions import alternatives, captions
from decaystudy.study.reporting.families import outcome
from decaystudy.study.reporting.provenance import BIBTEX, provenance
from decaystudy.table import Table

LOG_LINES = 20


def as_html(results: StudyResults, plan: Plan, out: Path, drawn: Mapping[str, str] = MappingProxyType({})) -> str:
    """The report.

    Args:
        plan: as the study was planned.
        out: the folder of all runs, where their logs are.
        drawn: the study's figures as svg elements, by name; a page without them unless given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    took, planned = cost(results, plan)
    return environment.get_template("report.html").render(
        results=results,
        outcome=outcome(results),
        plan=plan,
        tables=all_tables(results, plan),
        figures=embedded(drawn, alternatives(results)),
        captions=captions(results),
        folders={run.id: run.run for run in results.runs if run.run is not None},
        provenance=provenance(results, plan, out),
        bibtex=BIBTEX,
        log_tails={run.id: tail(out / run.run / "log.txt") if run.run else "" for run in results.failures},
        took=took,
        planned=planned,
    )


def embedded(drawn: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    """Figures as parts of a page: in its colours, light or dark, without ids that several would have, with a text for
    those who can't see them."""
    found = {}
    for name, image in drawn.items():
        image = re.sub(r"<(metadata|style)\b.*?</\1>", "", image, flags=re.DOTALL)
        image = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", image)
        image = re.sub(r'(id="|#)([mp][0-9a-f]{10})\b', rf"\g<1>{name}-\g<2>", image)
        image = re.sub(f"{INK}|#000000", "currentColor", image)
        image = image.replace("fill: #ffffff", "fill: none")
        found[name] = image.replace("<svg", f'<svg role="img" aria-label="{escape(texts[name])}"', 1)
    return found


def all_tables(results: StudyResults, plan: Plan) -> dict[str, Table | None]:
    """The tables of the page by name; None for those that this study doesn't have."""
    return {
        "cells": tables.cells_table(results, with_runs=True),
        "trials": tables.trials_table(results),
        "taken": tables.taken_table(results),
        "comparisons": tables.comparisons_table(results),
        "seeds": tables.seeds_table(results),
        "tasks": tables.tasks_table(results),
        "accuracies": tables.accuracies_table(results),
        "lengths": tables.lengths_table(results),
        "claims": tables.claim_details_table(results),
        "scales": tables.scales_table(results),
        "runs": tables.runs_table(results, plan),
    }


def cost(results: StudyResults, plan: Plan) -> tuple[str, str]:
    """How long the runs took and were planned to take, over those where both are known; empty where none is."""
    planned = {run.id: run.hours for run in plan.runs}
    known = [
        (run.cost.seconds / 3600, planned[run.id]) for run in results.runs if run.cost.seconds and run.id in planned
    ]
    if not known:
        return "", ""
    return hours(math.fsum(took for took, _ in known)), hours(math.fsum(hoped for _, hoped in known))


def tail(log: Path) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
    except OSError:
        return ""
