"""A study without effects, from real runs: python benchmarks/null_study.py [--out runs/null-study] [--jobs 2]

Trains one cell at scale tiny under 30 seeds that were chosen beforehand, and cuts the runs into "cells" of three seeds
each. These cells are the same model on the same data, so whatever is called better or worse is a false verdict. In each
of 20 repetitions the runs are dealt out anew, by a fixed generator: no run is in two cells of a repetition, and nine
cells are compared with the first by ``decaystudy.statistics.compare``, as a study would. At level 0.95, one repetition
in 20 is expected to have a false verdict; more than three fail (exit code 1). Repetitions share their runs, so they are
not 20 independent studies.

What this doesn't test: seeds in common. The cells of a study share each seed's order of documents and common start
values; here every run has a seed of its own, the cells are paired by index only, and a seed does nothing to all cells
alike.

It resumes: a run that is finished is not trained again, and one that was interrupted continues. It runs at nice 10.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from decaystudy.runs.config import RunConfig, merge
from decaystudy.runs.folder import RunFolder
from decaystudy.statistics import Comparison, Verdict, compare

FIRST_SEED = 1000
SEEDS_PER_CELL = 3
MOST_FALSE = 3
FALSE = (Verdict.BETTER, Verdict.WORSE)


def train(folder: str, settings: dict[str, Any]) -> None:
    """Train a run unless it is finished."""
    from decaystudy.training.fit import fit

    fit(RunConfig.from_dict(settings), folder)


def losses(folders: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Summed nats (runs, documents) of finished runs, and tokens (documents,)."""
    nll, tokens, digests = [], [], set()
    for folder in folders:
        result = RunFolder(folder).read_result()
        if result is None or result.val_loss is None:
            raise SystemExit(f"{folder} has not finished: see its status.json")
        digests.add(result.data["validation_digest"])
        with np.load(RunFolder(folder).validation_documents) as held_out:
            nll.append(held_out["nll"])
            tokens.append(held_out["tokens"])
    if len(digests) != 1:
        raise SystemExit("the runs were judged on different documents: choose another --out")
    return np.stack(nll), tokens[0]


def repetitions(nll: np.ndarray, tokens: np.ndarray, count: int, seed: int = 0) -> list[list[Comparison]]:
    """Null studies of the same runs, dealt out to cells of three in new ways."""
    rng = np.random.default_rng(seed)
    studies = []
    for _ in range(count):
        order = rng.permutation(len(nll))[: len(nll) // SEEDS_PER_CELL * SEEDS_PER_CELL]
        cells = {f"cell {i}": nll[own] for i, own in enumerate(order.reshape(-1, SEEDS_PER_CELL))}
        studies.append(compare(cells, tokens, "cell 0"))
    return studies


def summary(nll: np.ndarray, tokens: np.ndarray, studies: Sequence[Sequence[Comparison]]) -> dict[str, Any]:
    """What came of the repetitions, as plain data."""
    means = nll.sum(axis=1) / tokens.sum()
    false = [i for i, study in enumerate(studies) if any(row.verdict in FALSE for row in study)]
    rows = [row for study in studies for row in study]
    return {
        "runs": len(nll),
        "documents": len(tokens),
        "loss": float(means.mean()),
        "seed_sd": float(means.std(ddof=1)),
        "repetitions": len(studies),
        "comparisons": len(studies[0]),
        "false": len(false),
        "false_repetitions": false,
        "false_rows": sum(row.verdict in FALSE for row in rows),
        "largest": max(abs(row.difference) for row in rows),
        "resolvable": float(np.median([row.resolvable for row in rows if row.resolvable is not None])),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/null-study"))
    parser.add_argument("--decay", default="mamba2")
    parser.add_argument("--sharing", action="store_true", help="the key is computed from the decay")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--steps", type=int, default=None, help="the scale's own unless given")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, of a thread each")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.runs < 2 * SEEDS_PER_CELL or given.repetitions < 1:
        parser.error(f"give at least {2 * SEEDS_PER_CELL} runs and one repetition")
    os.nice(max(0, 10 - os.nice(0)))
    name = f"{given.decay}-shared" if given.sharing else given.decay
    changes: dict[str, Any] = {"model": {"decay": given.decay, "sharing": given.sharing, "granularity": "vector"}}
    if given.steps is not None:
        changes["trainer"] = {"max_steps": given.steps}
    configs = [
        RunConfig.build("tiny", **merge(changes, {"seed": FIRST_SEED + i, "logger": ["csv"]}))
        for i in range(given.runs)
    ]
    folders = [given.out / f"{name}-seed{config.seed}" for config in configs]
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(train, str(folder), config.to_dict()) for folder, config in zip(folders, configs, strict=True)
        ]
        for folder, job in zip(folders, jobs, strict=True):
            job.result()
            print(f"{folder.name} {RunFolder(folder).read_result().val_loss:.4f}", file=sys.stderr, flush=True)
    nll, tokens = losses(folders)
    found = summary(nll, tokens, repetitions(nll, tokens, given.repetitions))
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"{name} at tiny: {found['runs']} runs, loss {found['loss']:.3f}, seed sd {found['seed_sd']:.3f} nats; "
            f"{found['documents']} held-out documents\n"
            f"{found['repetitions']} repetitions of {found['comparisons']} comparisons at 3 seeds, which resolve "
            f"±{found['resolvable']:.2g} nats; largest difference {found['largest']:.2g}\n"
            f"{found['false']} repetitions with a false verdict (goal: at most {MOST_FALSE} of 20), "
            f"{found['false_rows']} false verdicts of {found['repetitions'] * found['comparisons']}"
        )
    return 1 if found["false"] > MOST_FALSE * given.repetitions / 20 else 0


if __name__ == "__main__":
    sys.exit(main())
