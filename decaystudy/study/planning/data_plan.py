"""Which text a study takes: how often, what its tokens take in the cache, and what is read from the hub."""

from __future__ import annotations

from collections.abc import Sequence

from decaystudy.data.config import DataConfig
from decaystudy.data.registry import find_source
from decaystudy.data.sources.base import Source
from decaystudy.data.sources.files import Files
from decaystudy.data.sources.hub import Hub
from decaystudy.errors import UserError
from decaystudy.formatting import count, size
from decaystudy.io import cache_folder, read_mapping, slug
from decaystudy.runs.config import RunConfig
from decaystudy.study.planning.plan_schema import PlannedData

BYTES_PER_TOKEN = 4
"""Of English text, about, under the tokenizers that are in use."""
PACKED_BYTES_PER_TOKEN = 2.9
"""Of a parquet file on the hub: sample-10BT of fineweb-edu has 28.5 GB for about 10 billion tokens."""


def planned_data(configs: Sequence[RunConfig]) -> tuple[PlannedData, ...]:
    """Each text with its tokenizer that these runs train on."""
    longest: dict[tuple[object, ...], RunConfig] = {}
    for config in configs:
        data = config.data
        key = (data.source, data.name, data.config, str(data.files), data.tokenizer_name)
        if key not in longest or config.tokens > longest[key].tokens:
            longest[key] = config
    return tuple(_planned(config) for config in longest.values())


def _planned(config: RunConfig) -> PlannedData:
    data, kind = config.data, find_source(config.data.source)
    known = None if kind.endless else source_tokens(data, kind)
    held, whole = cached_tokens(data, kind)
    known = whole or known
    needed = config.tokens if known is None else min(config.tokens, known)
    missing = 0 if whole else max(0, needed - held)
    return PlannedData(
        source=data.name or data.source,
        tokenizer=data.tokenizer_name,
        tokens=config.tokens,
        source_tokens=known,
        epochs=None if known is None else config.tokens / max(known, 1),
        cache_bytes=missing * (2 if config.model.vocab_size <= 2**16 else 4),
        download_bytes=round(missing * PACKED_BYTES_PER_TOKEN) if issubclass(kind, Hub) else 0,
    )


def source_tokens(data: DataConfig, kind: type[Source]) -> int | None:
    """Tokens of the whole text, about; None where that is not known."""
    if issubclass(kind, Files):
        try:
            return sum(path.stat().st_size for path in kind.open(data).paths.values()) // BYTES_PER_TOKEN
        except UserError:
            return None  # planned elsewhere than where the text is
    default = getattr(kind, "default_config", None)  # the number is that of this one
    return kind.about_tokens if data.config in (None, default) else None


def cached_tokens(data: DataConfig, kind: type[Source]) -> tuple[int, int]:
    """Tokens of this text under this tokenizer that are in the cache, and those of all of it, if all is there."""
    if issubclass(kind, Hub) and not kind.is_pinned(data):
        return 0, 0
    try:
        source = kind.open(data)
    except Exception:  # of any kind, where the source is the user's own; training will say it
        return 0, 0
    name = f"{source.label}-{source.revision[:8]}-{slug(data.tokenizer_name)}-*"
    best, whole = 0, 0
    for folder in cache_folder("tokens").glob(name):
        counts = [read_mapping(path) or {} for path in folder.glob("*.json") if path.name != "manifest.json"]
        tokens = sum(int(one.get("tokens", 0)) for one in counts)
        parts = len((read_mapping(folder / "manifest.json") or {}).get("parts", ()))
        best = max(best, tokens)
        if parts and sum("tokens" in one for one in counts) == parts:
            whole = max(whole, tokens)
    return best, whole


def data_lines(found: Sequence[PlannedData]) -> list[str]:
    """The data for people."""
    lines = []
    for one in found:
        text = f"data: {one.source} under {one.tokenizer}, {count(one.tokens)} tokens per run"
        if one.source_tokens is not None and one.epochs is not None:
            text += f" of about {count(one.source_tokens)}, {_epochs(one.epochs)}"
        text += f"; cache: {size(one.cache_bytes)} more" if one.cache_bytes else "; in the cache already"
        text += f"; to download: about {size(one.download_bytes)}" if one.download_bytes else ""
        lines.append(text)
    return lines


def _epochs(number: float) -> str:
    return "1 epoch" if f"{number:.2g}" == "1" else f"{number:.2g} epochs"
