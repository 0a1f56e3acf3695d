"""A study of known losses, answers and decays as a bundle: what the method of the statistics makes of it is golden."""

from collections.abc import Iterator
from pathlib import Path

from decaystudy.cli import main
from decaystudy.serial import to_plain
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.searching import with_proposals
from decaystudy.study.execution.store import Store
from decaystudy.study.sharing.content import Bundle
from decaystudy.study.sharing.differences import Difference, differences
from tests.golden.compare import FOLDER
from tests.study.planted import plant, write_answers

BUNDLE = FOLDER / "judged.bundle"
CELLS = {"a": 0.0, "b": 0.06, "c": 0.02, "d": -0.05, "e": 0.001, "f": 0.15}
DECAYS = ("gla", "mamba2", "hgrn2", "lightnet", "simple", "constant")
LINES = "".join(f"  - {{name: {name}, decay: {decay}}}\n" for name, decay in zip(CELLS, DECAYS, strict=True))
STUDY = f"""\
title: A golden study
question: What does the method make of it?
scale: tiny
seeds: [0, 1, 2]
axis: decay
baseline: a
tune: {{lr: [0.001, 0.003]}}
cells:
{LINES}claims:
  - {{id: order, says: o, ordering: [d, a, b]}}
  - {{id: difference, says: d, difference: [[b, a], [c, a]], above: 0.01}}
  - {{id: equal, says: e, difference: [e, a], within: 0.02}}
  - {{id: fell, says: f, decay: {{cell: b, layers: mean}}, below: 0}}
  - {{id: faded, says: f, decay: {{cell: b, minus: a, layers: some}}, below: 0}}
  - {{id: best, says: b, optimum: {{at: 0.8}}}}
  - {{id: answers, says: a, accuracy: {{pairs: [[d, a]], task: each}}, above: 0}}
  - {{id: winner, says: w, winner: [d, a]}}
"""


def make(folder: Path, path: Path) -> None:
    """Write the bundle to a path, by way of a folder."""
    file, store = folder / "golden.yaml", Store(folder / "out")
    file.write_text(STUDY)
    study = expand(read_study(str(file)))
    decays = {name: [0.5 + 0.07 * number + 0.02 * layer for layer in range(3)] for number, name in enumerate(CELLS)}
    plant(study, store, CELLS, decays=decays, at_trial=lambda run: 0.01 * (run.learning_rate or 0) / 0.001)
    study = with_proposals(study, store)
    plant(study, store, CELLS, decays=decays, seed_noise=0.006, runs=[run for run in study.runs() if not run.tuning])
    for number, run in enumerate(study.runs()):
        place = store.find(run)
        assert place is not None
        if not run.tuning:
            right = 0.62 if run.cell == "d" else 0.5
            write_answers(place, {"piqa": right, "arc_easy": 0.5, "recall_multi_query": 0.4 + right / 10}, number)
    assert main(["run-study", str(file), "--out", str(store.out)]) == 0
    assert main(["bundle", "golden", "--out", str(store.out), "-o", str(path)]) == 0


def changed(bundle: Bundle) -> Iterator[Difference]:
    """What comes out otherwise than it is stored."""
    for scale, results in bundle.results.items():
        yield from differences(bundle.stored[scale], to_plain(results))
