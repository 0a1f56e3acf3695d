"""TensorBoard's pages of a finished study, as a browser shows them."""

from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Page, browser
from tests.study import small
from tests.study.test_tensorboard import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the pages"),
]


def shown(page: Page, url: str, name: str, *words: str) -> str:
    page.open(f"{url}#{name}")
    return page.wait(*words)


def test_each_page_has_what_belongs_there(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    file, out = small.write_study(tmp_path / "file"), tmp_path / "out"
    small.run(str(file), "--out", str(out))
    with serving("small", "--out", str(out)) as (_, url), browser(tmp_path / "profile") as page:
        compared = shown(
            page, url, "hparams", "mamba2-seed0", "gla-seed0", "validation loss", "median λ", "bits per byte"
        )
        assert "norm_eps" not in compared and "Parallel Coordinates View".lower() in compared.lower()
        shown(page, url, "text", "Does the decay matter?", "GLA is worse.", "what is claimed")
        shown(page, url, "custom_scalars", "median λ of each layer", "half-life of each layer, tokens")
        shown(page, url, "histograms", "validation_decay/layer_00", "gla-seed0")
        curves = shown(page, url, "timeseries", "validation", "versus_tokens", "hgrn2-seed0")
        groups = ("train", "validation", "validation_decay", "versus_tokens")
        places = [curves.index(f"\n{group}\n") for group in groups]
        assert places == sorted(places), "train and validation come first"
        assert not [line for line in curves.splitlines() if line.startswith(("store/", "runs/"))]
