"""A look at the text of runs before any of them is trained."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.data.config import DataConfig
from decaystudy.data.holding_out import few_held_out
from decaystudy.data.registry import find_source
from decaystudy.runs.folder import state_of
from decaystudy.runs.state import FINAL
from decaystudy.study.definition.expand import Run
from decaystudy.study.execution.store import Store


def data_warnings(runs: Sequence[Run], store: Store) -> list[str]:
    """What should be known of the text of runs that are still to be trained.

    Raises:
        UserError: it cannot be trained on, such as that a column is missing.
    """
    found: dict[str, None] = {}
    seen: list[DataConfig] = []
    for run in runs:
        folder, data = store.find(run), run.config.data
        if data in seen or (folder is not None and state_of(folder) in FINAL):
            continue
        seen.append(data)
        find_source(data.source).check(data)
        if few := few_held_out(data):
            found[few] = None
    return list(found)
