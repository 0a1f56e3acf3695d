"""Finished runs with known effects, written where ``fit`` would have written them."""

from collections.abc import Mapping, Sequence

import numpy as np

from decaystudy.runs.result import LayerDecay, RunResult
from decaystudy.runs.state import RunState
from decaystudy.study.analysis.analyse import analyse
from decaystudy.study.analysis.results import StudyResults
from decaystudy.study.definition.expand import Study
from decaystudy.study.execution.outcomes import read_outcomes
from decaystudy.study.execution.store import Store

SEQUENCES = 80
ENTROPY = 5.0


def plant(
    study: Study,
    store: Store,
    effects: Mapping[str, float],
    *,
    decays: Mapping[str, Sequence[float]] | None = None,
    seed_noise: float = 0.002,
    sequence_noise: float = 0.01,
    rest: float = 0.02,
    key: int = 0,
) -> None:
    """Give each cell the loss 3 + effect, with noise of seeds, sequences (as cells see them) and the rest."""
    rng = np.random.default_rng(key)
    common = rng.normal(0, 0.5, SEQUENCES)
    tastes = {cell.name: rng.normal(0, sequence_noise, SEQUENCES) for cell in study.cells}
    for run in study.runs():
        loss = 3 + effects.get(run.cell, 0.0) + common + tastes[run.cell] - tastes[run.cell].mean()
        loss = loss + rng.normal(0, seed_noise) + rng.normal(0, rest, SEQUENCES)
        folder = store.claim(run)
        np.save(folder.validation_loss, loss)
        medians = (decays or {}).get(run.cell, [0.7, 0.8, 0.9])
        wobble = rng.normal(0, 0.002, len(medians))
        layers = tuple(
            LayerDecay(i, median=m + w, q25=m - 0.05, q75=m + 0.05, mean=m + w)
            for i, (m, w) in enumerate(zip(medians, wobble, strict=True))
        )
        mean = float(loss.mean())
        folder.write_result(
            RunResult(
                status=RunState.FINISHED,
                step=run.config.max_steps,
                tokens=run.config.tokens,
                train_loss=mean,
                val_loss=mean,
                val_perplexity=float(np.exp(mean)),
                unigram_entropy=ENTROPY,
                seconds=1.0,
                tokens_per_second=1000.0,
                decay=layers,
            )
        )
        folder.write_status("finished", step=run.config.max_steps)


def answer_of(study: Study, store: Store) -> StudyResults:
    """The study's answer, from what the store holds."""
    return analyse(study, read_outcomes(study, store))
