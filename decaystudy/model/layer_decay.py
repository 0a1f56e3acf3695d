"""The module that holds a layer's decay: its projections, its own tensors, and the formula that joins them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from decaystudy.decay import Decay, DecayOutput, LayerContext, ParameterSpec
from decaystudy.errors import UserError
from decaystudy.model.config import ModelConfig
from decaystudy.model.initialise import copy_full_tensor, generator_for
from decaystudy.model.precision import KeepsPrecision
from decaystudy.model.projection import after_first_map, build_projection, first_map
from decaystudy.ops.precision import full_precision


class DecayParameters(KeepsPrecision):
    """The tensors that a decay owns, by name: parameters where they are learned, buffers where they are constants."""

    def __init__(self, specs: tuple[ParameterSpec, ...]) -> None:
        super().__init__()
        for spec in specs:
            blank = torch.zeros(spec.shape, dtype=torch.float32)
            if spec.learned:
                self.register_parameter(spec.name, nn.Parameter(blank))
            else:
                self.register_buffer(spec.name, blank)

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name."""
        return {**dict(self.named_parameters(recurse=False)), **dict(self.named_buffers(recurse=False))}

    def start_at(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give each tensor its start value, or zeros where there is none; returns the start values of all."""
        tensors = self.tensors()
        if undeclared := sorted(values.keys() - tensors.keys()):
            raise UserError(f"the decay has a start value for {undeclared[0]!r} and no such parameter: declare it")
        starts = {name: values.get(name, torch.zeros(tuple(tensor.shape))) for name, tensor in tensors.items()}
        for name, value in starts.items():
            copy_full_tensor(tensors[name], value)
        return starts


class LayerDecay(nn.Module):
    """log λ of one layer from its input."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.context: LayerContext = config.layer_context(layer)
        self.decay: Decay = config.make_decay()
        self.logits = [spec.name for spec in self.decay.projections(self.context)]
        # Names in checkpoints, and the seeds of start values, are made of these attributes' names: the one projection
        # of a decay that declares none is `projection`, and the decay's own tensors are `extras`.
        self.modules_of: dict[str, str] = {}
        for spec in config.built_projections(layer):
            self.modules_of[spec.name] = f"projection_{spec.name}" if self.decay.names_logits else "projection"
            self.add_module(self.modules_of[spec.name], build_projection(spec, config.d_model))
        self._own = type(self.decay).__module__.partition(".")[0] != __package__.partition(".")[0]
        self._looked_at = False
        self.extras = DecayParameters(self.decay.parameters(self.context))

    def initialise(self, seed: int, name: str, model_parameters: dict[str, Tensor]) -> None:
        """Draw the decay's own tensors.

        Args:
            name: that of this module in the model.
            model_parameters: start values of the tensors that all layers have in common.
        """
        starts = self.extras.start_at(
            self.decay.initial_parameters(
                self.context, lambda parameter: generator_for(seed, f"{name}.extras.{parameter}")
            )
        )
        if "offset" in starts:
            seen = {**starts, **self.decay.for_layer(model_parameters, self.context)}
            self.extras.start_at({**starts, "offset": self.decay.initial_offset(seen, self.context)})

    def first_maps(self) -> list[nn.Linear]:
        """The linear maps of the layer's input that the projections begin with."""
        return [first_map(getattr(self, name)) for name in self.modules_of.values()]

    def shared_parameters(self, model_parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """What this layer sees of the tensors that all layers have in common."""
        with full_precision(next(iter(model_parameters.values())).device if model_parameters else torch.device("cpu")):
            return self.decay.for_layer(model_parameters, self.context)

    def forward(
        self,
        x: Tensor,
        projected: list[Tensor],
        key_logit: Tensor,
        shared_parameters: dict[str, Tensor],
        *,
        carry: Tensor | None,
        resets: Tensor | None,
        mask: Tensor | None,
    ) -> DecayOutput:
        """log λ (B, T, H[, Dk]), shared key (B, T, H, Dk) or None, carry, and the decay's own β (B, T, H) or None.

        Args:
            projected: the outputs of ``first_maps``.
            key_logit: W_k x, (B, T, d), the (first) logit itself where the key is shared.
            shared_parameters: those of the method of that name.
        """
        logit = self._logit(projected, key_logit)
        with full_precision(x.device):
            parameters = {**self.extras.tensors(), **shared_parameters}
            output = self.decay.apply(logit, parameters, self.context, carry=carry, resets=resets, mask=mask)
            self._check(output.log_decay, x)
            working = torch.promote_types(x.dtype, torch.float32)
            log_decay = self._per_head(output.log_decay.to(device=x.device, dtype=working), x)
            beta = None
            if self.context.dplr and self.decay.has_beta(self.context):
                beta = self.decay.beta(logit, parameters, self.context).to(working)
        key = None if output.key is None else torch.unflatten(output.key, -1, (self.context.heads, -1))
        return DecayOutput(log_decay, key, output.carry, beta)

    def _check(self, log_decay: Tensor, x: Tensor) -> None:
        """Refuse what is no log λ of a decay of the user's own. Its values are looked at once, at the first call."""
        if not self._own:
            return
        wrong = None
        if log_decay.dtype not in (torch.float32, torch.float64):
            wrong = f"of type {log_decay.dtype}: give float32, as the logit is"
        elif log_decay.device != x.device and (log_decay.dim() > 1 or log_decay.is_meta):
            wrong = f"on the device {log_decay.device}: keep it on {x.device}, where the logit is"
        elif log_decay.shape[-1:] != (self.context.size,):
            return  # which ``_per_head`` says
        elif not self._looked_at and not torch.compiler.is_compiling():
            self._looked_at = True
            if bool(log_decay.isnan().any()) and bool(x.isfinite().all()):
                wrong = "that is not a number (NaN): give numbers of at most 0"
            elif bool((log_decay > 0).any()):
                wrong = f"of {float(log_decay.max()):.4g}, which is above 0: λ would be above 1"
        if wrong is not None:
            raise UserError(f"{self._named()} gave log λ {wrong}")

    def _named(self) -> str:
        """The decay by its class and file where it is the user's own, else by its name."""
        if not self._own:
            return f"decay {self.decay.name!r}"
        kind = type(self.decay)
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        return f"decay {kind.__module__}.{kind.__qualname__} in {file}"

    def _logit(self, projected: list[Tensor], key_logit: Tensor) -> Tensor | dict[str, Tensor] | None:
        """The outputs of the projections as the decay expects them, float32 or float64."""
        firsts = dict(zip(self.modules_of, projected, strict=True))
        outputs: dict[str, Tensor] = {}
        for name in self.logits:
            output = key_logit
            if name in firsts:
                output = after_first_map(getattr(self, self.modules_of[name]), firsts[name])
            outputs[name] = output.to(torch.promote_types(output.dtype, torch.float32))
        return outputs if self.decay.names_logits else next(iter(outputs.values()), None)

    def _per_head(self, log_decay: Tensor, x: Tensor) -> Tensor:
        """(…, size) for the tokens of x (B, T, d) as (B, T, H) or (B, T, H, Dk)."""
        context = self.context
        if log_decay.dim() == 0 or log_decay.shape[-1] != context.size:
            raise UserError(
                f"{self._named()} gave log λ of shape {tuple(log_decay.shape)}: at granularity "
                f"{context.granularity} its last dimension must be {context.size}"
            )
        log_decay = log_decay.expand(*x.shape[:2], -1)
        if context.granularity == "scalar":
            return log_decay
        if context.granularity == "paired":
            log_decay = log_decay.repeat_interleave(2, dim=-1)
        return torch.unflatten(log_decay, -1, (context.heads, context.head_dim))
