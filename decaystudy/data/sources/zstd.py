"""Files packed with zstd, read from their start to their end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaystudy.errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 8192
"""Packed bytes that are unpacked at once: few, as what they become may be ten thousand times as long."""


class ZstdFile(io.RawIOBase):
    """What a file of one or more zstd frames holds.

    The library's own reader takes a file that ends within a frame for a whole one, and its text would be lost unseen.

    Raises:
        EOFError: when it is read to its end, and that is within a frame.
    """

    def __init__(self, path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise UserError(f"{path} is packed with zstd: pip install zstandard to read it") from error
        self._unpacker = zstandard.ZstdDecompressor()
        self._file = path.open("rb")
        self._frame: Any = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._ready:
            packed = self._packed or self._file.read(CHUNK)
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends within a zstd frame")
                return 0
            if self._frame is None:
                self._frame = self._unpacker.decompressobj()
            self._ready = memoryview(self._frame.decompress(packed))
            self._packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
