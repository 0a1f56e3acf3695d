"""Bold in LaTeX: only the cell that is shown to be the best."""

from pathlib import Path

from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.reporting.documents import as_tex
from decaystudy.study.reporting.tables.best import closed
from tests.study import small
from tests.study.planted import answer_of, plant


def tex(folder: Path, effects: dict[str, float], seeds: tuple[int, ...] = (0, 1, 2)) -> str:
    """The LaTeX of a study of mamba2, gla and hgrn2 with these effects; mamba2 is the baseline."""
    study = expand(read_study(str(small.write_study(folder / "file"))), seeds=seeds)
    plant(study, Store(folder / "out"), effects)
    return as_tex(answer_of(study, Store(folder / "out")))


def bold(text: str) -> list[str]:
    """The cells with a bold field."""
    return [line.split(" & ")[0] for line in text.splitlines() if r"\textbf{" in line]


def test_the_best_is_bold_where_it_is_shown(tmp_path: Path) -> None:
    assert bold(tex(tmp_path / "baseline", {"gla": 0.2, "hgrn2": 0.3})) == ["mamba2"]
    shown = tex(tmp_path / "other", {"gla": -0.2, "hgrn2": 0.3})
    assert bold(shown) == ["gla"] and "Bold: shown to be below all others (95" in shown
    # gla and hgrn2 are not compared, but their differences to the baseline are disjoint.
    assert bold(tex(tmp_path / "both", {"gla": -0.2, "hgrn2": -0.4})) == ["hgrn2"]


def test_the_least_loss_alone_is_not_bold(tmp_path: Path) -> None:
    for name, effects, seeds in (
        ("equal", {"gla": -0.2, "hgrn2": -0.2}, (0, 1, 2)),
        ("nothing", {}, (0, 1, 2)),
        ("one seed", {"gla": -0.5}, (0,)),
    ):
        text = tex(tmp_path / name, effects, seeds)
        assert bold(text) == [] and "Bold" not in text


def test_what_follows_from_pairs() -> None:
    assert closed({("a", "b"), ("b", "c"), ("c", "d")}, "abcd") >= {("a", "d"), ("a", "c"), ("b", "d")}
