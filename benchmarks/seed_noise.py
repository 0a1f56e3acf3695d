"""How much seeds differ under a recipe: python benchmarks/seed_noise.py [--cells mamba2,gla-shared] [--seeds 0-4]
[--jobs 2] [--out runs/seed-noise] [settings of fit, such as --recipe.learning_rate 2e-3 --data.tokenizer bpe:512]

For choosing the recipe of scale tiny before looking at effects: trains some cells under some seeds, and prints for each
cell the CPU seconds of a run (whatever else the machine does), its mean loss and how far that is below the unigram
entropy, and the standard deviation between seeds. The last line has the median of these, and the standard deviation
without what a seed does to all cells alike. Differences between cells are not printed, lest they choose.

It resumes: a run that is finished is not trained again. It runs at nice 10.
"""

import sys

# This folder's statistics.py would hide the standard library's.
sys.path = [folder for folder in sys.path if not folder.endswith("benchmarks")]

import argparse
import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from decaystudy.errors import UserError
from decaystudy.runs.config import RunConfig, merge
from decaystudy.runs.folder import RunFolder
from decaystudy.statistics import seed_variances
from decaystudy.study.definition.schema import parse_seeds

CPU_SECONDS = "cpu_seconds.json"
CELLS = "mamba2,hgrn2,mamba2-shared,gla-shared"


def read_settings(words: list[str]) -> dict[str, Any]:
    """``--recipe.learning_rate 2e-3`` as nested settings."""
    if len(words) % 2 or any(not word.startswith("--") for word in words[::2]):
        raise SystemExit(f"settings come in pairs such as --recipe.learning_rate 2e-3, not {' '.join(words)}")
    settings: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        nested: Any = yaml.safe_load(value)
        nested = float(value) if isinstance(nested, str) and nested[:1].isdigit() else nested
        for key in reversed(name[2:].split(".")):
            nested = {key: nested}
        settings = merge(settings, nested)
    return settings


def train(folder: str, settings: dict[str, Any]) -> None:
    """Train a run, and keep the CPU seconds that it took; those of the last part, if it was interrupted."""
    from decaystudy.training.fit import fit

    began = time.process_time()
    fit(RunConfig.from_dict(settings), folder)
    (Path(folder) / CPU_SECONDS).write_text(json.dumps(time.process_time() - began))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/seed-noise"))
    parser.add_argument("--cells", default=CELLS, help="decays, with -shared where the key is computed from the decay")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, of a thread each")
    given, words = parser.parse_known_args()
    cells, seeds, changes = given.cells.split(","), parse_seeds(given.seeds), read_settings(words)
    os.nice(max(0, 10 - os.nice(0)))
    quiet = {"logger": ["csv"], "trainer": {"enable_progress_bar": False}}
    folders: dict[str, list[Path]] = {}
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        jobs = []
        for seed in seeds:
            for cell in cells:
                model = {"decay": cell.removesuffix("-shared"), "sharing": cell.endswith("-shared")}
                config = RunConfig.build("tiny", **merge(changes, {"seed": seed, "model": model, **quiet}))
                folder = given.out / f"{cell}-seed{seed}-{config.identity_hash()}"
                folders.setdefault(cell, []).append(folder)
                if not (folder / CPU_SECONDS).exists():
                    jobs.append(pool.submit(train, str(folder), config.to_dict()))
        for job in jobs:
            job.result()
    losses = []
    for cell, own in folders.items():
        results = [result for folder in own if (result := RunFolder(folder).read_result()) is not None]
        row = [math.nan if result.val_loss is None else result.val_loss for result in results]
        cpu = np.median([json.loads((folder / CPU_SECONDS).read_text()) for folder in own])
        losses.append(row)
        below = (results[0].unigram_entropy or math.nan) - float(np.mean(row))
        sd = float(np.std(row, ddof=1)) if len(row) > 1 else math.nan
        print(f"{cell:20} {cpu:5.1f} CPU s  loss {np.mean(row):.3f}, {below:.3f} below the entropy  sd {sd:.4f}")
    means = np.array(losses)
    if means.shape[1] > 1:
        alone = math.sqrt(seed_variances(means).pooled)
        print(
            f"median sd of {len(cells)} cells over {len(seeds)} seeds {np.median(means.std(axis=1, ddof=1)):.4f}; "
            f"without what a seed does to all cells alike {alone:.4f}"
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"seed_noise: {error}")
