"""What stands below each figure of a study, and what is read out in its place."""

from __future__ import annotations

from decaystudy.study.analysis.answer import share_text, tokens_text
from decaystudy.study.analysis.results import StudyResults

_BAR = "A bar is a simultaneous {level} interval over seeds and documents"
CAPTIONS = {
    "losses": f"Validation loss of each cell. {_BAR}: with that probability all cover the true losses.",
    "differences": f"Differences in validation loss. {_BAR}: with that probability all cover the true values. "
    "Blue is better, orange worse; grey is neither. Shaded is the margin within which the claims on a pair call it "
    "equivalent; a pair without a margin has none.",
    "loss_curves": "Loss of finished runs over training: validation with its points, mean over seeds, shaded from the "
    "least to the greatest seed, which is no interval; thin, the training loss in a running mean.",
    "tuning": "Loss of each cell on tuning documents. A bar is one standard error over documents, and no interval of a "
    "difference; a circle is what was chosen.",
    "recall_by_distance": "Recall against distance. A band is a simultaneous {level} interval over seeds and "
    "questions; the grey line is chance.",
    "loss_by_position": "Loss against position, mean over seeds; the grey line is the training length. A band is a "
    "{level} interval of one cell at one position, for other seeds on the same sequences: it holds neither the choice "
    "of the text nor what a seed does to all cells alike. With one seed there is none.",
    "decays": "Half-life of the median λ of each layer over validation text, geometric mean over seeds, with λ itself "
    "on the right; colour for the decay, dash for the level, hollow points for the start. Bands, for up to four cells, "
    "span the quartiles of λ in a layer: they show how λ spreads over tokens, heads and dimensions, and are no "
    "intervals. The grey line is λ = 0.8. Half-lives below 0.1 or above 10,000 tokens are drawn there.",
    "decay_curves": "Half-life of the median λ of each layer while its cell was trained, geometric mean over seeds, "
    "without intervals; one panel per cell whose λ moved. Half-lives below 0.1 or above 10,000 tokens are drawn there.",
    "loss_by_decay": f"Loss of each cell against its median λ over layers, mean over seeds. {_BAR} of the loss.",
}
_ALTS = {
    "losses": "Validation loss of {cells} cells, each a point with its interval.",
    "differences": "Forest plot of {differences} differences in validation loss, each a point with its interval.",
    "loss_curves": "Lines of the validation loss and of the training loss against tokens, one pair per cell.",
    "tuning": "Lines of the loss on tuning documents against the value tried, one per cell.",
    "recall_by_distance": "Lines of recall against distance in tokens, one per cell.",
    "loss_by_position": "Lines of loss against position in the sequence, one per cell.",
    "decays": "Lines of the half-life of the median λ against the layer, one per cell.",
    "decay_curves": "Lines of the half-life of the median λ against tokens, one per layer, in a panel for each cell.",
    "loss_by_decay": "Loss against median λ, one point per cell.",
}


def captions(results: StudyResults) -> dict[str, str]:
    """Below each figure, by name: what it shows, what its intervals are, and of which runs."""
    level = f"{results.loss_family.level:.0%}"
    tokens = tokens_text(results)
    trained = f", {tokens} ({share_text(results)} per parameter)" if tokens else ""
    seeds = f"seed{'' if len(results.seeds) == 1 else 's'} {', '.join(map(str, results.seeds))}"
    about = f"Scale {results.scale}, {seeds}{trained}."
    return {name: f"{text.format(level=level)} {about}" for name, text in CAPTIONS.items()}


def alternatives(results: StudyResults) -> dict[str, str]:
    """In place of each figure, by name."""
    counts = {"cells": len(results.cells), "differences": len(results.comparisons)}
    found = {name: text.format(**counts) for name, text in _ALTS.items()}
    return {
        name: f"{text} The numbers are in the tables. {results.title}, scale {results.scale}."
        for name, text in found.items()
    }
