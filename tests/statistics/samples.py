"""Made-up losses with known noise."""

import numpy as np


def losses(seed=0, *, cells=7, seeds=5, documents=300, seed_sd=0.01, shared_sd=0.03, effects=None, noise=0.05):
    """{cell: (seeds, documents)} nats and (documents,) tokens: seeds, documents and cells all differ."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(50, 900, documents)
    per_token = (
        3.5
        + (np.zeros(cells) if effects is None else np.asarray(effects))[:, None, None]
        + shared_sd * draw.standard_normal((1, seeds, 1))
        + seed_sd * draw.standard_normal((cells, seeds, 1))
        + 0.5 * draw.standard_normal((1, 1, documents)).clip(-3, 3)
        + noise * draw.standard_normal((cells, 1, documents))
        + noise * draw.standard_normal((cells, seeds, documents))
    )
    return {f"cell{i}": per_token[i] * tokens for i in range(cells)}, tokens
