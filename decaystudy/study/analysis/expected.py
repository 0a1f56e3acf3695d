"""What a study could resolve with its seeds, before it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from decaystudy.scales import SCALES
from decaystudy.statistics.planning import Design, Goal, resolvable_difference, seeds_needed
from decaystudy.study.analysis.comparisons import loss_pairs, smallest_margin
from decaystudy.study.analysis.judgement import noise_of
from decaystudy.study.analysis.losses import NATS, Losses
from decaystudy.study.definition.expand import Study
from decaystudy.study.definition.judged import JudgedStudy
from decaystudy.study.execution.outcomes import Outcome

ASSUMED_SD = {"tiny": 0.03, "mini": 0.02, "small": 0.02}
ASSUMED_SD_ELSEWHERE = 0.01


def expected_resolution(study: Study, outcomes: Sequence[Outcome]) -> str:
    """One sentence on the smallest difference in loss that a study's seeds would resolve; empty without comparisons.

    Args:
        outcomes: of the study's runs; how much finished ones differ between seeds is taken for all.
    """
    if _across_tokenizers(study):
        return "resolution: not known before the runs: cells of different tokenizers are compared in bits per byte"
    expected = expected_design(study, outcomes)
    if expected is None:
        return ""
    design, source = expected
    smallest = resolvable_difference(design, len(study.seeds))
    if smallest is None:
        text = "one seed resolves nothing and judges no claim"
    elif math.isinf(smallest):
        text = "two seeds of fewer than five cells resolve nothing, being too few runs to tell how much runs differ"
    else:
        text = f"{len(study.seeds)} seeds resolve about ±{smallest:.2g} {NATS}"
    margin, goal = smallest_margin(study)
    if margin is not None:
        needed = seeds_needed(design, margin, goal)
        text += (
            f"; the claims ask {margin:g}, which takes {'more than 200' if needed is None else f'about {needed}'} seeds"
        )
    elif smallest is None or math.isinf(smallest):
        three = resolvable_difference(design, 3, Goal.DIFFERENCE)
        text += f"; three would resolve about ±{three:.2g} {NATS}"
    return f"resolution: {text} ({source})"


def expected_design(study: Study, outcomes: Sequence[Outcome] = ()) -> tuple[Design, str] | None:
    """The comparisons of losses that a study makes, with their errors, and where these are from; None without any."""
    pairs = tuple(loss_pairs(study))
    if not pairs or _across_tokenizers(study):
        return None
    sd, error, source = _noise(study, outcomes)
    return Design(pairs, len({cell for pair in pairs for cell in pair}), sd, error), source


def finer_scale(study: JudgedStudy, seed_sd: float | None) -> str | None:
    """The next scale of a study whose cells are assumed to differ less between seeds; None if none is.

    Args:
        seed_sd: by which cells differ at the study's scale; assumed where it is None.
    """
    here = assumed_sd(study.scale) if seed_sd is None else seed_sd
    order = list(SCALES)
    larger = [name for name in order[order.index(study.scale) + 1 :] if name in study.spec.scales]
    return next((name for name in larger if assumed_sd(name) < here), None)


def assumed_sd(scale: str) -> float:
    """Standard deviation of a cell between seeds, nats per token, where no finished run tells."""
    return ASSUMED_SD.get(scale, ASSUMED_SD_ELSEWHERE)


def _across_tokenizers(study: Study) -> bool:
    """Whether a pair is compared in bits per byte, which assumptions in nats per token say nothing about."""
    tokenizers = {cell.name: cell.config.data.tokenizer_name for cell in study.cells}
    return any(tokenizers[a] != tokenizers[b] for a, b in loss_pairs(study))


def _noise(study: Study, outcomes: Sequence[Outcome]) -> tuple[float, float, str]:
    """Standard deviation between seeds, error from documents, and where they are from."""
    finished = [outcome for outcome in outcomes if outcome.finished and not outcome.run.tuning]
    cells = {cell.name: [o for o in finished if o.run.cell == cell.name] for cell in study.cells}
    known = {name: own for name, own in cells.items() if own}
    if known:
        for measurement in Losses(known, []).by_documents.values():
            noise = None if measurement.sample is None else noise_of(measurement.sample)
            if noise is not None:
                names, seeds = measurement.together
                runs = len(names) * len(seeds)
                return *noise, f"by {runs} finished runs, whose cells have a seed sd of {noise[0]:.2g}"
    sd = assumed_sd(study.scale)
    return sd, 0.0, f"assuming a seed sd of {sd:g} and many held-out documents: too few runs have finished to tell"
