"""What a pass may do now: never cut power under an installation, undo only what Drydock did."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from drydock.machine.giving_back import MachineSituation, NextMove, next_move
from drydock.machine.settling import CommandAtWork, Ending, Settlement
from tests.unit.fakes import START

SETTLED = Settlement()
AT_WORK = Settlement((CommandAtWork("install", "c-1", False),))
SILENT = Settlement(silent_since=START)
UNPROVED = Settlement(unproved=(Ending("install", "c-1", START, "unproved"),))


@pytest.mark.parametrize(
    ("found", "move"),
    [
        ({}, "release"),
        ({"functions_may_be_alive": True}, "wait_for_functions"),
        ({"functions_may_be_alive": True, "settlement": AT_WORK, "started": True}, "wait_for_functions"),
        ({"settlement": AT_WORK}, "wait_for_commands"),
        ({"settlement": AT_WORK, "started": True}, "wait_for_commands"),
        ({"settlement": SILENT, "started": True}, "wait_for_commands"),
        ({"settlement": UNPROVED, "started": True}, "wait_for_commands"),
        ({"settlement": UNPROVED, "power": "stopping"}, "wait_for_commands"),
        ({"drained": True}, "run_hook"),
        ({"drained": True, "started": True}, "run_hook"),
        ({"drained": True, "settlement": AT_WORK}, "wait_for_commands"),
        ({"started": True}, "stop"),
        ({"started": True, "power": "pending"}, "stop"),
        ({"started": True, "power": "stopping"}, "wait_until_stopped"),
        ({"started": True, "power": "stopped"}, "release"),
        ({"started": True, "power": "shutting-down"}, "release"),
        ({"started": True, "power": "terminated"}, "release"),
        ({"started": True, "power": "gone"}, "release"),
        ({"power": "stopped"}, "release"),
        ({"power": "stopping"}, "release"),
    ],
    ids=lambda value: ", ".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else value,
)
def test_the_next_move_is_the_one_that_is_safe_now(found: dict[str, Any], move: NextMove) -> None:
    situation = MachineSituation(
        functions_may_be_alive=found.get("functions_may_be_alive", False),
        was_started_by_drydock=found.get("started", False),
        power=found.get("power", "running"),
        settlement=found.get("settlement", SETTLED),
        is_to_work_again=found.get("drained", False),
    )

    assert next_move(situation) == move


def test_power_is_cut_only_where_drydock_started_it_and_nothing_is_at_work() -> None:
    powers = ("pending", "running", "stopping", "stopped", "terminated", "gone")
    found = itertools.product((True, False), (True, False), powers, (SETTLED, AT_WORK, SILENT, UNPROVED))

    stops = [situation for situation in found if next_move(MachineSituation(*situation)) == "stop"]

    assert stops == [(False, True, power, SETTLED) for power in ("pending", "running")]
