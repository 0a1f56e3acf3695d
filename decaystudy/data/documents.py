"""Which documents are held out: a fixed hash of the id against a share, so no seed and no order comes into it."""

import hashlib

import numpy as np


def id_hash(name: str) -> int:
    """A 64-bit hash of a document's id, the same on every machine."""
    content = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, person=b"held out").digest(), "little")


def threshold(share: float) -> int:
    """Documents whose hash lies below this are held out."""
    return int(share * 2**64)


def held_out(name: str, share: float) -> bool:
    """Whether the document of this id is held out when ``share`` of them are."""
    return id_hash(name) < threshold(share)


def permutation(count: int, *key: int) -> np.ndarray:
    """A permutation of range(count) (int64) that depends on the integers of ``key`` alone.

    Sorts SplitMix64 hashes of the positions (Steele, Lea and Flood, OOPSLA 2014), which no version of numpy changes.
    """
    state = 0
    for word in key:
        state = int(_splitmix(np.array([(state + word) % 2**64], dtype=np.uint64))[0])
    hashes = _splitmix(np.arange(count, dtype=np.uint64) + np.uint64(state))
    return np.argsort(hashes, kind="stable")


def _splitmix(x: np.ndarray) -> np.ndarray:
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
