"""Two studies side by side, from bundles and from folders."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from decaystudy.cli import main
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from tests.study import small, test_scales
from tests.study.planted import plant, write_answers

STUDY = small.STUDY.replace("seeds: [0]", "seeds: [0, 1, 2]").replace("hgrn2]", "hgrn2, lightnet]") + (
    "  - {id: same, says: HGRN2 is as good., difference: [hgrn2, mamba2], within: 0.03}\n"
)
EFFECTS = {"gla": 0.05, "hgrn2": 0.0, "lightnet": 0.06}


def made(
    folder: Path, effects: Mapping[str, float], text: str = STUDY, *, answers: float | None = None, **more: Any
) -> Path:
    """The folder of results of a study whose cells have these losses."""
    file, out = small.write_study(folder, text), folder / "out"
    study, store = expand(read_study(str(file))), Store(out)
    plant(study, store, effects, **more)
    for number, run in enumerate(study.runs() if answers is not None else ()):
        place = store.find(run)
        assert place is not None and answers is not None
        write_answers(place, {"piqa": answers if run.cell == "gla" else 0.5}, number)
    assert main(["run-study", str(file), "--out", str(out)]) == 0
    return out / "small"


def compared(capsys: pytest.CaptureFixture[str], *words: object, expect: int = 0) -> str:
    capsys.readouterr()
    assert main(["compare", *map(str, words)]) == expect
    said = capsys.readouterr()
    return said.err if expect else said.out


def row(printed: str, name: str) -> str:
    (line,) = re.findall(rf"^{re.escape(name)} .*$", printed, re.M)
    return str(line)


@pytest.mark.slow
def test_verdicts_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = made(tmp_path / "one", EFFECTS, answers=0.7)
    two = made(tmp_path / "two", {"gla": 0.3, "hgrn2": 0.1, "lightnet": -0.06}, answers=0.3, key=1)
    assert main(["bundle", "small", "--out", str(tmp_path / "two/out"), "-o", str(tmp_path / "two.bundle")]) == 0
    printed = compared(capsys, one, tmp_path / "two.bundle")
    assert row(printed, "gla − mamba2").endswith("agree, but intervals are apart")
    assert row(printed, "hgrn2 − mamba2").endswith("differ") and "equivalent" in row(printed, "hgrn2 − mamba2")
    assert row(printed, "lightnet − mamba2").endswith("disagree")
    assert row(printed, "gla − mamba2, piqa").endswith("disagree")
    assert row(printed, "gla-worse").endswith("  agree") and row(printed, "same").endswith("disagree")
    assert "Differences in nats per token." in printed and "bits" not in printed
    assert len(re.findall(r"^(?:small|two.bundle): At tiny, 3 seeds", printed, re.M)) == 2
    assert re.search(r"of \d+ rows that both have, \d agree, \d disagree, 1 differ", printed)
    same = compared(capsys, two, two)
    assert "disagree" not in same.replace("0 disagree", "") and "(first)" in same and "(second)" in same


@pytest.mark.slow
def test_a_pair_the_other_way_round_is_turned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = made(tmp_path / "one", EFFECTS)
    two = made(
        tmp_path / "two", EFFECTS, STUDY.replace("baseline: mamba2", "baseline: gla").replace("title: A", "title: B")
    )
    found = row(compared(capsys, one, two), "gla − mamba2")
    assert found.count("worse") == 2 and found.endswith("agree") and found.count("+0.0") == 6
    printed = compared(capsys, one, two)
    assert row(printed, "hgrn2 − gla").endswith("(second)") and row(printed, "hgrn2 − mamba2").endswith("(first)")


@pytest.mark.long
def test_other_tokenizers_are_compared_in_bits_per_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = made(tmp_path / "one", EFFECTS)
    other = STUDY.replace("  data.validation_tokens", "  data.tokenizer: bpe:317\n  data.validation_tokens")
    two = made(
        tmp_path / "two", EFFECTS, other, data={name: {"tokenizer_digest": "other"} for name in ("mamba2", *EFFECTS)}
    )
    printed = compared(capsys, one, two)
    assert "nats" not in printed and "differences in bits per byte" in printed
    # 64 tokens of 4 bytes per document
    assert "+0.017" in row(printed, "gla − mamba2") and row(printed, "gla − mamba2").endswith("agree")
    assert row(printed, "gla-worse").split()[1:] == ["–", "supported", "–", "supported", "agree"]


@pytest.mark.slow
def test_scales_of_one_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    effects = {"tiny": {"b": 0.1, "c": 0.1}, "160m": {"b": 0.1, "c": -0.1}}
    test_scales.run_at(tmp_path, effects)
    bundle = tmp_path / "small.bundle"
    assert main(["bundle", "small", "--out", str(tmp_path / "out"), "-o", str(bundle)]) == 0
    printed = compared(capsys, f"{bundle}:tiny", bundle)
    assert re.search(r"^scale +tiny +160m$", printed, re.M)
    assert row(printed, "b − a").endswith("agree") and row(printed, "c − a").endswith("disagree")
    assert "has no scale 'tinny': did you mean tiny?" in compared(capsys, f"{bundle}:tinny", bundle, expect=2)
    assert "has results at scale 160m only" in compared(capsys, f"{tmp_path}/out/small:tiny", bundle, expect=2)


@pytest.mark.slow
def test_a_claim_of_other_bounds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = made(tmp_path / "one", EFFECTS)
    two = made(tmp_path / "two", EFFECTS, STUDY.replace("gla, mamba2], above: 0", "gla, mamba2], above: 0.02"))
    assert "gla-worse is not the same claim in both: GLA is worse (above 0); GLA is worse (above 0.02)." in compared(
        capsys, one, two
    )


@pytest.mark.long
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = made(tmp_path / "one", EFFECTS)
    other = test_scales.HEAD + "claims:\n  - {id: x, says: y, difference: [b, a], above: 0}\n"
    two = made(tmp_path / "two", {}, other)
    monkeypatch.chdir(tmp_path)
    for words, complaint in (
        ((one, two), "have no comparison and no claim in common"),
        ((one, "nothing"), "nothing does not exist"),
        ((one, tmp_path), "results.json does not exist"),
        ((one, "one/small.yaml"), "one/small.yaml is no bundle"),
        ((one,), "give B"),
    ):
        said = compared(capsys, *words, expect=2)
        assert complaint in said and said.count("\n") == 1
