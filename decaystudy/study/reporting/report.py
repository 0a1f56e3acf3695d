"""``decaystudy report``: from results.json to CSV, Markdown, LaTeX and one self-contained HTML page. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decaystudy.errors import UserError
from decaystudy.io import read_mapping, write_json, write_text
from decaystudy.study.analysis.results import gather
from decaystudy.study.definition.expand import Study
from decaystudy.study.execution.record import read_call, read_plan, studies_of
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.html import as_html
from decaystudy.study.reporting.latex import as_tex
from decaystudy.study.reporting.tables import as_csv, as_markdown


def report(studies: Sequence[str] = (), *, out: str = "runs") -> int:
    """Rebuild the tables, figures and the report of studies from what their runs have left.

    Args:
        studies: names, or paths of study files; all that were run in ``out`` unless given.
        out: where runs and results are.
    """
    store = Store(out)
    names = list(studies) or studies_of(store)
    if not names:
        raise UserError(f"no study has been run in {out}: give the folder of the runs with --out")
    for name in names:
        plan = read_plan(store, name)
        folder = store.study_folder(plan["study"])
        try:
            results = write_results(read_call(store, name).expand(), store, {})
        except UserError as error:
            # The study's file has gone or changed; what it gave is still here.
            found = read_mapping(folder / "results.json")
            if found is None:
                raise
            print(f"decaystudy: {error}; the report is made from {folder / 'results.json'} as it is")
            results = found
            write_tables(folder, results)
        write_text(folder / "report.tex", as_tex(results))
        write_text(folder / "report.html", as_html(results, plan, store.out))
        print(f"{folder / 'report.html'} (and report.tex, results.csv, results.md)")
    return 0


def write_results(study: Study, store: Store, trouble: Mapping[str, str]) -> dict[str, Any]:
    """Write results.json, results.csv and results.md of a study and link its runs; returns the content of the first."""
    results = gather(study, store, trouble)
    store.link(study, study.runs())
    folder = store.study_folder(study.name)
    write_json(folder / "results.json", results)
    write_tables(folder, results)
    return results


def write_tables(folder: Path, results: Mapping[str, Any]) -> None:
    """results.csv and results.md from the content of results.json."""
    write_text(folder / "results.csv", as_csv(dict(results)))
    write_text(folder / "results.md", as_markdown(dict(results)))
