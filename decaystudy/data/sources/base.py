"""What a source of text is: an ordered list of parts, each an ordered list of documents."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from decaystudy.errors import UserError

if TYPE_CHECKING:
    from decaystudy.data.config import DataConfig


LONGEST_TEXT = 2**22
"""Characters of a document at most: a tokenizer takes a hundred times their memory."""
TOKENIZER_BYTES = 64 * 2**20
"""Text enough to train a tokenizer on."""


class Document(NamedTuple):
    """One text, the name under which it is known and, where the source has groups, what it belongs to."""

    id: str
    text: str
    group: str | None = None

    @property
    def held_with(self) -> str:
        """The name whose hash decides whether the document is held out: its group's, else its own."""
        return self.id if self.group is None else self.group


@dataclass(frozen=True)
class Part:
    """A piece of a source that is read and tokenized by itself: a range of a file, or some whole files in a row.

    ``start`` and ``stop`` count what the file's format counts (row groups, bytes); a stop of None is the file's end.
    """

    name: str
    start: int = 0
    stop: int | None = None
    files: int = 1

    def __str__(self) -> str:
        if self.files > 1:
            return f"{self.name} and {self.files - 1} more"
        return self.name if self.stop is None else f"{self.name}[{self.start}:{self.stop}]"


def checked_text(value: Any, column: str, where: Callable[[], str]) -> str:
    """``value``, if it is text.

    Args:
        where: makes the place for the message, when it is needed.

    Raises:
        UserError: it is of another type.
    """
    if isinstance(value, str):
        return value
    raise UserError(
        f"{where()}: the field {column!r} holds {_kind(value)}, not text: choose another --data.column, "
        "or write text there"
    )


def checked_group(value: Any, field: str, where: Callable[[], str]) -> str:
    """``value`` as the name of a group: text, or a number as its text.

    Args:
        where: makes the place for the message, when it is needed.

    Raises:
        UserError: it is of another type.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers is read as floats where one of its rows is empty
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    raise UserError(
        f"{where()}: the field {field!r} holds {_kind(value)}, not the name of a group: choose another --data.group, "
        "or write text or a number there"
    )


def _kind(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "a list",
             dict: "an object", bytes: "bytes"}  # fmt: skip
    return kinds.get(type(value), type(value).__name__)


class Source(Protocol):
    """A text corpus. The class is cheap to import; ``open`` may read files or talk to a hub.

    A source of your own derives from this class, for its defaults, and sets ``label`` and ``revision``.
    """

    summary: ClassVar[str] = ""
    """One line for ``decaystudy list``."""
    tokenizer: ClassVar[str] = "bpe:2048"
    """What ``--data.tokenizer auto`` means."""
    tokenizer_bytes: ClassVar[int] = TOKENIZER_BYTES
    """Maximum size of the text, from the front of the source, that a tokenizer is trained on."""
    validation_fraction: ClassVar[float] = 0.01
    """The fraction of documents held out unless the user says otherwise."""
    settings: ClassVar[tuple[str, ...]] = ()
    """The fields of DataConfig that say which documents these are."""
    endless: ClassVar[bool] = False
    """Whether the documents are generated, without an end that anyone would wait for."""
    about_tokens: ClassVar[int | None] = None
    """Tokens of the whole text, roughly, for plans; None where that is not known before it is read."""
    counts_documents: ClassVar[bool] = False
    """Whether a small source is read once to count its documents, so that exactly the share asked for is held out."""
    grouped: bool = False
    """Whether documents say which group they belong to, which is held out whole."""
    tells_apart: ClassVar[bool] = True
    """Whether different texts that share an id are known by different ids, so that they aren't held out together."""
    stream_version: ClassVar[int] = 1
    """Raised whenever the same settings would give other tokens than before."""
    longest_text: int = LONGEST_TEXT
    """Characters; a longer text becomes several documents."""

    label: str
    """A short name for folders and messages."""
    revision: str
    """What pins the content: a commit of a hub repository or a hash of the documents."""

    @classmethod
    @abstractmethod
    def open(cls, config: "DataConfig") -> "Source":
        """The source that ``config`` names, with its revision known."""
        ...

    @classmethod
    def check(cls, config: "DataConfig") -> None:
        """Refuse what can be seen to be wrong without a network, before anything is trained.

        Raises:
            UserError: such as that a column is missing.
        """
        return None  # a body, without which the protocol asks each source for its own

    def identity(self) -> dict[str, Any]:
        """Everything that decides the documents and their order, as JSON."""
        return {"source": self.label, "revision": self.revision}

    @abstractmethod
    def parts(self) -> list[Part]:
        """All parts in source order, without reading their documents."""
        ...

    @abstractmethod
    def documents(self, part: Part) -> Iterator[Document]:
        """The documents of one part in source order."""
        ...
