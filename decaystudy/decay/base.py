"""What every decay is: plain data that needs no torch, and one formula that does.

A decay turns a *logit* f (a projection of the layer's input) into log λ ≤ 0. Subclasses are frozen dataclasses whose
fields are the decay's options. Torch is imported only by the methods that compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from decaystudy.checks import check_number
from decaystudy.decay.declarations import GRANULARITIES, DecayOutput, LayerContext, ParameterSpec, ProjectionSpec
from decaystudy.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Decay:
    """A parameterization of λ. Subclass it as a frozen dataclass, one file per family, and list it in ``registry.py``
    (or name it by its import path, ``mypackage.decays.Mine``, where a decay is asked for).

    ``name``, ``summary`` and ``log_decay`` make a whole decay. All else has a default: ``projections`` for several
    logits, ``parameters`` and ``initial_parameters`` for learned values of your own, ``beta`` for DPLR.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for ``decaystudy list``."""
    data_dependent: ClassVar[bool] = True
    """Whether λ is a function of the token, through the logit f."""
    granularities: ClassVar[tuple[str, ...]] = GRANULARITIES
    sharings: ClassVar[tuple[bool | str, ...]] = (False, True, "tied")
    """Values of ``sharing`` that make sense for this decay."""
    uniform_in_head: ClassVar[bool] = False
    """Whether λ is the same in all dimensions of a head even at granularity ``vector``."""

    # -- plain data ---------------------------------------------------------------------------------------------
    def check(self, context: LayerContext) -> None:
        """Raise a ``UserError`` if the options make no sense in this layer."""

    def projections(self, context: LayerContext) -> tuple[ProjectionSpec, ...]:
        """The projections of the layer's input that the decay is made from.

        Override it to declare several: ``logit`` is then a mapping from their names to their outputs. The first one is
        the decay's own logit f: a shared key stands in for it, and ``start`` shifts it.
        """
        return (ProjectionSpec("logit", context.size),) if self.data_dependent else ()

    def parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        """The other tensors of one layer; ``offset`` is the constant that matches a start."""
        return (ParameterSpec("offset", (1,), learned=False),) if getattr(self, "start", None) is not None else ()

    def model_parameters(self, context: LayerContext) -> tuple[ParameterSpec, ...]:
        """The tensors that all layers have in common."""
        return ()

    @property
    def names_logits(self) -> bool:
        """Whether ``logit`` is a mapping: the decay declares its projections itself."""
        return type(self).projections is not Decay.projections

    def has_beta(self, context: LayerContext) -> bool:
        """Whether β of a DPLR model comes from this decay's ``beta`` and not from a projection of the token mixer."""
        return type(self).beta is not Decay.beta

    def start_median(self, context: LayerContext) -> tuple[float, float] | None:
        """Between which values the median of λ over a layer's channels starts, at logits of 0 and a document's first
        token: one value twice, unless start values are drawn. None where it is not known; ``decaystudy rehearse``
        compares it with the model.
        """
        start: float | None = getattr(self, "start", None)
        return None if start is None else (start, start)

    def idle_options(self) -> str | None:
        """Options that have no effect beside others, and what to do; None where there are none. They are refused where
        a model is to be trained, and not where one that was is opened."""
        return None

    # -- tensors ------------------------------------------------------------------------------------------------
    def initial_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        """Start values of ``parameters`` (without ``offset``), float64 on the CPU; those left out start at zero.

        ``generator(name)`` gives the seeded generator that belongs to the parameter of that name.
        """
        return {}

    def initial_model_parameters(
        self, context: LayerContext, generator: Callable[[str], torch.Generator]
    ) -> dict[str, Tensor]:
        """Start values of ``model_parameters``, float64 on the CPU; those left out start at zero."""
        return {}

    def for_layer(self, model_parameters: Mapping[str, Tensor], context: LayerContext) -> dict[str, Tensor]:
        """What layer ``context.layer`` sees of the model's common tensors, merged into its own parameters.

        Also the place for what depends on the layer's number: a compiled ``log_decay`` then serves all layers.
        """
        return {}

    def log_decay(self, logit: Any, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        """log λ, (…, size).

        Args:
            logit: f, (…, size); a mapping from names to (…, size of the projection) where ``projections`` is
                overridden; None for a data-independent decay, which returns (size,).
            parameters: the tensors of ``parameters`` and what ``for_layer`` gives, by name.
        """
        raise NotImplementedError

    def beta(self, logit: Any, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        """β of a DPLR model in place of the token mixer's sigmoid(Linear d → heads), if overridden.

        (B, T, heads) in [0, 1]; the model multiplies it by its ``beta_max``. Arguments as of ``log_decay``, without the
        shift that matches a start. It is called only where ``context.dplr`` is true, so a projection that serves β
        alone is declared only there.
        """
        raise NotImplementedError

    def released_key(self, logit: Any, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        """The key of ``sharing: released``, where the released code has another than 1 − λ."""
        raise NotImplementedError

    def apply(
        self,
        logit: Any,
        parameters: Mapping[str, Tensor],
        context: LayerContext,
        *,
        carry: Tensor | None = None,
        resets: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> DecayOutput:
        """log λ, shared key and carry for a stretch of tokens.

        Args:
            logit: as of ``log_decay``, (B, T, ·), float32 or float64.
            carry: that of the token before the stretch.
            resets: (B, T) bool, true where a document starts; only decays with memory look at it.
            mask: (B, T) bool, false at padding; only decays with memory look at it.
        """
        if "offset" in parameters:
            logit = _shifted(logit, parameters["offset"])
        log_decay = self.log_decay(logit, parameters, context)
        key = None
        if context.sharing in (True, "tied"):
            key = -log_decay.expm1()
        elif context.sharing == "released":
            key = self.released_key(logit, parameters, context)
        return DecayOutput(log_decay, key, None)

    def initial_offset(self, parameters: Mapping[str, Tensor], context: LayerContext) -> Tensor:
        """The offset of the (first) logit that makes the median of λ at logits of 0 equal to the option ``start``,
        (1,) float64.

        Found by bisection on the decay's own formula, so it holds for every family: λ is monotone in f.
        """
        import torch

        start: float = self.start  # type: ignore[attr-defined]
        zeros: Any = {spec.name: torch.zeros(spec.size, dtype=torch.float64) for spec in self.projections(context)}
        if not self.names_logits:
            zeros = torch.zeros(context.size, dtype=torch.float64)

        def excess(offset: float) -> float:
            logit = _shifted(zeros, torch.tensor([offset], dtype=torch.float64))
            return float(self.log_decay(logit, parameters, context).exp().quantile(0.5)) - start

        low, high = -500.0, 500.0
        rising = excess(high) > excess(low)
        if excess(low) * excess(high) > 0:
            raise UserError(
                f"decay {self.name!r} cannot start at λ = {start} in layer {context.layer}: choose another start"
            )
        for _ in range(200):
            middle = (low + high) / 2
            if (excess(middle) > 0) == rising:
                high = middle
            else:
                low = middle
        return torch.tensor([(low + high) / 2], dtype=torch.float64)


def _shifted(logit: Any, offset: Tensor) -> Any:
    """The logit, or the first of several, plus the offset (1,)."""
    if logit is None:
        return None
    if isinstance(logit, Mapping):
        first = next(iter(logit))
        return {**logit, first: logit[first] + offset.to(logit[first].dtype)}
    return logit + offset.to(logit.dtype)


def option_names(decay: type[Decay]) -> list[str]:
    """Names of the options that a decay takes."""
    return [field.name for field in fields(decay)]  # type: ignore[arg-type]


def check_open_unit(decay: str, option: str, value: Any, optional: bool = False) -> None:
    """Refuse a value of λ that is not strictly between 0 and 1."""
    if optional and value is None:
        return
    check_number(f"option {option!r} of decay {decay!r}", value, 0, 1, without_low=True, without_high=True)
