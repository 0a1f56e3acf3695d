"""A source's documents as they are tokenized: long texts in pieces, and different texts under different ids."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from decaystudy.data.documents import id_hash
from decaystudy.data.sources.base import Document, Source
from decaystudy.errors import UserError

LOOK_BACK = 4
"""A piece is cut at a blank line, a line's end or a space in its last quarter, if there is one."""


@dataclass
class Changes:
    """What was done to documents, for one warning."""

    split: int = 0
    pieces: int = 0
    renamed: int = 0

    def __str__(self) -> str:
        said = []
        if self.split:
            long = "long text becomes" if self.split == 1 else "long texts become"
            said.append(f"{self.split:,} {long} {self.pieces:,} documents")
        if self.renamed:
            said.append(f"{self.renamed:,} documents share the id of another and are told apart by their text")
        return "; ".join(said)


def distinct(source: Source, documents: Iterable[Document], changes: Changes) -> Iterator[Document]:
    """The documents of a part: none longer than the source's longest, and different texts with different ids.

    An id that stands for a second text gets a suffix that depends on that text alone, so neither order nor the number
    of processes matters. Equal texts under one id stay together, on one side of what is held out.
    """
    texts: dict[int, int] = {}
    for document in documents:
        check_document(document, source)
        if document.group is not None and not source.grouped:
            raise UserError(f"the source {source.label} names groups of documents: set grouped = True in its class")
        pieces = split(document.text, source.longest_text)
        if len(pieces) > 1:
            changes.split += 1
            changes.pieces += len(pieces)
        for number, text in enumerate(pieces, 1):
            if document.id == document.text:  # a document without an id is known by its text, and so are its pieces
                yield document._replace(id=text, text=text)
                continue
            name = document.id if len(pieces) == 1 else f"{document.id}#{number}"
            mark = id_hash(text)
            if source.tells_apart and texts.setdefault(id_hash(name), mark) != mark:
                changes.renamed += 1
                name = f"{name}#{mark:016x}"
            yield document._replace(id=name, text=text)


def check_document(document: object, source: Source) -> None:
    """Refuse what a source of the user's own may give in place of a document.

    Raises:
        UserError: it is something else, or its id or text is no text.
    """
    if not isinstance(document, Document):
        raise UserError(
            f"the source {source.label} gives {type(document).__name__} where a decaystudy.data.Document belongs: its "
            "documents(part) must yield Document(id, text)"
        )
    for name in ("id", "text"):
        if not isinstance(value := getattr(document, name), str):
            raise UserError(
                f"the source {source.label} gives a document whose {name} is {type(value).__name__}, not str: mend its "
                "documents(part)"
            )


def split(text: str, longest: int) -> list[str]:
    """The text in pieces of at most ``longest`` characters, which together are the text."""
    if len(text) <= longest:
        return [text]
    pieces, start = [], 0
    while start < len(text):
        end = start + longest
        if end < len(text):
            from_here = end - max(1, longest // LOOK_BACK)
            cuts = (text.rfind(mark, from_here, end) + len(mark) for mark in ("\n\n", "\n", " "))
            end = next((cut for cut in cuts if cut > from_here), end)
        pieces.append(text[start:end])
        start = end
    return pieces
