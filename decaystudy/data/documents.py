"""Which documents are held out: a fixed hash of the id or the group against a share, whatever the seed and order."""

import hashlib


def id_hash(name: str) -> int:
    """A 64-bit hash of the id of a document, or of its group, the same on every machine."""
    content = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=b"held out").digest(), "little")


def threshold(share: float) -> int:
    """Documents whose hash lies below this are held out."""
    return int(share * 2**64)


def held_out(name: str, share: float) -> bool:
    """Whether the document of this id is held out when ``share`` of them are."""
    return id_hash(name) < threshold(share)
