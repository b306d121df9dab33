"""The approval page in a real browser: opened, looked at, and its buttons clicked."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from drydock.approval.deciding import decide_run
from tests.unit.approval.approving import LINK, Asking, a_machine, a_plan, asking
from tests.unit.approval.browser import NEEDED, Browser, find_chromium
from tests.unit.world import table, world

__all__ = ["asking", "table", "world"]

PHONE, DESKTOP = (360, 740), (1280, 900)
HOSTILE = "<script>document.title='owned'</script><b>web</b>-1 " + "x" * 90


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        assert not os.environ.get(NEEDED), f"{NEEDED} is set, and there is no Chromium"
        pytest.skip("there is no Chromium here (on Debian: apt-get install chromium)")
    chromium = Browser(executable, tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture
def linked(asking: Asking) -> Asking:
    """A run that waits, with a link in the mail."""
    asking.ways = LINK
    machines = [a_machine(1, name=HOSTILE), a_machine(2, power="stopped"), a_machine(3, fits=False)]
    asking.plan(a_plan(machines=machines), started_by="arn:aws:iam::123456789012:user/carla")
    asking.ask(token="t")
    return asking


@pytest.fixture
def address(linked: Asking) -> Iterator[str]:
    """The link of the mail, on a server that does what a function URL does."""

    one_by_one = threading.Lock()

    class FunctionUrl(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            event = {
                "rawPath": parts.path,
                "queryStringParameters": dict(parse_qsl(parts.query)),
                "headers": dict(self.headers.items()),
                "requestContext": {"http": {"method": self.command}},
                "body": self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(),
            }
            with one_by_one:
                response = decide_run(linked.services, linked.ways, event)
            assert response is not None
            self.send_response(response["statusCode"])
            for name, value in response["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response["body"].encode())

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    # Browsers also connect without a request, to be quicker later: that must not keep the others waiting.
    server = ThreadingHTTPServer(("127.0.0.1", 0), FunctionUrl)
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/?{urlsplit(linked.link).query}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("dark", [False, True], ids=["by day", "by night"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_fits_and_is_styled(
    browser: Browser, address: str, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    browser.resize(*size, dark=dark)

    browser.open(address)
    browser.take_picture(tmp_path / "page.png")

    assert browser.complaints == []
    assert browser.look_up("document.documentElement.scrollWidth") == size[0], "nothing is to be scrolled sideways"
    paper = "rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)"
    assert browser.look_up("getComputedStyle(document.body).backgroundColor") == paper
    assert browser.look_up("document.querySelector('.yes').getBoundingClientRect().height") >= 44, "for thumbs"
    assert browser.look_up("document.title") == "Patch 3 machines? - Drydock"
    assert "<script>" in browser.text, "a hostile name is text"


def test_somebody_approves_and_is_told_that_it_counts_once(browser: Browser, linked: Asking, address: str) -> None:
    browser.resize(*PHONE)
    browser.open(address)
    assert linked.answers == []

    browser.type("#name", "Anna")
    browser.type("#reason", "tested in staging")
    browser.click_through("button.yes")

    assert "Approved" in browser.text
    assert linked.answers == [("t", {"decision": "approved", "by": "Anna", "reason": "tested in staging"})]
    assert linked.key not in str(browser.look_up("location.href"))

    browser.reload()
    assert "was approved by Anna already" in browser.text

    browser.open(address)
    assert "This run was approved by Anna" in browser.text
    assert browser.look_up("document.forms.length") == 0
    assert len(linked.approval.decisions) == 1


def test_somebody_rejects(browser: Browser, linked: Asking, address: str) -> None:
    browser.resize(*DESKTOP)
    browser.open(address)

    browser.type("#name", "Ben")
    browser.click_through("button.no")

    assert "Nothing is touched." in browser.text
    assert [error for _, error, _ in linked.refusals] == ["ApprovalRejectedError"]


def test_neither_enter_nor_a_click_without_a_name_decides_anything(
    browser: Browser, linked: Asking, address: str
) -> None:
    browser.resize(*DESKTOP)
    browser.open(address)

    browser.click("button.yes")
    assert not browser.has_sent_a_form

    browser.type("#name", "Anna")
    browser.press_enter()
    assert not browser.has_sent_a_form

    assert linked.approval.decisions == ()


def test_a_forged_link_shows_nothing(browser: Browser, linked: Asking, address: str) -> None:
    browser.resize(*PHONE)

    browser.open(address[:-4] + "AAAA")

    assert "There is nothing here" in browser.text
    assert "web" not in browser.text
