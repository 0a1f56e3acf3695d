"""Who may attend to whom, token by token, and masks that don't fit."""

import pytest
import torch

from decaystudy.errors import UserError
from decaystudy.model import DecayTransformer, ModelConfig
from decaystudy.model.masks import attention_masks


def test_pairs_are_those_of_a_loop_over_tokens() -> None:
    draw = torch.Generator().manual_seed(0)
    key_mask = torch.rand(3, 12, generator=draw) < 0.8
    resets = torch.rand(3, 7, generator=draw) < 0.3
    pairs, following = attention_masks(key_mask, 7, resets)
    starts = torch.cat((torch.zeros(3, 5, dtype=torch.bool), resets), dim=1)
    for row in range(3):
        for t in range(7):
            for s in range(12):
                now = 5 + t
                same = not bool(starts[row, s + 1 : now + 1].any())
                expected = s == now or (s < now and bool(key_mask[row, s]) and same)
                assert bool(pairs[row, 0, t, s]) is expected, (row, t, s)
        for s in range(12):
            assert bool(following[row, s]) is (bool(key_mask[row, s]) and not bool(starts[row, s + 1 :].any()))


@pytest.mark.parametrize("changes", [{}, {"mixer": "softmax"}])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attention_mask": torch.ones(2, 3)}, "(2, 3) and input_ids (2, 4)"),
        ({"attention_mask": torch.ones(2, 1, 4)}, "one entry per token"),
        ({"resets": torch.zeros(2, 3, dtype=torch.bool)}, "of shape (2, 3) and input_ids has shape (2, 4)"),
        ({"resets": torch.zeros(2, 4, dtype=torch.long)}, "resets is int64"),
    ],
)
def test_masks_that_do_not_fit_are_refused(given: dict, words: str, changes: dict) -> None:
    model = DecayTransformer(ModelConfig.preset("tiny", **changes, layers=1))
    with pytest.raises(UserError) as error:
        model(torch.zeros(2, 4, dtype=torch.long), **given)
    assert words in str(error.value) and "\n" not in str(error.value)
