"""The token mixer: decay attention with an output gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, silu

from decaystudy.model.config import ModelConfig
from decaystudy.model.layer_decay import LayerDecay
from decaystudy.model.position import Rotation
from decaystudy.model.projection import LowRank, apply_all
from decaystudy.model.state import LayerState
from decaystudy.ops import decay_attention, dplr_attention
from decaystudy.ops.precision import full_precision


class TokenMixer(nn.Module):
    """W_o · RMSNorm(decay_attention(q, k, v, log λ) ⊙ sigmoid(gate(x))).

    q = silu(W_q x), k = silu(W_k x) or the decay's shared key, v = W_v x; q and k are rotated last. No linear map has a
    bias. Source: arXiv 2509.05282, section 3.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        d = config.d_model
        self.heads = config.heads
        self.sharing = config.sharing
        self.backend = config.backend
        self.dplr = config.dplr
        self.beta_max = config.beta_max
        self.q = nn.Linear(d, d, bias=False)
        self.k = nn.Linear(d, d, bias=False)
        self.v = nn.Linear(d, d, bias=False)
        self.decay = LayerDecay(config, layer)
        self.beta = nn.Linear(d, config.heads, bias=False) if config.projects_beta(layer) else None
        self.gate = LowRank(d, config.head_dim, d)
        self.norm = nn.RMSNorm(d if config.output_norm == "full" else config.head_dim, eps=config.norm_eps)
        self.norm_per_head = config.output_norm == "head"
        self.out = nn.Linear(d, d, bias=False)
        self.out.residual_output = True  # type: ignore[assignment]

    def forward(
        self,
        x: Tensor,
        shared_parameters: dict[str, Tensor],
        rotation: Rotation | None,
        *,
        mask: Tensor | None,
        resets: Tensor | None,
        state: LayerState | None,
        return_state: bool,
        collect: list[Tensor] | None,
    ) -> tuple[Tensor, LayerState | None]:
        """Map (B, T, d) to (B, T, d).

        Args:
            shared_parameters: what this layer's decay sees of the tensors that all layers have in common.
            mask: (B, T) bool, false at padding.
            collect: a list to which this layer's log λ is appended, as it is without resets and padding.
        """
        maps = (self.q, self.k, self.v, self.gate.down, *self.decay.first_maps())
        query, key_logit, value, gate, *projected = apply_all(maps, x)
        q, v = self._per_head(silu(query)), self._per_head(value)
        log_decay, key, carry, beta = self.decay(
            x, projected, key_logit, shared_parameters, carry=state.carry if state else None, resets=resets, mask=mask
        )
        if collect is not None:
            collect.append(log_decay)
        if key is None or self.sharing == "tied":
            plain = self._per_head(silu(key_logit))
            key = plain if key is None else plain * key.to(plain.dtype)
        k = key.to(q.dtype)
        if self.dplr:
            k = normalize(k, dim=-1)
        if rotation is not None:
            q, k = rotation(q), rotation(k)
            # LRPE makes two channels of each, which decay alike.
            if rotation.kind == "lrpe" and log_decay.dim() == 4:
                log_decay = torch.cat((log_decay, log_decay), dim=-1)
        if mask is not None:
            # Padding writes nothing and forgets nothing. Selected, not multiplied: 0 · −inf and 0 · NaN would be NaN.
            k = torch.where(mask[..., None, None], k, 0)
            log_decay = torch.where(mask.view(*mask.shape, *[1] * (log_decay.dim() - 2)), log_decay, 0.0)

        past = state.attention if state else None
        if not self.dplr:
            o, attention = decay_attention(
                q, k, v, log_decay, resets=resets, initial_state=past, return_state=return_state, backend=self.backend
            )
        else:
            o, attention = dplr_attention(
                q,
                k,
                v,
                log_decay,
                self._beta(x, beta, log_decay.dtype, mask),
                resets=resets,
                initial_state=past,
                return_state=return_state,
                backend=self.backend,
            )
        o = o.to(self.norm.weight.dtype).flatten(2) * torch.sigmoid(self.gate.up(gate))
        o = self.norm(self._per_head(o)).flatten(2) if self.norm_per_head else self.norm(o)
        return self.out(o), LayerState(attention=attention, carry=carry) if return_state else None

    def _beta(self, x: Tensor, own: Tensor | None, dtype: torch.dtype, mask: Tensor | None) -> Tensor:
        """DPLR's β, (B, T, H): that of the decay if it has its own, else of a projection; zero at padding."""
        with full_precision(x.device):  # a bfloat16 β would round how much of the state a key replaces
            if own is None:
                assert self.beta is not None
                own = torch.sigmoid(linear(x.to(dtype), self.beta.weight.to(dtype)))
            beta = self.beta_max * own
        return beta if mask is None else torch.where(mask[..., None], beta, 0)

    def _per_head(self, x: Tensor) -> Tensor:
        """(B, T, d) as (B, T, H, d/H)."""
        return torch.unflatten(x, -1, (self.heads, -1))
