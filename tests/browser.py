"""A real browser by its DevTools protocol, over a pipe: pages at a width, in light or dark, and what they look like then."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.waiting import PATIENCE


class Browser:
    """A Chromium with one page; a context manager."""

    def __init__(self, program: str, profile: Path) -> None:
        self._to, self._from = os.pipe(), os.pipe()
        # DevTools speaks on the descriptors 3 and 4, which may be these pipes' own
        read, write = (fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (self._to[0], self._from[1]))
        command = [
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--disable-quic", "--remote-debugging-pipe"),
            *(f"--user-data-dir={profile}", "about:blank"),
        ]
        script = f'exec 3<&{read} 4>&{write}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "browser", *command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in (read, write, self._to[0], self._from[1]):
            os.close(each)
        self._buffer = b""
        self._number = 0
        self.faults: list[str] = []
        # one of our own: the first page may not be there yet, and what is there may be no page
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to[1])
        os.close(self._from[0])

    _session: str | None = None

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to[1], json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found["error"]
                return found["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._from[0]], [], [], PATIENCE)[0], "the browser says nothing"
            self._buffer += os.read(self._from[0], 1 << 20)
        line, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(line)
        if found.get("method") == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
            self.faults.append(found["params"]["entry"]["text"])
        if found.get("method") == "Runtime.exceptionThrown":
            self.faults.append(found["params"]["exceptionDetails"]["text"])
        return found

    def show(self, page: Path, *, width: int, is_dark: bool, anchor: str = "") -> None:
        """Load a page at a width in pixels; narrow ones as on a phone."""
        self.look(width=width, is_dark=is_dark)
        self._call("Page.navigate", url=page.as_uri() + anchor)
        while self.value("document.readyState") != "complete" or self.value("location.pathname") != page.as_uri()[7:]:
            pass

    def look(self, *, width: int, is_dark: bool = False) -> None:
        """Set the window's width in pixels, and light or dark."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to an address, and return when its page has been read."""
        self._call("Page.navigate", url=url)
        self.wait_for(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url.split('?')[0])})")

    def wait_for(self, expression: str, *, timeout: float = PATIENCE) -> None:
        """Return when an expression of JavaScript is true."""
        deadline = time.monotonic() + timeout
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.value('document.body.innerText')}"
            time.sleep(0.05)

    def press(self, key: str, code: int) -> None:
        """Press a key, such as `Enter` with the code 13."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def whole_picture(self, *, most: int = 10_000) -> bytes:
        """Return a PNG of all of the page, or of its first `most` pixels."""
        width, height = self.value("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        height = min(height, most)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(found["data"])

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript gives; of a promise, what it becomes."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def point_at(self, x: float, y: float) -> None:
        """Move the pointer."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """Return a PNG of what is shown."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
