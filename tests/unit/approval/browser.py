"""A real browser: headless Chromium, told what to do over two pipes, in the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NEEDED = "DRYDOCK_NEEDS_CHROMIUM"
"""Set where a missing Chromium is a mistake, as in continuous integration."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60
# The page needs nothing from anywhere else, and the browser shall not call home.
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab. Chromium reads commands from its file descriptor 3 and writes answers to 4, each ended by a zero."""

    def __init__(self, executable: str, profile: Path) -> None:
        commands, self._out = _high(os.pipe())
        self._in, answers = _high(os.pipe())

        def connect() -> None:
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self._process = subprocess.Popen(
            [executable, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect,
            close_fds=True,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self._events: list[Mapping[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "DOM", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Carry out one command of the protocol, and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            self._events.append(message)

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the browser said nothing for {_SECONDS} seconds"
            piece = os.read(self._in, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message

    def _wait_for(self, event: str) -> None:
        while not any(seen["method"] == event for seen in self._events):
            self._events.append(self._read())

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a phone, or a desktop, by day or by night."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> None:
        self._events.clear()
        failed = self.call("Page.navigate", url=address).get("errorText")
        assert not failed, failed
        self._wait_for("Page.loadEventFired")

    def reload(self) -> None:
        """Send the same request again, a form too."""
        self._events.clear()
        self.call("Page.reload")
        self._wait_for("Page.loadEventFired")

    @property
    def complaints(self) -> list[str]:
        """What the browser had to say against the page: what its policy forbids, for example."""
        entries = [seen["params"]["entry"] for seen in self._events if seen["method"] == "Log.entryAdded"]
        return [entry["text"] for entry in entries if entry["source"] != "network"]

    def look_up(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    @property
    def text(self) -> str:
        return str(self.look_up("document.body.innerText"))

    def _point_at(self, selector: str) -> tuple[float, float]:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"{selector}: not on the page"
        self.call("DOM.scrollIntoViewIfNeeded", nodeId=node)
        corners = self.call("DOM.getBoxModel", nodeId=node)["model"]["border"]
        return sum(corners[0::2]) / 4, sum(corners[1::2]) / 4

    def click(self, selector: str) -> None:
        x, y = self._point_at(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_through(self, selector: str) -> None:
        """Click what leads to another page."""
        self._events.clear()
        self.click(selector)
        self._wait_for("Page.loadEventFired")

    def type(self, selector: str, text: str) -> None:
        self.click(selector)
        self.call("Input.insertText", text=text)

    def press_enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
            )

    @property
    def has_sent_a_form(self) -> bool:
        """Whether the page went on to send its form, seen after everything that it was about to do."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
        self.call("Runtime.evaluate", expression=frames, awaitPromise=True)
        return any(seen["method"] == "Page.frameRequestedNavigation" for seen in self._events)

    def take_picture(self, path: Path) -> None:
        """A picture of the whole page."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """The same pipe on descriptors that are in nobody's way."""
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in pipe)
    for end in pipe:
        os.close(end)
    return high[0], high[1]
