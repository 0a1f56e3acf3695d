"""LightNet's decay: each token's share of all that came before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from decaystudy.decay.base import Decay
from decaystudy.decay.declarations import SHARINGS, DecayOutput, LayerContext

if TYPE_CHECKING:
    from torch import Tensor

NOTHING = -1e30
"""Stands for f = −∞ at padding: its exponential is zero in every dtype, and no gradient through it is NaN."""


@dataclass(frozen=True)
class LightNet(Decay):
    """log λ_t = logsigmoid(z_{t−1} − f_t), where z_t = logaddexp(z_{t−1}, f_t) and z_0 = 0.

    That is z_t = log(1 + Σ_{s≤t} exp f_s) and λ_t = exp(z_{t−1} − z_t).
    Source: Qin et al., *You Only Scan Once* (arXiv 2405.21022).
    Shapes: f, log λ (B, T, size); carry (B, 2, size), float32: z and f of the last token.
    Start: with f = 0, λ_t = t / (t + 1): it rises towards one along the document.
    Shared key: 1 − λ_t, taken from log λ since the difference of λ from 1 loses digits. ``sharing: released`` takes the
    previous token's logit, exp(f_{t−1} − z_t) with f_0 = 0, which is (1 − λ_{t−1}) · λ_t.
    """

    name: ClassVar[str] = "lightnet"
    summary: ClassVar[str] = "logsigmoid(z_{t−1} − f_t), z the running log-sum-exp of f"
    sharings: ClassVar[tuple[bool | str, ...]] = SHARINGS

    def start_median(self, context: LayerContext) -> tuple[float, float]:
        return 0.5, 0.5

    def apply(
        self,
        logit: Tensor,
        parameters: Mapping[str, Tensor],
        context: LayerContext,
        *,
        carry: Tensor | None = None,
        resets: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> DecayOutput:
        import torch
        from torch.nn.functional import logsigmoid

        from decaystudy.decay import lightnet_operator

        start = logit.new_zeros(logit.shape[0], 2, logit.shape[2]) if carry is None else carry.to(logit.dtype)
        counted = logit if mask is None else torch.where(mask.unsqueeze(-1), logit, NOTHING)
        if lightnet_operator.is_available(counted):
            log_decay, final = lightnet_operator.lightnet_decay(counted, start[:, 0], resets)
        else:
            if resets is None:
                running = torch.cat((start[:, :1], counted), dim=1).logcumsumexp(dim=1)
                before, final = running[:, :-1], running[:, -1]
            else:
                before, final = _segmented(counted, start[:, :1], resets)
            log_decay = logsigmoid(before - counted)
        key = None
        if context.sharing in (True, "tied"):
            key = -torch.expm1(log_decay)
        elif context.sharing == "released":
            key = _share_before(log_decay, start, resets, mask) * torch.exp(log_decay)
        last = _last(logit, start[:, 1:], mask)
        return DecayOutput(log_decay, key, torch.cat((final.unsqueeze(1), last), dim=1))


def _segmented(logit: Tensor, start: Tensor, resets: Tensor) -> tuple[Tensor, Tensor]:
    """z before each token and after the last, starting again at zero where ``resets`` is true.

    A scan in log2 T steps. In each, a token's sum over its last ``reach`` tokens is joined with that of the ``reach``
    before them, unless a document starts in between. So nothing of another document is ever added and subtracted again,
    which would lose digits.
    """
    import torch

    # The constant 1 = e^0 of every document enters at its first token; the carried z at the first token of all.
    opening = torch.where(resets[:, :1, None], torch.zeros_like(start), start)
    since = torch.logaddexp(logit, torch.where(resets[..., None], 0.0, NOTHING).to(logit.dtype))
    since = torch.cat((torch.logaddexp(logit[:, :1], opening), since[:, 1:]), dim=1)
    closed = resets.clone()  # whether the tokens summed so far begin with, or contain, a document's first
    reach = 1
    while reach < logit.shape[1]:
        earlier = torch.where(closed[:, reach:, None], NOTHING, since[:, :-reach])
        since = torch.cat((since[:, :reach], torch.logaddexp(since[:, reach:], earlier)), dim=1)
        closed = torch.cat((closed[:, :reach], closed[:, reach:] | closed[:, :-reach]), dim=1)
        reach *= 2
    before = torch.cat((start, since[:, :-1]), dim=1)
    return torch.where(resets[..., None], 0.0, before), since[:, -1]


def _share_before(log_decay: Tensor, start: Tensor, resets: Tensor | None, mask: Tensor | None) -> Tensor:
    """1 − λ of the token before: e^0 before a document's first, and what came in by ``start`` (z, f) before all."""
    import torch

    first = torch.exp(start[:, 1:] - start[:, :1])
    share = torch.cat((first, -torch.expm1(log_decay[:, :-1])), dim=1)
    if mask is not None:
        padded = torch.cat((torch.zeros_like(mask[:, :1]), ~mask[:, :-1]), dim=1)
        # Padding stands on the left, so what a padded predecessor hides is what came in.
        share = torch.where(padded[..., None], first, share)
    return share if resets is None else torch.where(resets[..., None], 1.0, share)


def _last(logit: Tensor, first: Tensor, mask: Tensor | None) -> Tensor:
    import torch

    last = logit[:, -1:]
    return last if mask is None else torch.where(mask[:, -1:, None], last, first)
