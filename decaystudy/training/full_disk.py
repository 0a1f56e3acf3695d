"""A disk that has no room left."""

from __future__ import annotations

import errno


def is_full(error: BaseException) -> bool:
    """Whether the error says that a disk, or its user's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
