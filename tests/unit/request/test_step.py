"""The step, read from what the state machine passes on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from drydock.records.holder import Holder
from drydock.request.step import Step
from tests.unit.world import EXECUTION, INSTANCE, OTHER_EXECUTION

ENTERED = "2026-01-13T01:00:00.123Z"


def an_event(
    *,
    execution: str = EXECUTION,
    entered: str = ENTERED,
    retry_count: int = 0,
    redrive_count: int | None = None,
    **more: Any,
) -> Any:
    about: dict[str, Any] = {"Id": execution, "Name": "night-1", "StartTime": "2026-01-13T00:59:00Z"}
    if redrive_count is not None:
        about["RedriveCount"] = redrive_count
    state = {"Name": "Back Up Before", "EnteredTime": entered, "RetryCount": retry_count}
    return {"context": {"Execution": about, "State": state, **more}, "instanceId": INSTANCE}


def test_a_step_says_who_asks_where_and_since_when() -> None:
    step = Step.read({**an_event(Task={"Token": "t"}), "data": {"moment": "Before"}})

    assert step.holder == Holder(EXECUTION, 0)
    assert (step.state, step.token, step.instance_id, step.data) == (
        "Back Up Before",
        "t",
        INSTANCE,
        {"moment": "Before"},
    )
    assert step.entered.isoformat(timespec="milliseconds") == "2026-01-13T01:00:00.123+00:00"


@pytest.mark.parametrize("missing", [{}, {"policy": None, "machine": None, "data": None}], ids=["absent", "null"])
def test_what_a_state_does_not_pass_on_is_empty(missing: dict[str, None]) -> None:
    step = Step.read({**an_event(), **missing})

    assert not any([step.policy, step.machine, step.data, step.token])
    assert step.data == {}


@pytest.mark.parametrize(
    "task", [{}, {"Task": None}, {"Task": {}}, {"Task": {"Token": None}}], ids=["absent", "null", "empty", "null token"]
)
def test_a_state_that_waits_for_no_token_has_none(task: dict[str, Any]) -> None:
    assert Step.read(an_event(**task)).token == ""


def test_a_step_says_what_the_execution_was_given_and_when_it_began() -> None:
    event = an_event()
    event["context"]["Execution"]["Input"] = {"instanceId": "anything"}

    step = Step.read(event)

    assert step.given == {"instanceId": "anything"}
    assert step.execution_started.isoformat() == "2026-01-13T00:59:00+00:00"
    assert Step.read(an_event()).given is None


def test_the_sequence_grows_with_every_entry_retry_and_redrive() -> None:
    events = [
        an_event(),
        an_event(retry_count=1),
        an_event(retry_count=9),
        an_event(retry_count=10),
        an_event(entered="2026-01-13T01:00:00.124Z"),
        an_event(entered="2026-01-13T09:59:59Z", retry_count=120),
        an_event(entered="2026-01-13T10:00:00Z"),
        an_event(entered="2026-01-13T01:00:00Z", redrive_count=1),
        an_event(entered="2026-01-13T01:00:00Z", redrive_count=10),
    ]

    assert all(before < after for before, after in pairwise(Step.read(event).sequence for event in events))


def test_a_holder_knows_its_name_and_account() -> None:
    holder = Step.read(an_event(redrive_count=2)).holder

    assert (holder.name, holder.account, holder.redrive_count) == ("night-1", "123456789012", 2)
    assert (holder.state_machine, holder.partition) == ("drydock-PatchInstance", "aws")


def test_a_mark_is_the_same_for_the_same_execution_and_intent_only() -> None:
    steps = [Step.read(an_event(execution=execution)) for execution in (EXECUTION, OTHER_EXECUTION)]

    marks = [step.holder.mark(intent) for step in steps for intent in ("install", "scanAfter")]

    assert len(set(marks)) == 4
    assert Step.read(an_event(retry_count=3)).holder.mark("install") == marks[0]
    assert all(len(found) == 16 for found in marks)
