"""Fifty and more ways to get a study file wrong: each is answered by one line with file, line and remedy."""

from pathlib import Path

import pytest

from decaystudy.errors import UserError
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study

GOOD = """\
title: A study
question: Is it good?
axis: decay
baseline: mamba2
cells:
  - {name: mamba2, decay: mamba2}
  - {name: gla, decay: gla}
"""
HEAD = "title: A study\nquestion: Is it good?\n"
TWO = HEAD + "axis: decay\ncells:\n  - {name: a, decay: mamba2}\n  - {name: b, decay: gla}\n"
CLAIM = TWO + "claims:\n  - "
GRID = HEAD + "axis: decay\ngrid:\n"

# What is wrong, the line that the error must name, and a word of its remedy.
MALFORMED: list[tuple[str, int, str]] = [
    ("", 1, "mapping"),
    ("just words\n", 1, "mapping"),
    ("- a\n- b\n", 1, "mapping"),
    ("title: [unclosed\n", 2, "YAML"),
    ("title: a\n\tquestion: b\n", 2, "YAML"),
    ("title: a\ntitle: b\n", 2, "twice"),
    ("title: &x [*x]\n", 1, "alias"),
    ("{[1, 2]: 3}\n", 1, "word"),
    ("title: !!python/object:os.system x\n", 1, "YAML"),
    (GOOD + "clams: []\n", 8, "'claims'"),
    (GOOD.replace("title: A study", "titel: A study"), 1, "'title'"),
    (GOOD.replace("question: Is it good?", "question:"), 2, "question"),
    (GOOD.replace("title: A study", "title: 3"), 1, "title"),
    (HEAD, 1, "cells"),
    (HEAD + "cells: []\n", 1, "cells"),
    (HEAD + "cells: mamba2\n", 3, "list"),
    (HEAD + "cells:\n  - mamba2\n", 4, "name"),
    (HEAD + "cells:\n  - {decay: mamba2}\n", 4, "name"),
    (HEAD + "cells:\n  - {name: a b, decay: mamba2}\n", 4, "letters"),
    (HEAD + "cells:\n  - {name: ../a, decay: mamba2}\n", 4, "letters"),
    (HEAD + "cells:\n  - {name: a, decay: mamba2}\n  - {name: a, decay: gla}\n", 5, "rename"),
    (HEAD + "cells:\n  - {name: a, decay: mamba2}\n  - {name: b, decay: mamba2}\n", 5, "same run"),
    (HEAD + "cells:\n  - {name: a, decay: mamba3}\n", 4, "'mamba2'"),
    (HEAD + "cells:\n  - {name: a, deacy: mamba2}\n", 4, "'decay'"),
    (HEAD + "cells:\n  - {name: a, layers: three}\n", 4, "whole number"),
    (HEAD + "cells:\n  - {name: a, learning_rate: fast}\n", 4, "number"),
    (HEAD + "cells:\n  - {name: a, learning_rate: -1}\n", 4, "above 0"),
    (HEAD + "cells:\n  - {name: a, lr: 0.1, learning_rate: 0.1}\n", 4, "twice"),
    (HEAD + "cells:\n  - {name: a, dplr: maybe}\n", 4, "true or false"),
    (HEAD + "cells:\n  - {name: a, granularity: scalar, sharing: true}\n", 4, "vector"),
    (HEAD + "cells:\n  - {name: a, decay: simple, p: 2}\n", 4, "between 0 and 1"),
    (HEAD + "cells:\n  - {name: a, decay: gla, p: 0.9}\n", 4, "no option"),
    (HEAD + "cells:\n  - {name: a, vocab_size: 7}\n", 4, "vocab_size"),
    (HEAD + "settings: {threads: 2}\ncells:\n  - {name: a, decay: gla}\n", 3, "--threads"),
    (HEAD + "cells:\n  - {name: a, decay: gla, seed: 7}\n", 4, "seeds at the top"),
    (HEAD + "cells:\n  - {name: a, trainer.max_step: 7}\n", 4, "max_step"),
    (HEAD + "cells:\n  - {name: a, max_steps: -7}\n", 4, "at least 1"),
    (HEAD + "cells:\n  - {name: a, data.source: python-doc}\n", 4, "python-docs"),
    (HEAD + "cells:\n  - {name: a, d_model: 100, heads: 3}\n", 4, "multiple"),
    (HEAD + "settings: [1]\ncells:\n  - {name: a}\n", 3, "settings by name"),
    (HEAD + "settings:\n  granularty: scalar\ncells:\n  - {name: a}\n", 4, "'granularity'"),
    (HEAD + "settings:\n  model: {decai: gla}\ncells:\n  - {name: a}\n", 4, "decai"),
    (GRID + "  decay: mamba2\n", 5, "list of levels"),
    (GRID + "  decay: []\n", 5, "list of levels"),
    (GRID + "  decay: [gla, gla]\n", 5, "twice"),
    (GRID + "  decya: [gla, mamba2]\n", 5, "'decay'"),
    (GRID + "  except: [{decay: gla}]\n", 4, "levels"),
    (GRID + "  decay: [gla, mamba2]\n  except: [{decay: gal}]\n", 6, "'gla'"),
    (GRID + "  decay: [gla, mamba2]\n  except: [{deca: gla}]\n", 6, "'decay'"),
    (GRID + "  decay: [gla, mamba2]\n  model.decay: [gla, mamba2]\n", 6, "two axes"),
    (GRID + "  decay: [gla, tnl]\n  granularity: [vector]\n", 4, "scalar"),
    (HEAD + "reference: mamba2\ncells:\n  - {name: a}\n", 3, "softmax"),
    (GOOD + "scale: huge\n", 8, "scale"),
    (GOOD + "scales: []\n", 8, "scale"),
    (GOOD + "scale: {a: b}\n", 8, "scale is {a: 'b'}: choose from tiny"),
    (GOOD + "scales: [[tiny]]\n", 8, "scales is [['tiny']]: choose from tiny"),
    (GOOD + "scale: tiny\nscales: [small]\n", 8, "keep one"),
    (GOOD + "seeds: some\n", 8, "whole numbers"),
    (GOOD + "seeds: [0, 0]\n", 8, "twice"),
    (GOOD + "seeds: [-1]\n", 8, "whole numbers"),
    (GOOD + "seeds: []\n", 8, "whole numbers"),
    (GOOD + "seeds: [0.5]\n", 8, "whole numbers"),
    (GOOD.replace("axis: decay", "axis: deacy"), 3, "'decay'"),
    (GOOD.replace("axis: decay", "axis: 3"), 3, "setting"),
    (GOOD.replace("axis: decay\n", ""), 3, "axis"),
    (GOOD.replace("baseline: mamba2", "baseline: mamba3"), 4, "'mamba2'"),
    (GOOD.replace("{name: gla, decay: gla}", "{name: gla, decay: gla, granularity: scalar}"), 4, "axis only"),
    (TWO + "comparisons: [a, b]\n", 7, "pair"),
    (TWO + "comparisons:\n  - [a]\n", 8, "pair"),
    (TWO + "comparisons:\n  - [a, a]\n", 8, "two cells"),
    (TWO + "comparisons:\n  - [a, c]\n", 8, "unknown cell"),
    (TWO + "comparisons:\n  - {cells: [a, b], axes: decay}\n", 8, "'axis'"),
    (TWO + "comparisons:\n  - {cells: [a, b], axis: sharing}\n", 8, "differ in model.decay"),
    (TWO + "extra_cells: [a]\n", 7, "by scale"),
    (TWO + "extra_cells: {tyni: [a]}\n", 7, "'tiny'"),
    (TWO + "extra_cells: {tiny: [c*]}\n", 7, "no cell"),
    (TWO + "evaluate: 7\n", 7, "tasks"),
    (TWO + "tune: warmup\n", 7, "lr"),
    (TWO + "tune: {lr: [0.1, -1]}\n", 7, "lr"),
    (TWO.replace("decay: gla}", "decay: gla, lr: 0.1}") + "tune: lr\n", 6, "drop one"),
    (TWO + "claims: yes\n", 7, "list"),
    (CLAIM + "better\n", 8, "mapping"),
    (CLAIM + "{id: x, says: y}\n", 8, "exactly one"),
    (CLAIM + "{id: x, difference: [a, b], below: 0}\n", 8, "says"),
    (CLAIM + "{says: y, difference: [a, b], below: 0}\n", 8, "id"),
    (CLAIM + "{id: x, says: y, difference: [a, b]}\n", 8, "exactly one of above"),
    (CLAIM + "{id: x, says: y, difference: [a, b], below: 0, above: 1}\n", 8, "exactly one of above"),
    (CLAIM + "{id: x, says: y, difference: [a, b], below: zero}\n", 8, "number"),
    (CLAIM + "{id: x, says: y, difference: [a, b], within: -1}\n", 8, "above 0"),
    (CLAIM + "{id: x, says: y, difference: [a, b], between: [2, 1]}\n", 8, "smaller first"),
    (CLAIM + "{id: x, says: y, difference: [a], below: 0}\n", 8, "at least 2"),
    (CLAIM + "{id: x, says: y, difference: [a, a], below: 0}\n", 8, "different"),
    (CLAIM + "{id: x, says: y, difference: [a, c], below: 0}\n", 8, "unknown cell"),
    (CLAIM + "{id: x, says: y, ordering: [a], below: 0}\n", 8, "at least 2"),
    (CLAIM + "{id: x, says: y, ordering: [a, b], below: 0}\n", 8, "no meaning"),
    (CLAIM + "{id: x, says: y, decay: a, above: 0}\n", 8, "cell: a"),
    (CLAIM + "{id: x, says: y, decay: {cell: a, layers: most}, above: 0}\n", 8, "layers"),
    (CLAIM + "{id: x, says: y, decay: {cell: a, layers: 12}, above: 0}\n", 8, "layer 12"),
    (CLAIM + "{id: x, says: y, decay: {cell: a, statistic: mode}, above: 0}\n", 8, "statistic"),
    (CLAIM + "{id: x, says: y, decay: {cel: a}, above: 0}\n", 8, "'cell'"),
    (CLAIM + "{id: x, says: y, optimum: {at: 7}}\n", 8, "between 0 and 1"),
    (CLAIM + "{id: x, says: y, optimum: {cells: [a, b]}}\n", 8, "at least 4"),
    (CLAIM + "{id: x, says: y, diference: [a, b], below: 0}\n", 8, "'difference'"),
    (
        CLAIM + "{id: x, says: y, ordering: [a, b]}\n  - {id: x, says: z, ordering: [b, a]}\n",
        9,
        "rename",
    ),
]


def test_there_are_fifty() -> None:
    assert len({text for text, _, _ in MALFORMED}) >= 50


def test_the_good_one_is_good(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    assert [(c.a, c.b) for c in expand(read_study(str(file))).comparisons] == [("gla", "mamba2")]


@pytest.mark.parametrize(("text", "line", "remedy"), MALFORMED)
def test_malformed(tmp_path: Path, text: str, line: int, remedy: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        expand(read_study(str(file)))
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{file}:{line}: "), message
    assert remedy in message


@pytest.mark.parametrize(
    ("content", "remedy"),
    [(b"\xff\xfe title", "UTF-8"), (b"title: \x00", "not valid YAML"), (b"\x80", "UTF-8")],
)
def test_not_text(tmp_path: Path, content: bytes, remedy: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=remedy):
        read_study(str(file))


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'sharing'"):
        read_study("sharin")
    with pytest.raises(UserError, match="does not exist"):
        read_study(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match="is a folder"):
        read_study(f"{tmp_path}/")
    with pytest.raises(UserError, match="the study file /dev/null is a pipe or a device: give"):
        read_study("/dev/null")
    (tmp_path / "store.yaml").write_text(GOOD)
    with pytest.raises(UserError, match="store"):
        read_study(str(tmp_path / "store.yaml"))


def test_a_scale_at_which_no_cell_runs(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    file.write_text(TWO + 'extra_cells: {tiny: ["*"]}\n', encoding="utf-8")
    spec = read_study(str(file))
    with pytest.raises(UserError, match="every cell of none is left out at scale tiny by extra_cells: add --all-cells"):
        expand(spec, scale="tiny")
    assert len(expand(spec, scale="tiny", all_cells=True).cells) == 2
