"""Studies with planted effects, and what is made of them."""

import json
import re
from pathlib import Path
from typing import Any

from decaystudy.plotting import svg
from decaystudy.runs.folder import RunFolder
from decaystudy.serial import to_plain
from decaystudy.study.analysis.results import ClaimResult, StudyResults
from decaystudy.study.definition.expand import Study, expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_tex, as_text
from decaystudy.study.reporting.html import as_html
from tests.study import small
from tests.study.planted import (
    answer_of,
    plant,
)

CELLS = "cells:\n" + "".join(
    f"  - {{name: {name}, decay: simple, p: 0.{p}}}\n" for name, p in zip("abcdef", range(3, 9), strict=True)
)


HEAD = "title: T\nquestion: Q?\nscale: tiny\naxis: p\nbaseline: a\n" + CELLS


def make(folder: Path, claims: str = "", seeds: str = "0-4", head: str = HEAD) -> Study:
    file = small.write_study(folder, head + (f"claims:\n  - {claims}\n" if claims else ""))
    return expand(read_study(str(file)), seeds=tuple(range(5)) if seeds == "0-4" else tuple(map(int, seeds.split(","))))


def folder_of(study: Study, store: Store, cell: str, seed: int) -> RunFolder:
    folder = store.find(next(run for run in study.runs() if (run.cell, run.seed) == (cell, seed)))
    assert folder is not None
    return folder


def answer(folder: Path, study: Study, effects: dict[str, float], **more: Any) -> StudyResults:
    store = Store(folder / "out")
    plant(study, store, effects, **more)
    return answer_of(study, store)


def claim(folder: Path, words: str, effects: dict[str, float], **more: Any) -> ClaimResult:
    study = make(folder, f"{{id: x, says: y, {words}}}")
    return answer(folder, study, effects, **more).claims[0]


NOISY = {"seed_noise": 0.2}


CONSTANTS = "title: T\nquestion: Q?\nscale: tiny\naxis: c\nbaseline: a\ncells:\n" + "".join(
    f"  - {{name: {name}, decay: constant, c: 0.{c}}}\n" for name, c in zip("abcdef", range(3, 9), strict=True)
)


VERDICTS = re.compile(r"\b(better|worse|equivalent|not resolved|supported|refuted)\b")


def outputs(results: StudyResults, study: Study, out: Path) -> dict[str, str]:
    """Everything that the answer of a study is written as."""
    speed = choose_speed("tiny", gpu="h100", devices=1, jobs=1, on_cpu=False)
    page = as_html(results, plan_study(study, Store(out), speed, 1), out)
    plain = to_plain(results)
    return {
        "text": as_text(results),
        "csv": as_csv(results),
        "markdown": as_markdown(results),
        "latex": as_tex(results),
        "html": re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL),
        "json": json.dumps([plain["comparisons"], plain["claims"], plain["every_scale"], plain["cells"]]),
        "figures": "".join(svg(figure) for figure in figures.all_figures(results, {}).values()),
    }
