"""What a state sends, its function reads: the keys stand in the ASL and in Python, and nothing else ties them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.rules.project import State, states
from tests.rules.steps import attributes_of, reads_of

PAYLOAD = {"instanceId": "instance_id", "policy": "policy", "machine": "machine"}
"""The keys of a payload beside `data` and `context`, and the attributes of the step that they become."""

CALLS: Mapping[str, State] = {f"{state.flow}/{state.name}": state for state in states("Task") if state.invokes}


ALSO_READ = {"stop_run": {"runId", "reason"}}
"""Of functions that people invoke as well, with the same keys: they read them from the event."""


def sent_by(state: State) -> set[str]:
    return set(state.body["Arguments"]["Payload"].get("data", {}))


def read_by(folder: str) -> set[str]:
    return {read.key for read in reads_of(folder)} | ALSO_READ.get(folder, set())


@pytest.mark.parametrize("state", CALLS.values(), ids=CALLS.keys())
def test_a_state_sends_what_its_function_cannot_do_without(state: State) -> None:
    reads = reads_of(state.function.folder)
    needed = {read.key for read in reads if not read.is_optional} - {read.key for read in reads if read.is_optional}
    payload = state.body["Arguments"]["Payload"]

    assert needed <= sent_by(state)
    assert {key for key, name in PAYLOAD.items() if name in attributes_of(state.function.folder)} <= set(payload)


@pytest.mark.parametrize("state", CALLS.values(), ids=CALLS.keys())
def test_a_function_reads_whatever_data_a_state_sends(state: State) -> None:
    assert sent_by(state) <= read_by(state.function.folder)


@pytest.mark.parametrize("folder", sorted({state.function.folder for state in CALLS.values()}))
def test_some_state_sends_whatever_data_a_function_reads(folder: str) -> None:
    sent = {key for state in CALLS.values() if state.function.folder == folder for key in sent_by(state)}

    assert {read.key for read in reads_of(folder)} <= sent
