"""The module that holds a layer's decay: its projection, its learned extras, and the formula that joins them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from decaystudy.decay import Decay, Decayed, Extra, Site
from decaystudy.model.config import ModelConfig
from decaystudy.model.initialise import generator_for, put
from decaystudy.model.precision import KeepsPrecision, full_precision


class Extras(KeepsPrecision):
    """The tensors that a decay owns, by name: parameters where they are learned, buffers where they are constants."""

    def __init__(self, extras: tuple[Extra, ...]) -> None:
        super().__init__()
        for extra in extras:
            blank = torch.zeros(extra.shape, dtype=torch.float32)
            if extra.learned:
                self.register_parameter(extra.name, nn.Parameter(blank))
            else:
                self.register_buffer(extra.name, blank)

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name."""
        return {**dict(self.named_parameters(recurse=False)), **dict(self.named_buffers(recurse=False))}


class LowRank(nn.Module):
    """Linear(d → rank), then Linear(rank → out), with nothing between."""

    def __init__(self, d_in: int, rank: int, d_out: int) -> None:
        super().__init__()
        self.down = nn.Linear(d_in, rank, bias=False)
        self.up = nn.Linear(rank, d_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))


class LayerDecay(nn.Module):
    """log λ of one layer from its input."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.site: Site = config.site(layer)
        self.decay: Decay = config.make_decay()
        self.projection: nn.Module | None = None
        if self.decay.data_dependent and not config.shares_projection:
            if config.granularity == "scalar" or config.decay_rank == "full":
                self.projection = nn.Linear(config.d_model, self.site.size, bias=False)
            else:
                self.projection = LowRank(config.d_model, config.decay_rank or config.head_dim, self.site.size)
        self.extras = Extras(self.decay.extras(self.site))

    def initialise(self, seed: int, name: str, common: dict[str, Tensor]) -> None:
        """Draw the extras; ``name`` is this module's in the model, ``common`` the model-wide extras' start values."""
        drawn = self.decay.initial(self.site, lambda extra: generator_for(seed, f"{name}.extras.{extra}"))
        targets = self.extras.tensors()
        if "offset" in targets:
            drawn["offset"] = self.decay.initial_offset({**drawn, **self.decay.spread(common, self.site)}, self.site)
        for extra, value in drawn.items():
            put(targets[extra], value)

    def forward(
        self,
        x: Tensor,
        key_logit: Tensor,
        common: dict[str, Tensor],
        *,
        carry: Tensor | None,
        resets: Tensor | None,
        mask: Tensor | None,
    ) -> Decayed:
        """log λ (B, T, H[, Dk]), shared key (B, T, H, Dk) or None, and carry.

        ``key_logit`` is W_k x, (B, T, d), the logit itself where the key is shared.
        """
        logit = None
        if self.decay.data_dependent:
            logit = key_logit if self.projection is None else self.projection(x)
            logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
        with full_precision(x.device):
            extras = {**self.extras.tensors(), **self.decay.spread(common, self.site)}
            decayed = self.decay.apply(logit, extras, self.site, carry=carry, resets=resets, mask=mask)
            log_decay = decayed.log_decay.to(device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
            log_decay = self._per_head(log_decay.expand(*x.shape[:2], -1))
        key = None if decayed.key is None else decayed.key.unflatten(-1, (self.site.heads, -1))
        return Decayed(log_decay, key, decayed.carry)

    def _per_head(self, log_decay: Tensor) -> Tensor:
        if self.site.granularity == "scalar":
            return log_decay
        if self.site.granularity == "paired":
            log_decay = log_decay.repeat_interleave(2, dim=-1)
        return log_decay.unflatten(-1, (self.site.heads, self.site.head_dim))
