"""The token cache: one memory-mapped shard a part of the source, in source order, with an index and checksums.

A folder holds ``manifest.json`` (what the tokens are and the list of parts) and, for each part that is done, three
files: ``00012.bin``, the tokens of its documents end to end, each document ended by EOS; ``00012.index``, for each
document the position after its last token and the hash of its id, or of its group; and ``00012.json``, counts and
checksums, written last. So a shard exists when its json does, any number of processes can fill one cache, and nothing
that is done is ever lost.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decaystudy.data.documents import id_hash
from decaystudy.data.folders import cache_json, cached_file
from decaystudy.data.sources.base import Document, Part
from decaystudy.data.tokenizers.tokenizer import Tokenizer
from decaystudy.errors import UserError
from decaystudy.io import read_mapping

log = logging.getLogger("decaystudy")

WINDOW_SHARDS = 8
"""Shards whose documents are mixed with each other: the shuffle buffer, about 32 million tokens."""

FORMAT = 1
KEEP_MAPPED = 12
"""Shards mapped at a time: what the stream mixes, and a few."""

BATCH_CHARACTERS = 2**21
"""Text handed to the tokenizer at once: enough for every core, little enough to hold."""


COUNTS = {"documents": int, "tokens": int, "bytes": int, "checksum": str, "index_checksum": str}
"""What a shard's json holds, beside the name of its part."""


class Damaged(Exception):
    """A shard whose bytes are not those that were written."""


@dataclass(frozen=True)
class Index:
    """Where a shard's documents end (uint64, in tokens) and the hashes of their ids, or of their groups (uint64)."""

    ends: np.ndarray
    hashes: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        return np.concatenate([np.zeros(min(1, len(self.ends)), np.uint64), self.ends[:-1]])

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, its EOS included (int64)."""
        return np.diff(self.ends.astype(np.int64), prepend=0)


class ShardFolder:
    """The shards of one (revision, tokenizer) on disk."""

    def __init__(self, folder: Path):
        manifest = read_mapping(folder / "manifest.json") or {}
        try:
            if manifest["format"] != FORMAT:
                raise ValueError(manifest["format"])
            self.about: dict[str, Any] = dict(manifest["about"])
            self.dtype = np.dtype(str(manifest["dtype"]))
            self.parts = [Part(*row) for row in manifest["parts"]]
            if not all(isinstance(part.name, str) and isinstance(part.start, int) for part in self.parts):
                raise TypeError("parts")
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"{folder} holds no token cache of this version: delete it and it will be made again"
            ) from error
        self.folder = folder
        self._mapped: OrderedDict[int, np.ndarray] = OrderedDict()

    @staticmethod
    def create(folder: Path, about: dict[str, Any], dtype: np.dtype, parts: list[Part]) -> "ShardFolder":
        """Write the manifest of a cache without shards."""
        rows = [list(astuple(part)) for part in parts]
        cache_json(folder / "manifest.json", {"format": FORMAT, "about": about, "dtype": dtype.str, "parts": rows})
        return ShardFolder(folder)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": OrderedDict()}

    def __len__(self) -> int:
        return len(self.parts)

    def path(self, shard: int, suffix: str) -> Path:
        return self.folder / f"{shard:05d}.{suffix}"

    def lock(self, shard: int) -> Path:
        """The lock to hold while writing a shard."""
        return self.folder / "locks" / f"{shard:05d}.lock"

    def wish(self, shard: int) -> Path:
        """A file that asks the process that tokenizes to make this shard next."""
        return self.path(shard, "wanted")

    def wanted(self) -> list[int]:
        """Shards that are wished for."""
        return sorted(int(path.stem) for path in self.folder.glob("[0-9]*.wanted"))

    def counts(self, shard: int) -> dict[str, Any] | None:
        """The shard's documents, tokens, bytes of text and checksums, or None if it is not done."""
        counts = read_mapping(self.path(shard, "json"))
        if counts is None or not all(isinstance(counts.get(key), kind) for key, kind in COUNTS.items()):
            return None
        return counts

    def missing(self) -> list[int]:
        """Shards that are not done, in source order."""
        done = {path.stem for path in self.folder.glob("[0-9]*.json")}
        return [shard for shard in range(len(self)) if f"{shard:05d}" not in done]

    def index(self, shard: int) -> Index:
        """The shard's documents; its checksum is compared. Raises Damaged, and FileNotFoundError if it is not done."""
        counts = self._counts(shard)
        content = self._content(shard, "index")
        if checksum(content) != counts["index_checksum"]:
            raise Damaged(f"{self.path(shard, 'index')} was altered or cut")
        ends, hashes = np.frombuffer(content, dtype="<u8").reshape(2, -1)
        return Index(ends, hashes)

    def tokens(self, shard: int) -> np.ndarray:
        """The shard's tokens, memory-mapped; its checksum is compared whenever it is mapped. Raises as ``index``."""
        if shard in self._mapped:
            self._mapped.move_to_end(shard)
            return self._mapped[shard]
        counts = self._counts(shard)
        path = self.path(shard, "bin")
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise Damaged(f"{path} is gone") from None
        if size != counts["tokens"] * self.dtype.itemsize:
            raise Damaged(f"{path} was cut")
        with path.open("rb") as file:
            if hashlib.file_digest(file, _blake2b).hexdigest() != counts["checksum"]:
                raise Damaged(f"{path} was altered")
        # A plain array over the map: slices of np.memmap itself cost ten times as much.
        mapped = np.asarray(np.memmap(path, self.dtype, "r")) if size else np.empty(0, self.dtype)
        self._mapped[shard] = mapped
        if len(self._mapped) > KEEP_MAPPED:
            self._mapped.popitem(last=False)
        return mapped

    def forget(self, shard: int) -> None:
        """Take the shard for not done."""
        self._mapped.pop(shard, None)
        self.path(shard, "json").unlink(missing_ok=True)

    def write(self, shard: int, documents: Iterable[Document], tokenizer: Tokenizer) -> dict[str, Any]:
        """Tokenize documents into the shard; returns its counts."""
        for stale in self.folder.glob(f".{shard:05d}.*.tmp"):
            stale.unlink(missing_ok=True)
        lengths: list[int] = []
        hashes: list[int] = []
        text_bytes = 0
        running = _blake2b()
        with cached_file(self.path(shard, "bin")) as file:
            for batch in batches(documents):
                texts = [document.text for document in batch]
                arrays = tokenizer.encode_documents(texts)
                joined = np.concatenate(arrays)
                running.update(joined.data)
                file.write(joined.data)
                lengths += map(len, arrays)
                hashes += [id_hash(document.held_with) for document in batch]
                text_bytes += sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        index = np.concatenate([np.cumsum(lengths, dtype="<u8"), np.array(hashes, dtype="<u8")]).tobytes()
        with cached_file(self.path(shard, "index")) as file:
            file.write(index)
        counts = {
            "part": str(self.parts[shard]),
            "documents": len(lengths),
            "tokens": sum(lengths),
            "bytes": text_bytes,
            "checksum": running.hexdigest(),
            "index_checksum": checksum(index),
        }
        self._mapped.pop(shard, None)
        cache_json(self.path(shard, "json"), counts)
        return counts

    def _counts(self, shard: int) -> dict[str, Any]:
        counts = self.counts(shard)
        if counts is None:
            raise FileNotFoundError(self.path(shard, "json"))
        return counts

    def _content(self, shard: int, suffix: str) -> bytes:
        try:
            return self.path(shard, suffix).read_bytes()
        except FileNotFoundError:
            raise Damaged(f"{self.path(shard, suffix)} is gone") from None


def checksum(content: bytes) -> str:
    """32 hexadecimal digits of blake2b."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _blake2b() -> Any:
    return hashlib.blake2b(digest_size=16)


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Lists of documents with about BATCH_CHARACTERS of text; a longer document makes one by itself."""
    batch: list[Document] = []
    held = 0
    for document in documents:
        batch.append(document)
        held += len(document.text)
        if held >= BATCH_CHARACTERS or len(batch) >= 65536:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
