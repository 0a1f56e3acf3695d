"""The settings of the data: which text, which tokenizer, how long the sequences, what is held out."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from decaystudy.checks import check_flag, check_number, check_text, check_whole
from decaystudy.data.patterns import patterns
from decaystudy.data.registry import SOURCES, find_source
from decaystudy.data.sources.encoding import check_encoding
from decaystudy.data.tokenizers.names import local_tokenizer, named_folder, trained_kind, trained_vocabulary
from decaystudy.errors import UserError
from decaystudy.io import read_mapping

LONGEST_SEQUENCE = 2**24
GPT2 = ("gpt2", "openai-community/gpt2")
"""Names of one tokenizer."""
DOCUMENT_SETTINGS = ("name", "config", "split", "column", "group", "files", "encoding", "revision")
"""Fields that only some sources read."""


@dataclass
class DataConfig:
    """Which tokens a run sees."""

    source: str = "python-docs"
    """Where the text comes from: python-docs and recall (offline), fineweb-edu, hub (any text dataset), files, or the
    import path of a class of your own."""

    tokenizer: str = "auto"
    """auto is the source's own; else a tokenizer of the hub or a folder by name, or one trained on the source: bpe:N
    (byte-level), or words:N (its most frequent words and nothing else)."""

    sequence_length: int = 2048
    """Tokens per sequence; each block of the stream has one more, for the last target."""

    reset_state_at_documents: bool = False
    """Clear the state at each document's first token, so that nothing is carried from one document to the next."""

    validation_fraction: float | None = None
    """Share of the documents, or of the groups, held out, by a hash of their id (default: python-docs 0.03,
    recall 0.1, else 0.01)."""

    validation_tokens: int = 262_144
    """Maximum number of held-out tokens used for validation; the others stay out of training too."""

    tuning: bool = False
    """Judge on the tuning documents, from which settings are chosen: as many others again, by the same hash. They are
    then held out of training beside those of the validation, which nothing is chosen on."""

    num_workers: int = 0
    """Processes that load batches; the tokens don't depend on it."""

    name: str | None = None
    """The dataset on the hub, such as allenai/c4 (source hub; fineweb-edu has its own)."""

    config: str | None = None
    """The dataset's configuration (sources hub and fineweb-edu, there sample-10BT unless set)."""

    split: str = "train"
    """The dataset's split (sources hub and fineweb-edu)."""

    column: str = "text"
    """The column or field that holds the text (sources fineweb-edu, hub and files)."""

    group: str | None = None
    """The column or field that says what a document belongs to, such as a book or a site. A group is held out whole or
    not at all, and its losses count together (sources fineweb-edu, hub and files)."""

    files: str | list[str] | None = None
    """The files to read: paths, folders or quoted globs, several with commas between them (source files)."""

    encoding: str | None = None
    """Encoding of text and json lines files that are not UTF-8, such as latin-1 or utf-16 (source files)."""

    revision: str | None = None
    """Commit, branch or tag of the dataset; pinned at first use if not set (sources hub and fineweb-edu)."""

    def validate(self) -> None:
        """Raise a UserError for the first setting that makes no sense."""
        for setting in ("source", "tokenizer", *DOCUMENT_SETTINGS):
            value = getattr(self, setting)
            for text in value if isinstance(value, list) and setting == "files" else [value]:
                if text is not None or isinstance(value, list):
                    check_text(f"data.{setting}", text)
        if self.encoding is not None:
            check_encoding(self.encoding)
        check_flag("data.reset_state_at_documents", self.reset_state_at_documents)
        source = find_source(self.source)
        for setting in DOCUMENT_SETTINGS:
            if setting not in source.settings and getattr(self, setting) != getattr(DataConfig, setting):
                using = ", ".join(name for name, other in SOURCES.items() if setting in other.settings)
                raise UserError(f"--data.{setting} means nothing to the source {self.source}: it is for {using}")
        if self.source == "files" and not self.files:
            raise UserError(
                "the source files needs --data.files, a path, a folder or a quoted glob such as 'texts/*.jsonl'"
            )
        if self.source == "hub" and not self.name:
            raise UserError("the source hub needs --data.name, a dataset such as allenai/c4")
        check_whole("data.sequence_length", self.sequence_length, 1, LONGEST_SEQUENCE)
        check_number("data.validation_fraction", self.held_out_share, 0, 1, without_low=True, without_high=True)
        check_whole("data.validation_tokens", self.validation_tokens, 1, 2**40)
        if self.validation_tokens <= self.sequence_length:
            raise UserError(
                f"data.validation_tokens {self.validation_tokens} holds not one sequence: "
                f"give at least {self.sequence_length + 1}"
            )
        check_whole("data.num_workers", self.num_workers, 0, 1024)
        trained_vocabulary(self.tokenizer_name)

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer with ``auto`` resolved."""
        return find_source(self.source).tokenizer if self.tokenizer == "auto" else self.tokenizer

    @property
    def held_out_share(self) -> float:
        """The validation fraction with its default resolved."""
        share = self.validation_fraction
        return find_source(self.source).validation_fraction if share is None else share

    @property
    def judged_shares(self) -> tuple[float, float]:
        """From which share on and up to which, in the order of the hash, documents are judged on."""
        share = self.held_out_share
        return (share, share + min(share, (1 - share) / 2)) if self.tuning else (0.0, share)

    @property
    def untrained_share(self) -> float:
        """Share of the documents, in the order of the hash, that are not trained on."""
        return self.judged_shares[1]


def vocabulary_size(config: DataConfig) -> int:
    """Tokens in the vocabulary, without torch or network: from the tokenizer's name, or from its copy in the cache,
    which is made here of a local tokenizer that is new or has changed."""
    name = config.tokenizer_name
    trained = trained_vocabulary(name)
    if trained is not None:
        return trained
    if local_tokenizer(name) is not None:
        from decaystudy.data.tokenizers.hub import fetch_once

        fetch_once(name)
    elif name in GPT2:
        return 50257
    size = (read_mapping(named_folder(name) / "about.json") or {}).get("vocab_size")
    if not isinstance(size, int):
        raise UserError(
            f"the size of the tokenizer {name!r} is not known yet: "
            f"run decaystudy prepare-data --data.source {config.source} --data.tokenizer {name} --tokens 1M first"
        )
    return size


def token_stream_fingerprint(config: DataConfig) -> dict[str, Any]:
    """The settings that decide which tokens are trained on, in which blocks, and which are held out."""
    source = find_source(config.source)
    values = asdict(config)
    defaults = {"name": getattr(source, "default_name", None), "config": getattr(source, "default_config", None)}
    kept: dict[str, Any] = {name: values[name] or defaults.get(name) for name in source.settings}
    if kept.get("files"):
        found = [os.path.abspath(os.path.expanduser(pattern)) for pattern in patterns(kept["files"])]
        kept["files"] = found[0] if len(found) == 1 else found
    return {
        "stream_version": source.stream_version,
        "source": config.source,
        **{name: value for name, value in kept.items() if value is not None},
        "tokenizer": canonical_tokenizer(config.tokenizer_name),
        "sequence_length": config.sequence_length,
        "validation_fraction": config.held_out_share,
        "validation_tokens": config.validation_tokens,
        **({"tuning": True} if config.tuning else {}),
    }


def canonical_tokenizer(name: str) -> str:
    """One spelling of a tokenizer: the full path of a local one, bpe:512 for bpe:0512, gpt2 for its name on the hub."""
    size = trained_vocabulary(name)
    if size is not None:
        return f"{trained_kind(name)}:{size}"
    local = local_tokenizer(name)
    if local is not None:
        return str(local)
    return GPT2[0] if name in GPT2 else name
