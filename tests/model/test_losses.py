"""The loss of each token, against the definition."""

import torch

from decaystudy.model.losses import next_token_losses


def test_padding_of_the_vocabulary_has_no_probability() -> None:
    logits = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[..., 6:] = 100.0
    targets = torch.randint(6, (2, 5), generator=torch.Generator().manual_seed(1))
    losses = next_token_losses(logits, targets, 6)
    shares = logits[..., :6].exp() / logits[..., :6].exp().sum(-1, keepdim=True)
    expected = -shares.gather(-1, targets.unsqueeze(-1)).squeeze(-1).log()
    assert losses.shape == (2, 5) and losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-6)
    assert next_token_losses(logits.bfloat16(), targets, 6).dtype == torch.float32
