"""Token by token, in stretches, and padded on the left: always the full forward pass."""

import pytest
import torch

from decaystudy.model import DecayTransformer, ModelConfig
from tests.model.combinations import label, valid_combinations

# The full size of a head changes nothing here and costs time.
SMALL = {"d_model": 32, "heads": 2, "glu_width": 48, "vocab_size": 64, "layers": 2}
COMBINATIONS = [*valid_combinations(), {"mixer": "softmax"}]


def make(combination, **changes):
    return DecayTransformer(ModelConfig.preset("tiny", **{**combination, **SMALL, **changes}), seed=1).double()


@torch.no_grad()
@pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
def test_decoding_equals_the_full_forward(combination):
    model = make(combination)
    tokens = torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(0))
    full, final = model(tokens, return_state=True)
    assert torch.isfinite(full).all() and full.dtype == torch.float64

    # A prefix, single tokens, and a stretch.
    state, parts = None, []
    for piece in (tokens[:, :5], tokens[:, 5:6], tokens[:, 6:7], tokens[:, 7:]):
        logits, state = model(piece, state=state, return_state=True)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=1e-9, atol=1e-9)
    assert (state.position == final.position).all()

    # Left padding, with other rubbish in each row, in one call and then token by token.
    padding = torch.randint(64, (2, 4), generator=torch.Generator().manual_seed(1))
    padded = torch.cat((padding, tokens), 1)
    mask = torch.ones_like(padded)
    mask[:, :4] = 0
    torch.testing.assert_close(model(padded, attention_mask=mask)[:, 4:], full, rtol=1e-9, atol=1e-9)
    logits, state = model(padded[:, :9], attention_mask=mask[:, :9], return_state=True)
    parts = [logits[:, 4:]]
    for place in range(9, 16):
        logits, state = model(
            padded[:, place : place + 1], attention_mask=mask[:, : place + 1], state=state, return_state=True
        )
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), full, rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("combination", COMBINATIONS[::3], ids=label)
def test_documents_are_as_if_alone(combination):
    model = make(combination)
    tokens = torch.randint(64, (1, 14), generator=torch.Generator().manual_seed(0))
    resets = torch.zeros(1, 14, dtype=torch.bool)
    resets[0, [0, 5, 6]] = True
    together = model(tokens, resets=resets)
    alone = [model(tokens[:, a:b]) for a, b in ((0, 5), (5, 6), (6, 14))]
    torch.testing.assert_close(together, torch.cat(alone, 1), rtol=1e-9, atol=1e-9)
    # Also where the text comes in stretches, with the boundary at a stretch's first token.
    state, parts = None, []
    for a, b in ((0, 3), (3, 5), (5, 6), (6, 10), (10, 14)):
        logits, state = model(tokens[:, a:b], state=state, return_state=True, resets=resets[:, a:b])
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), together, rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("position", ["none", "rope", "tpe", "lrpe"])
def test_uneven_padding_in_one_batch(position):
    model = make({"decay": "lightnet", "granularity": "scalar", "position": position})
    rows = [torch.randint(64, (1, n), generator=torch.Generator().manual_seed(n)) for n in (3, 9, 1)]
    padded, mask = torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 9, dtype=torch.long)
    for row, tokens in enumerate(rows):
        padded[row, 9 - tokens.shape[1] :] = tokens
        mask[row, 9 - tokens.shape[1] :] = 1
    logits = model(padded, attention_mask=mask)
    for row, tokens in enumerate(rows):
        torch.testing.assert_close(logits[row, 9 - tokens.shape[1] :], model(tokens)[0], rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("combination", COMBINATIONS[::5], ids=label)
def test_the_future_changes_nothing(combination):
    model = make(combination).float()
    tokens = torch.randint(64, (1, 20), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[0, 13] = (other[0, 13] + 1) % 64
    a, b = model(tokens), model(other)
    assert torch.equal(a[:, :13], b[:, :13])
    assert not torch.equal(a[:, 13:], b[:, 13:])


@torch.no_grad()
def test_relative_position():
    """Rotated models see only distances: a prefix of padding that is counted as tokens shifts nothing within."""
    for granularity, position in (("scalar", "rope"), ("paired", "rope"), ("vector", "lrpe"), ("scalar", "lrpe")):
        model = make({"decay": "simple", "granularity": granularity, "position": position})
        tokens = torch.randint(64, (1, 10), generator=torch.Generator().manual_seed(0))
        _, state = model(tokens[:, :1], return_state=True)
        for layer in state.layers:
            layer.attention.zero_()
        far, near = state.position + 1000, state.position * 0
        shifted = model(tokens, state=type(state)(far, state.layers))
        unshifted = model(tokens, state=type(state)(near, state.layers))
        torch.testing.assert_close(shifted, unshifted, rtol=1e-7, atol=1e-8)
