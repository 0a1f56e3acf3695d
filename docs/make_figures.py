"""Draws the pictures of the documentation from the package itself; with --check, says whether they are current.

Another version of matplotlib draws the same pictures in other words.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from decaystudy.plotting import HUES, INK, MUTED, add_legend, line_style, new_figure, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from decaystudy.decay import Decay, LayerContext

FIGURES = Path(__file__).parent / "figures"
LAYERS, HEADS, HEAD_DIM = 12, 6, 128
"""Of the scale 160m."""


def mixer() -> Figure:
    """The token mixer as boxes and arrows."""
    figure, axes = new_figure(3.6)
    axes.set(xlim=(0, 10), ylim=(0, 5))
    axes.axis("off")
    box(axes, 0.6, 2.5, "x", 0.7)
    rows = {
        4.4: "q = silu(W_q x)",
        3.4: "k = silu(W_k x), or 1 − λ",
        2.4: "v = W_v x",
        1.4: "log λ: the decay under study",
        0.4: "gate = sigmoid(low-rank(x))",
    }
    for y, text in rows.items():
        studied = "decay" in text
        box(axes, 3.1, y, text, 2.9, HUES[1] if studied else INK)
        arrow(axes, 0.97, 2.5, 1.6, y)
        arrow(axes, 4.6, y, *((5.3, 2.9) if y > 1 else (7.75, 2.55)))
    box(axes, 6.1, 2.9, "decay attention\ns ← diag(λ) s + k vᵀ\no = sᵀ q", 1.75, height=1.35)
    arrow(axes, 7.0, 2.9, 7.45, 2.9)
    box(axes, 7.75, 2.9, "o ⊙ gate", 0.85)
    arrow(axes, 8.2, 2.9, 8.5, 2.9)
    box(axes, 9.2, 2.9, "RMSNorm\nW_o", 1.1, height=0.9)
    return figure


def box(axes: Axes, x: float, y: float, text: str, width: float, colour: str = INK, height: float = 0.62) -> None:
    """A box around a text, with its middle at (x, y)."""
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0.03,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor="white", edgecolor=colour))
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour)


def arrow(axes: Axes, x: float, y: float, to_x: float, to_y: float) -> None:
    """An arrow between two points."""
    axes.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "->", "color": MUTED})


def half_life() -> Figure:
    """Half-life against λ, on an axis on which 0.9, 0.99 and 0.999 are equally far apart."""
    figure, axes = new_figure(3.4)
    decays = [1 / (1 + math.exp(-x / 20)) for x in range(-60, 161)]
    axes.plot([logit(one) for one in decays], [tokens(one) for one in decays], color=HUES[0])
    for mark in (0.2, 0.5, 0.8, 0.95, 0.97, 0.99, 0.999):
        axes.plot(logit(mark), tokens(mark), "o", color=HUES[0], markersize=4)
        axes.annotate(
            f"{tokens(mark):.3g}", (logit(mark), tokens(mark)), (-4, 6), textcoords="offset points", ha="right"
        )
    decay_axis(axes)
    axes.set_yscale("log")
    axes.set(xlabel="λ", ylabel="half-life in tokens")
    return figure


def weights() -> Figure:
    """What is left of a token after so many others."""
    figure, axes = new_figure(3.2)
    for hue, decay in enumerate((0.5, 0.8, 0.95, 0.99, 0.999)):
        axes.plot(range(201), [decay**n for n in range(201)], color=HUES[hue], label=f"λ = {decay}")
    axes.axhline(0.5, color=MUTED, linestyle=":")
    axes.set(xlabel="tokens ago", ylabel="weight left", xlim=(0, 200), ylim=(0, 1.02))
    add_legend(axes)
    return figure


def parameterizations() -> Figure:
    """λ against its logit, with the start values of one channel in the middle of what each draws."""
    from decaystudy.decay import LayerContext, make_decay

    figure, axes = new_figure(4.2)
    first = LayerContext(0, LAYERS, HEADS, HEAD_DIM)
    middle = LayerContext(LAYERS // 2, LAYERS, HEADS, HEAD_DIM)
    curves = (
        ("mamba2", {}, first, "mamba2"),
        ("mamba2-no-a", {}, first, "mamba2-no-a"),
        ("gla", {}, first, "gla"),
        ("gla", {"temperature": "inside"}, first, "gla-inside"),
        ("hgrn2", {}, first, "hgrn2, first layer"),
        ("hgrn2", {}, middle, "hgrn2, middle layer"),
        ("simple", {"p": 0.8}, first, "simple, p = 0.8"),
        ("simple", {}, first, "simple, p = 0.99"),
    )
    for hue, (name, options, context, label) in enumerate(curves):
        logits, decays = curve(make_decay(name, options), context)
        axes.plot(logits, decays, line_style(hue).dash, color=HUES[hue], label=label)
    axes.axvline(0, color=MUTED, linestyle=":")
    axes.set(xlabel="logit f", ylabel="λ", ylim=(0, 1.02))
    add_legend(axes)
    return figure


def curve(decay: Decay, context: LayerContext) -> tuple[list[float], list[float]]:
    """Logits, and λ of the median channel at each of them."""
    import torch

    def generator(name: str) -> torch.Generator:
        return torch.Generator().manual_seed(0)

    logits = torch.linspace(-8, 8, 129, dtype=torch.float64)
    parameters = dict(decay.initial_parameters(context, generator))
    shared = dict(decay.initial_model_parameters(context, generator))
    for spec in decay.parameters(context):
        parameters.setdefault(spec.name, torch.zeros(spec.shape, dtype=torch.float64))
    for spec in decay.model_parameters(context):
        shared.setdefault(spec.name, torch.zeros(spec.shape, dtype=torch.float64))
    parameters |= decay.for_layer(shared, context)
    log_decay = decay.log_decay(logits[:, None].expand(-1, context.size), parameters, context)
    return logits.tolist(), log_decay.exp().median(-1).values.tolist()


def granularities() -> Figure:
    """λ of one head over dimensions and tokens, in three models that differ in granularity alone."""
    import matplotlib
    import torch
    from matplotlib.figure import Figure

    from decaystudy.decay import GRANULARITIES
    from decaystudy.model import DecayTransformer, ModelConfig

    new_figure()  # sets the style
    figure = Figure(figsize=(8.0, 2.7), layout="constrained")
    all_axes = figure.subplots(1, 3, sharey=True)
    ids = torch.arange(24)[None]
    for axes, granularity in zip(all_axes, GRANULARITIES, strict=True):
        config = ModelConfig(
            "simple", {"p": 0.9}, granularity, layers=1, d_model=32, heads=2, glu_width=32, vocab_size=64
        )
        model = DecayTransformer(config, seed=1).double()
        with torch.no_grad():
            for weights in (p for name, p in model.named_parameters() if "decay" in name and p.dim() == 2):
                weights.mul_(8)  # as if trained: at the start every λ is near 0.9
            decays = model.log_decays(ids)[0][0, :, 0].exp()
        if decays.dim() == 1:
            decays = decays[:, None].expand(-1, config.head_dim)
        image = axes.imshow(decays.T, aspect="auto", cmap=matplotlib.colormaps["viridis"], vmin=0.6, vmax=1)
        axes.set(title=granularity, xlabel="token", yticks=range(0, config.head_dim, 4))
    all_axes[0].set_ylabel("dimension of a head")
    figure.colorbar(image, ax=all_axes, label="λ")
    return figure


def verdicts() -> Figure:
    """Differences of a real study with their intervals and margins: that of the notebooks' bundle."""
    from decaystudy.study.reporting.figures import all_figures
    from decaystudy.study.sharing.content import read_bundle

    bundle = read_bundle(FIGURES.parents[1] / "notebooks" / "example.bundle")
    return all_figures(bundle.results["tiny"], {})["differences"]


def tokens(decay: float) -> float:
    """The half-life of a λ."""
    return math.log(0.5) / math.log(decay)


def logit(share: float) -> float:
    """Where a λ stands on the axis."""
    return math.log(share / (1 - share))


def decay_axis(axes: Axes) -> None:
    """Name places of the axis of ``logit`` by their λ."""
    marks = (0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
    axes.set_xticks([logit(one) for one in marks], [f"{one:g}" for one in marks])


FIGURE: dict[str, Callable[[], Figure]] = {
    "mixer": mixer,
    "half-life": half_life,
    "weights": weights,
    "parameterizations": parameterizations,
    "granularities": granularities,
    "verdicts": verdicts,
}


def main(arguments: Sequence[str]) -> int:
    """Draw the pictures, or check them; returns the exit code."""
    drawn = {FIGURES / f"{name}.svg": svg(draw()) for name, draw in FIGURE.items()}
    if list(arguments) == ["--check"]:
        old = [file.name for file, text in drawn.items() if not file.is_file() or file.read_text("utf-8") != text]
        print(f"not current: {', '.join(old)}: make docs-figures" if old else "the pictures are current")
        return 1 if old else 0
    FIGURES.mkdir(exist_ok=True)
    for file, text in drawn.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
