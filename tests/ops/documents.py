"""The operators written with resets, in float64 and apart from the package: each document computed by itself."""

import torch
from torch import Tensor


def documents_alone(call: dict[str, Tensor], resets: Tensor) -> tuple[Tensor, Tensor]:
    """o and the final state of a call of `random_call`, differentiable by autograd; resets (B, T) bool."""
    outputs, states = [], []
    for row in range(len(resets)):
        one = {name: x[row] for name, x in call.items()}
        if one["log_decay"].dim() == 2:
            one["log_decay"] = one["log_decay"].unsqueeze(-1).expand_as(one["k"])
        tokens = resets.shape[1]
        starts = sorted({0, *resets[row].nonzero().flatten().tolist()})
        parts = []
        for start, end in zip(starts, [*starts[1:], tokens], strict=True):
            document = {name: x[start:end] for name, x in one.items() if name != "initial_state"}
            fresh = torch.zeros_like(one["initial_state"])
            begin = fresh if resets[row, start] else one["initial_state"]
            if resets[row, start]:
                # What a first token forgets is nothing, so its own decay plays no part.
                document["log_decay"] = torch.cat(
                    (torch.zeros_like(document["log_decay"][:1]), document["log_decay"][1:])
                )
            o, state = (_delta_rule if "beta" in call else _sums)(document, begin)
            parts.append(o)
        outputs.append(torch.cat(parts))
        states.append(state)
    return torch.stack(outputs), torch.stack(states)


def _sums(document: dict[str, Tensor], begin: Tensor) -> tuple[Tensor, Tensor]:
    """o_t as a sum over the tokens so far, each under the product of the decays since."""
    q, k, v, decay = document["q"], document["k"], document["v"], document["log_decay"].exp()
    outputs = []
    since, since_begin = torch.ones_like(k[:0]), torch.ones_like(k[0])
    for t in range(len(q)):
        since = torch.cat((since * decay[t], torch.ones_like(k[:1])))
        since_begin = since_begin * decay[t]
        scores = (q[t] * since * k[: t + 1]).sum(-1)
        outputs.append(
            torch.einsum("sh,she->he", scores, v[: t + 1]) + torch.einsum("hd,hde->he", q[t] * since_begin, begin)
        )
    return torch.stack(outputs), torch.einsum("shd,she->hde", since * k, v) + since_begin.unsqueeze(-1) * begin


def _delta_rule(document: dict[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """s_t = (I − β k kᵀ) diag(λ) s_{t−1} + β k vᵀ with the matrices written out."""
    q, k, v, beta, decay = (document[name] for name in ("q", "k", "v", "beta", "log_decay"))
    outputs = []
    for t in range(len(q)):
        share, key = beta[t, :, None, None], k[t].unsqueeze(-1)
        reflection = torch.eye(k.shape[-1], dtype=k.dtype) - share * key @ key.mT
        state = reflection @ torch.diag_embed(decay[t].exp()) @ state + share * key @ v[t].unsqueeze(-2)
        outputs.append((q[t].unsqueeze(-2) @ state).squeeze(-2))
    return torch.stack(outputs), state
