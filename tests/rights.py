"""Commands under the permissions of files, which root may otherwise pass over."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

RIGHTS = ["--bounding-set=-dac_override,-dac_read_search"]
"""Of root, which may otherwise read and write where nobody may."""


def without_rights(command: Sequence[str], cache: Path) -> tuple[int, str]:
    """Exit code and output of a command that may read and write only where the permissions of files allow it."""
    words = [*command]
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may read and write anywhere, and there is no setpriv")
        words = ["setpriv", *RIGHTS, *command]
    environment = {**os.environ, "DECAYSTUDY_CACHE": str(cache)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr
