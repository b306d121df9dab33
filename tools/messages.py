"""Print what people would read in rehearsed nights, one message after the other: `make messages`.

Read the page whole, as somebody who is woken at three: each message says in its first line whether to get up.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rehearsal.play.fleet_file import load_fleet_file
from rehearsal.play.run import MessageOutcome, rehearse

_FLEETS = Path(__file__).parents[1] / "rehearsal" / "fleets"
_RULE = "=" * 72


def page_of(fleet: Path) -> str:
    """All messages of a night, in their order: when, to which topic, subject and mail."""
    told = rehearse(load_fleet_file(fleet)).messages
    return "\n".join([_RULE, f"{fleet.stem}: {len(told)} messages", _RULE, *map(_message, told)])


def _message(message: MessageOutcome) -> str:
    return f"\n--- {message.at:%Y-%m-%d %H:%M:%S} UTC, {message.topic}\n{message.subject}\n\n{message.body}\n"


def main(named: list[str]) -> None:
    """Print the messages of the fleets that are named, or of all that come with Drydock."""
    for fleet in [Path(name) for name in named] or sorted(_FLEETS.glob("*.yaml")):
        print(page_of(fleet), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
