"""The sign of life of a run while it trains."""

from __future__ import annotations

import threading
from typing import Any

from decaystudy.runs.folder import HEARTBEAT_SECONDS, RunFolder


class Heartbeat:
    """Rewrites a run's status.json every few seconds, from a thread, so that a run in a long validation, a slow step or
    the preparation of its data still shows as alive."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def start(self) -> None:
        self.folder.write_status("running", **self.facts)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                if not self.folder.lost():
                    self.folder.write_status("running", **dict(self.facts))
            except OSError:
                continue  # a full disk must not end training; the next beat tries again
