"""Across tokenizers only bits per byte are compared."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decaystudy.study.analysis.expected import expected_resolution
from decaystudy.study.definition.expand import expand
from decaystudy.study.definition.schema import read_study
from decaystudy.study.execution.store import Store
from decaystudy.study.planning.hardware import choose_speed
from decaystudy.study.planning.plan import plan_study
from decaystudy.study.reporting import figures
from decaystudy.study.reporting.documents import as_csv, as_markdown, as_tex, as_text
from decaystudy.study.reporting.html import as_html
from decaystudy.study.reporting.tables import comparisons_table
from tests.study import small
from tests.study.judged import HEAD, answer, folder_of, make
from tests.study.planted import (
    BYTES_PER_TOKEN,
    TOKENS,
    answer_of,
    plant,
    read_losses,
)


def test_across_tokenizers_only_bits_per_byte_are_compared(tmp_path: Path) -> None:
    """Cell b has the same loss per byte as the others, and twice the loss per token."""
    study = make(tmp_path, "{id: x, says: y, difference: [b, a], within: 0.05}")
    store = Store(tmp_path / "out")
    plant(study, store, {})
    for run in study.runs():
        if run.cell == "b":
            folder = folder_of(study, store, "b", run.seed)
            loss = read_losses(folder)[:-5]
            tokens = np.full(len(loss), TOKENS // 2)
            np.savez(folder.validation_documents, nll=loss * TOKENS, tokens=tokens, bytes=2 * BYTES_PER_TOKEN * tokens)
            result = folder.read_result()
            assert result is not None
            folder.write_result(
                replace(result, data={**result.data, "tokenizer_digest": "w", "validation_digest": "w"})
            )
    results = answer_of(study, store)
    rows = {row.a: row for row in results.comparisons}
    assert (rows["b"].unit, rows["c"].unit) == ("bits per byte", "nats per token")
    assert abs(rows["b"].difference or 9) < 0.1 and rows["b"].verdict == "not resolved"
    assert rows["b"].difference == rows["b"].bits_per_byte and rows["b"].margin is None
    assert results.claims[0].verdict == "not judged" and "tokenizers" in (results.claims[0].why or "")
    text = as_text(results)
    assert "bits per byte" in text and "perplexity" not in text and "validation loss" not in text
    assert "nats" not in comparisons_table(results).headings
    # Whatever is printed of several tokenizers together is in bits per byte: the cells of one tokenizer too.
    plan = plan_study(study, store, choose_speed("tiny", gpu=None, devices=1, jobs=1, on_cpu=True), 1)
    for form in (text, as_markdown(results), as_tex(results), as_html(results, plan, store.out)):
        assert "nats per token" not in form.replace("its bound is in nats per token", "")
    assert results.loss_family.unit == "bits per byte" and results.loss_family.margin is None
    c = next(cell for cell in results.cells if cell.name == "c")
    line = next(line for line in text.splitlines() if line.startswith("c "))
    assert f"{rows['c'].bits_per_byte:+.4f}".replace("-", "−")[:6] in line and c.bits_per_byte is not None
    assert figures.loss_by_position(results) is None and "different tokenizers" in " ".join(results.notes)


def test_bits_per_byte_stand_beside_the_loss(tmp_path: Path) -> None:
    results = answer(tmp_path, make(tmp_path), {"b": 0.05})
    for cell in results.cells:
        assert cell.val_loss is not None
        assert cell.bits_per_byte == pytest.approx(cell.val_loss / math.log(2) / BYTES_PER_TOKEN)
    assert "bits per byte" in as_text(results) and "bits per byte" in as_tex(results)
    assert "bits_per_byte" in as_csv(results).splitlines()[0]


def test_a_dry_run_across_tokenizers_says_nothing_in_nats(tmp_path: Path) -> None:
    head = HEAD.replace("axis: p\nbaseline: a", "axis: tokenizer\nbaseline: t300")
    head = head[: head.index("cells:")] + "grid: {tokenizer: {t300: 'bpe:300', t400: 'bpe:400'}}\n"
    study = expand(read_study(str(small.write_study(tmp_path, head))), seeds=(0, 1, 2))
    said = expected_resolution(study, [])
    assert "bits per byte" in said and "nats" not in said
