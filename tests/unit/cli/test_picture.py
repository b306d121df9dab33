"""The picture at the bottom of a terminal: what it leaves on the screen."""

from __future__ import annotations

import io
import re

from drydock_cli.terminal import Terminal, columns


class Screen:
    """As much of a terminal as the command uses: lines that wrap, and those that are gone again."""

    def __init__(self, wide: int, high: int) -> None:
        self.wide, self.high = wide, high
        self.rows: list[str] = []

    def show(self, text: str) -> None:
        for piece in re.split(r"(\x1b\[\d+F\x1b\[J|\n)", text):
            gone = re.fullmatch(r"\x1b\[(\d+)F\x1b\[J", piece)
            if gone:
                assert int(gone[1]) < self.high, "what has scrolled away cannot be taken back"
                del self.rows[len(self.rows) - int(gone[1]) :]
            elif piece and piece != "\n":
                plain = re.sub(r"\x1b\[\d*m", "", piece)
                self.rows += [plain[at : at + self.wide] for at in range(0, len(plain), self.wide)]

    def narrow(self, wide: int) -> None:
        """The window is made narrower: its lines take more rows."""
        self.wide = wide
        self.rows = [row[at : at + wide] for row in self.rows for at in range(0, len(row), wide)]


class On(io.StringIO):
    """An output that a screen shows."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def write(self, text: str) -> int:
        self._screen.show(text)
        return len(text)


def make_terminal(screen: Screen) -> Terminal:
    out = On(screen)
    size = lambda: (screen.wide, screen.high)  # noqa: E731
    return Terminal(out=out, err=out, answers=io.StringIO(), has_picture=True, has_colours=True, size=size)


def test_a_picture_takes_the_place_of_the_last_one_and_events_stand_above_it() -> None:
    screen = Screen(80, 24)
    terminal = make_terminal(screen)

    terminal.draw(["2 in work", "  web-1: the installation", "  web-2: the installation"])
    terminal.say("01:05  web-2: succeeded")
    terminal.draw(["1 in work", "  web-1: the proving scan"])
    terminal.note("throttled; looking again")
    terminal.draw(["1 in work", "  web-1: the proving scan"])

    assert screen.rows == [
        "01:05  web-2: succeeded",
        "drydock: throttled; looking again",
        "1 in work",
        "  web-1: the proving scan",
    ]
    terminal.wipe()
    assert len(screen.rows) == 2


def test_no_stale_row_stays_where_a_window_was_made_narrower() -> None:
    screen = Screen(80, 24)
    terminal = make_terminal(screen)

    terminal.draw(["x" * 70, "y" * 70])
    screen.narrow(50)
    terminal.draw(["z" * 70])

    assert screen.rows == ["z" * 48 + "…"]
    assert columns(screen.rows[0]) == 49


def test_without_a_terminal_there_is_no_picture() -> None:
    out = io.StringIO()

    Terminal(out=out, err=out, answers=io.StringIO()).draw(["1 in work"])

    assert out.getvalue() == ""
