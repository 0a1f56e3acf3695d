"""What the data is that settings name now: the text's revision and the tokenizer's content."""

from decaystudy.data.config import DataConfig
from decaystudy.data.holding_out import holding_out
from decaystudy.data.registry import find_source
from decaystudy.data.sources.hub import Hub
from decaystudy.data.tokenizers.opening import open_tokenizer, tokenizer_folder
from decaystudy.data.tokenizers.tokenizer import kept_digest


def data_pins(config: DataConfig) -> dict[str, str]:
    """``revision`` of the text and ``tokenizer_digest``, for which a tokenizer is trained or fetched if need be.

    Raises:
        UserError: the data cannot be opened.
    """
    source = find_source(config.source).open(config)
    return {
        "revision": source.revision,
        "tokenizer_digest": open_tokenizer(config, source, holding_out(source, config)).digest,
    }


def known_pins(config: DataConfig) -> dict[str, str]:
    """The same as far as it can be told by looking at files, without a network and without training a tokenizer.

    What cannot be opened here has no pins: a text that has gone is no text that has changed.
    """
    kind = find_source(config.source)
    if issubclass(kind, Hub) and not kind.is_pinned(config):
        return {}
    try:
        source = kind.open(config)
        digest = kept_digest(tokenizer_folder(config, source, holding_out(source, config)))
    except Exception:  # of any kind, where the source is the user's own; training will say it
        return {}
    return {"revision": source.revision} | ({} if digest is None else {"tokenizer_digest": digest})
