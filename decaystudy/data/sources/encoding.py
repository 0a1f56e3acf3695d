"""Bytes of text files as text: UTF-8 unless another encoding is named, and never guessed."""

import codecs

from decaystudy.errors import UserError

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks of what is not UTF-8; those of UTF-32 begin like those of UTF-16."""


def check_encoding(name: str) -> None:
    """Refuse what is no encoding of text that Python knows."""
    try:
        if "a\n".encode(name).decode(name) == "a\n":
            return
    except (LookupError, ValueError, TypeError):
        pass
    raise UserError(f"data.encoding {name[:60]!r} is no encoding of text: give one such as latin-1, cp1252 or utf-16")


def has_byte_lines(encoding: str | None) -> bool:
    """Whether a line ends where a byte is that of a line feed: in all encodings but UTF-16, UTF-32 and their like."""
    return encoding is None or ("a\nb".encode(encoding) == b"a\nb")


def decoded(content: bytes, encoding: str | None, where: str, at: int = 0) -> str:
    """The text of a file, or of a part of it that begins at byte ``at``.

    Args:
        encoding: as the user names it; None for UTF-8, with or without a byte order mark.
        where: names the file in messages.

    Raises:
        UserError: the bytes are something else; the message has the position of the first.
    """
    if encoding is None and at == 0:
        for mark, name in MARKS:
            if content.startswith(mark):
                raise UserError(
                    f"{where} is {name.upper()} (it begins with a byte order mark at byte 0): give --data.encoding "
                    f"{name}, or save it as UTF-8"
                )
    try:
        text = content.decode(encoding or ("utf-8-sig" if at == 0 else "utf-8"))
    except (UnicodeError, ValueError) as error:
        position = at + getattr(error, "start", 0)
        found = f" ({content[position - at : position - at + 1].hex()} in hexadecimal)" if content else ""
        raise UserError(
            f"{where} is not {encoding or 'UTF-8'} text at byte {position:,}{found}: give --data.encoding, such as "
            "latin-1, or save it as UTF-8"
        ) from None
    if "\0" in text:
        position = at + len(text[: text.index("\0")].encode(encoding or "utf-8"))
        raise UserError(
            f"{where} holds a NUL at byte {position:,}, as UTF-16 without a byte order mark does and text doesn't: "
            "give --data.encoding utf-16-le or utf-16-be, or another file"
        )
    return text
