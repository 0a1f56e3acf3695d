"""Fixtures of the launchers' tests."""

from pathlib import Path

import pytest

from decaystudy.study.definition.expand import Run, expand
from decaystudy.study.definition.schema import read_study
from tests.study import small
from tests.study.pretending import Pretender


@pytest.fixture(autouse=True)
def as_new() -> None:
    Pretender.fates.clear()
    Pretender.batches.clear()


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return expand(read_study(str(small.write_study(tmp_path / "file")))).runs()
