"""Cutting sequences (B, T, H, D) into chunks (n·B·H, C, D), a group of chunks at a time."""

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 64
"""Tokens per chunk. A larger chunk needs fewer products with states and more between pairs of tokens."""
GROUP_ELEMENTS = {"cpu": 1 << 18}
"""Elements of the widest tensor of a group. On a CPU a group's temporaries then stay in the cache, and stay smaller
than what the C library maps and unmaps memory for at every allocation."""
GROUP_ELEMENTS_ELSEWHERE = 1 << 26


def chunk_length(tokens: int) -> int:
    """CHUNK, or the power of two that holds a shorter sequence."""
    return min(CHUNK, 1 << (tokens - 1).bit_length())


def groups(x: Tensor, width: int, chunk: int) -> list[tuple[int, int]]:
    """Spans (first chunk, number of chunks) that cover x (B, T, H, ·), for tensors of `width` channels."""
    batch, tokens, heads = x.shape[:3]
    chunks = -(-tokens // chunk)
    limit = GROUP_ELEMENTS.get(x.device.type, GROUP_ELEMENTS_ELSEWHERE)
    step = max(1, limit // (batch * heads * chunk * width))
    return [(first, min(step, chunks - first)) for first in range(0, chunks, step)]


def take(x: Tensor, span: tuple[int, int], chunk: int, dtype: torch.dtype) -> Tensor:
    """Chunks of x (B, T, H, D), contiguous, chunk by chunk: (n·B·H, C, D). The end is filled with zeros."""
    first, count = span
    x = x[:, first * chunk : (first + count) * chunk]
    batch, tokens, heads, width = x.shape
    if tokens < count * chunk:
        x = functional.pad(x, (0, 0, 0, 0, 0, count * chunk - tokens))
    out = torch.empty(count, batch, heads, chunk, width, dtype=dtype, device=x.device)
    out.copy_(torch.unflatten(x, 1, (count, chunk)).permute(1, 0, 3, 2, 4))
    return out.view(-1, chunk, width)


def put(out: Tensor, chunks: Tensor, span: tuple[int, int], chunk: int) -> None:
    """Write chunks (n·B·H, C, D) to their place in out (B, T, H, D)."""
    first, count = span
    batch, _, heads, width = out.shape
    out = out[:, first * chunk : (first + count) * chunk]
    tokens = out.shape[1]
    x = chunks.view(count, batch, heads, chunk, width).permute(1, 0, 3, 2, 4)
    if tokens == count * chunk:
        torch.unflatten(out, 1, (count, chunk)).copy_(x)
    else:
        out.copy_(x.reshape(batch, count * chunk, heads, width)[:, :tokens])
