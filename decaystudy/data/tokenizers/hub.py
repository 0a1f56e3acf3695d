"""Fetching a tokenizer by name, from the hub or a local folder, into the cache."""

import logging
from pathlib import Path
from typing import Any

from decaystudy.data.folders import lock
from decaystudy.data.network import status_code, with_retries
from decaystudy.data.sources.hub import explained
from decaystudy.data.tokenizers.names import SETTINGS, named_folder
from decaystudy.data.tokenizers.tokenizer import OTHERS, is_kept, store
from decaystudy.errors import UserError

log = logging.getLogger("decaystudy")

SAMPLES = ("Zürich 中文", "Привет", "naïve café 🙂", "x² ≈ ½ – “quoted”")
"""Texts that a tokenizer must be able to read, whatever it makes of them."""


def fetch_once(name: str) -> Path:
    """The folder in the cache that holds the tokenizer ``name``, fetched if need be."""
    folder = named_folder(name)
    if not is_kept(folder):
        with lock(folder.with_suffix(".lock")):
            if not is_kept(folder):
                fetch(name, folder)
    return folder


def fetch(name: str, folder: Path) -> None:
    """Store the tokenizer ``name`` in ``folder``, pinned to the hub's commit of today if it comes from there."""
    local = Path(name).expanduser()
    with explained(f"open the tokenizer {name}"):
        if local.exists():
            save(name, None, read(local) or convert_folder(local), folder)
            return
        with_retries(f"reach the tokenizer {name}", lambda: fetch_from_hub(name, folder), first_contact=True)


def fetch_from_hub(name: str, folder: Path) -> None:
    """The repository's tokenizer.json as it is; where there is none, transformers makes one."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        revision = HfApi().model_info(name).sha
    except HFValidationError:
        revision = None
    except Exception as error:
        if status_code(error) not in (401, 403, 404):
            raise
        revision = None
    if revision is None:
        raise UserError(
            f"there is no tokenizer {name!r}: it is no folder here and no repository that the hub shows you; "
            "use auto, bpe:N, words:N, or a name such as gpt2"
        )
    log.info("the tokenizer %s is pinned to revision %s", name, revision)
    found: dict[str, Path] = {}
    for file in ("tokenizer.json", *SETTINGS):
        try:
            found[file] = Path(hf_hub_download(name, file, revision=revision))
        except EntryNotFoundError:
            continue
    files = read(found["tokenizer.json"].parent) if "tokenizer.json" in found else None
    save(name, revision, files or convert(name, revision), folder)


def read(local: Path) -> tuple[str, str | None] | None:
    """(tokenizer.json, EOS token) of a folder or of a tokenizer.json itself; None if it takes more to find them."""
    path = local / "tokenizer.json" if local.is_dir() else local
    if not path.is_file():
        return None
    named = any(path.with_name(settings).is_file() for settings in SETTINGS)
    return path.read_text(encoding="utf-8"), eos_of(path.parent) if named else None


def eos_of(folder: Path) -> str | None:
    """The EOS token that transformers finds for the tokenizer in ``folder``, or None."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    for kind in (AutoTokenizer, PreTrainedTokenizerFast):
        try:
            token: str | None = kind.from_pretrained(folder, local_files_only=True).eos_token
        except (OSError, ValueError, KeyError, TypeError, ImportError):
            continue  # AutoTokenizer also wants to know the model, which a tokenizer alone doesn't say
        return token
    return None


def convert(name: str, revision: str | None) -> tuple[str, str | None]:
    """(tokenizer.json, EOS token) by way of transformers, which reads the older formats."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UserError(f"the tokenizer {name} has no tokenizer.json: pip install transformers to read it") from error
    tokenizer: Any = AutoTokenizer.from_pretrained(name, revision=revision or "main")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"the tokenizer {name} has no fast form: choose one that the tokenizers library can run")
    return backend.to_str(), tokenizer.eos_token


def convert_folder(local: Path) -> tuple[str, str | None]:
    """``convert`` for a folder of this machine.

    Raises:
        UserError: it holds no tokenizer.
    """
    try:
        return convert(str(local), None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the folder {local} holds no tokenizer: name one with a tokenizer.json, or use auto, bpe:N or words:N"
        ) from error


def check_spelling(fast: Any, name: str) -> None:
    """Refuse a tokenizer that fails on characters it doesn't know, or drops them in silence."""
    for text in SAMPLES:
        try:
            encoding = fast.encode(text, add_special_tokens=False)
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"the tokenizer {name} fails on {text!r} ({error}): {OTHERS}") from error
        read = {place for start, end in encoding.offsets for place in range(start, end)}
        lost = [character for place, character in enumerate(text) if place not in read and not character.isspace()]
        if lost:
            raise UserError(f"the tokenizer {name} drops {lost[0]!r} of {text!r} in silence: {OTHERS}")


def save(name: str, revision: str | None, files: tuple[str, str | None], folder: Path) -> None:
    """Check that the tokenizer loads and can end documents, and store it."""
    from tokenizers import Tokenizer as Fast

    content, eos = files
    try:
        fast = Fast.from_str(content)
    except Exception as error:
        raise UserError(f"the tokenizer {name} is not one that the tokenizers library can read: {error}") from error
    vocabulary = fast.get_vocab(with_added_tokens=True)
    guesses = [eos, "<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[SEP]"]
    eos_id = next((vocabulary[token] for token in guesses if token in vocabulary), None)
    if eos_id is None:
        raise UserError(f"the tokenizer {name} has no token that ends a text: choose one with an eos_token")
    fast.encode_special_tokens = True
    check_spelling(fast, name)
    eos = fast.id_to_token(eos_id)
    if any(eos_id in fast.encode(text, add_special_tokens=False).ids for text in (eos, f"a {eos} b", f"a{eos}b")):
        raise UserError(
            f"the tokenizer {name} reads {eos!r} spelled out in a text as the end of the document: choose a byte-level "
            "one such as gpt2, or one trained on the source, bpe:N"
        )
    store(folder, content, name=name, revision=revision, eos_id=eos_id, vocab_size=max(vocabulary.values()) + 1)
