"""The numbers behind the package's versions: they change only where a version is raised."""

from pathlib import Path

import numpy as np
import pytest

from decaystudy.statistics.simultaneous import family
from decaystudy.study.sharing.content import read_bundle
from decaystudy.versions import STATISTICS, semantics
from tests.golden import judged, measure
from tests.golden.compare import DEPENDS, differences, read


def check(kind: str, found: object) -> None:
    held = read(kind)
    assert held is not None
    version = {of: semantics()[of] for of in DEPENDS[kind]}
    assert held["version"] == version, "a version was raised: write the numbers anew with python -m tests.golden"
    changed = differences(held["numbers"], found)
    assert not changed, (
        f"{len(changed)} numbers have changed, such as {changed[0]!r}: if that is meant, raise the version of "
        f"the {kind} in decaystudy/versions.py and write them anew with python -m tests.golden"
    )


def test_the_model():
    check("model", measure.model())


def test_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    check("data", measure.data(tmp_path))


def test_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    check("recipe", measure.recipe(tmp_path))


def test_the_statistics():
    bundle = read_bundle(judged.BUNDLE)
    assert bundle.about.method == STATISTICS, "STATISTICS was raised: write the bundle anew with python -m tests.golden"
    changed = list(judged.changed(bundle))
    assert not changed, (
        f"{len(changed)} fields come out otherwise, such as {changed[0]}: if that is meant, raise STATISTICS in "
        "decaystudy/versions.py and write the bundle anew with python -m tests.golden"
    )
    (results,) = bundle.results.values()
    assert {claim.verdict for claim in results.claims} >= {"supported", "refuted", "not resolved"}


@pytest.mark.parametrize(
    ("place", "other"),
    [
        ("decaystudy.statistics.effects.FEWEST", 1000),
        ("decaystudy.statistics.effects.family", lambda blocks, level: family(blocks, level=0.949)),
        ("decaystudy.statistics.half_life._moved", lambda change: False),
    ],
)
def test_another_method_is_noticed(place, other, monkeypatch):
    monkeypatch.setattr(place, other)
    assert next(judged.changed(read_bundle(judged.BUNDLE)), None) is not None


@pytest.mark.parametrize(
    ("kind", "place", "other"),
    [
        ("model", "decaystudy.decay.hgrn2.HGRN2.log_decay", lambda self, f, parameters, context: -f.abs()),
        ("recipe", "decaystudy.training.lightning_module.wsd", lambda step, total, **shares: 1.0),
        ("data", "decaystudy.data.stream.order.permutation", lambda count, *key: np.arange(count)),
    ],
)
def test_another_meaning_is_noticed(kind, place, other, tmp_path, monkeypatch):
    monkeypatch.setenv("DECAYSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(place, other)
    found = measure.model() if kind == "model" else getattr(measure, kind)(tmp_path)
    assert differences(read(kind)["numbers"], found)
