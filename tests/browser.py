"""A headless Chromium of this system, led by its DevTools protocol. Nothing is downloaded."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WORDS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
SEEN = """(() => {
  const parts = [];
  const look = (node) => {
    if (node.nodeType === Node.TEXT_NODE) { if (node.data.trim()) parts.push(node.data.trim()); return; }
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (["STYLE", "SCRIPT", "TEMPLATE"].includes(node.tagName)) return;
      if (getComputedStyle(node).display === "none") return;
      if (node.shadowRoot) look(node.shadowRoot);
    }
    for (const child of node.childNodes) look(child);
  };
  if (document.body) look(document.body);
  return parts.join("\\n");
})()"""
"""The text that a page shows, in shadow trees too."""


class Page:
    """One page of the browser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket, self._number = loop, socket, 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol and its answer."""
        self._number += 1
        return self._loop.run_until_complete(self._call(self._number, method, parameters))

    async def _call(self, number: int, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads((await self._socket.receive(timeout=120)).data)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, url: str) -> None:
        """Go to an address. One that differs after the # only is loaded anew too."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self) -> str:
        """What the page shows, in words."""
        return str(self.evaluate(SEEN))

    def wait(self, *words: str, seconds: float = 90) -> str:
        """What the page shows, once it shows all of these words."""
        until = time.monotonic() + seconds
        while True:
            shown = self.text()
            if all(word in shown for word in words):
                return shown
            assert time.monotonic() < until, f"{[word for word in words if word not in shown]} not in:\n{shown[:4000]}"
            time.sleep(0.5)

    def picture(self, file: Path) -> None:
        """The page as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def browser(profile: Path, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A browser with one page, and a profile of its own in that folder."""
    import aiohttp

    assert CHROMIUM is not None
    words = [CHROMIUM, *WORDS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    process = subprocess.Popen(
        [*words, "--remote-debugging-port=0", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    loop = asyncio.new_event_loop()
    try:
        port = _port(profile / "DevToolsActivePort", process)

        async def connect() -> tuple[aiohttp.ClientSession, Any]:
            session = aiohttp.ClientSession()
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

        session, socket = loop.run_until_complete(connect())
        page = Page(loop, socket)
        page.call("Page.enable")
        yield page
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(30)
        loop.close()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that Chromium has written down."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError(f"{CHROMIUM} has no port for its DevTools")
