from __future__ import annotations

import inspect
import re

from drydock import errors
from drydock.errors import DrydockError
from drydock.records.leases import FUNCTION_LIFETIME
from drydock.telling import text as messages
from tests.rules.project import LAYER, ROOT, retries_seconds, states

AWS_ERRORS = {
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "States.ALL",
    "States.HeartbeatTimeout",
    "States.Timeout",
}
"""The names of AWS that a state may retry or catch."""

TRANSIENT = {
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "ServiceUnavailableError",
}

OUTLIVES_A_FUNCTION = {"Announce Success"}
"""The states that meet ServiceUnavailableError as long as another function may be at the same work."""

ENDS = {"ABORTED", "TIMED_OUT"}
"""How an execution ends that failed with no error of its own."""

OWN = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, DrydockError) and one is not DrydockError
}


START_ERRORS = {
    "StepFunctions.AWSStepFunctionsException",
    "StepFunctions.ExecutionLimitExceeded",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.SdkClientException",
    "StepFunctions.ServiceUnavailableException",
    "StepFunctions.ThrottlingException",
}
"""With which Step Functions itself fails to start an execution for a state."""


def _retried() -> set[str]:
    return {name for state in states() for retrier in state.retriers for name in retrier["ErrorEquals"]}


def _named() -> set[str]:
    caught = {name for state in states() for catcher in state.catchers for name in catcher["ErrorEquals"]}
    return _retried() | caught


def test_every_error_that_a_state_names_exists() -> None:
    assert _named() - set(OWN) <= AWS_ERRORS | START_ERRORS


def test_exactly_the_errors_that_pass_by_themselves_are_retried() -> None:
    passing = {name for name in OWN if name.endswith("NotReadyError")}
    passing |= {"MemberOvertakenError", "ServiceUnavailableError"}
    assert _retried() & set(OWN) == passing


def test_states_all_is_never_retried_and_stands_alone_and_last_where_it_is_caught() -> None:
    assert "States.ALL" not in _retried()
    for state in states():
        for number, catcher in enumerate(state.catchers, 1):
            if "States.ALL" in catcher["ErrorEquals"]:
                assert catcher["ErrorEquals"] == ["States.ALL"], state.name
                assert number == len(state.catchers), state.name


def test_every_task_retries_what_is_transient_with_full_jitter() -> None:
    for state in states("Task"):
        if not state.invokes:
            # Of the same name and input, what runs is not started twice; anything else might be.
            (retrier,) = state.retriers
            assert set(retrier["ErrorEquals"]) == START_ERRORS, state.name
            assert retrier["JitterStrategy"] == "FULL", state.name
            continue
        transient = [retrier for retrier in state.retriers if TRANSIENT & set(retrier["ErrorEquals"])]
        expected = TRANSIENT if state.waits_for_token else TRANSIENT | {"States.Timeout"}
        assert {name for retrier in transient for name in retrier["ErrorEquals"]} == expected, state.name
        for retrier in transient:
            assert retrier["BackoffRate"] > 1, state.name
            outlives = state.name in OUTLIVES_A_FUNCTION and retrier["ErrorEquals"] == ["ServiceUnavailableError"]
            assert retrier.get("JitterStrategy") == (None if outlives else "FULL"), state.name


def test_what_another_function_may_be_at_is_tried_again_until_that_function_is_dead() -> None:
    """Full jitter may wait for no time at all, so these retriers have none."""
    for state in states("Task"):
        if state.name in OUTLIVES_A_FUNCTION:
            (retrier,) = [one for one in state.retriers if "ServiceUnavailableError" in one["ErrorEquals"]]
            assert "JitterStrategy" not in retrier, state.name
            assert retries_seconds(retrier) > FUNCTION_LIFETIME.total_seconds(), state.name


def test_no_error_is_named_by_two_retriers_of_a_state() -> None:
    for state in states("Task"):
        names = [name for retrier in state.retriers for name in retrier["ErrorEquals"]]
        assert len(names) == len(set(names)), state.name


def test_every_error_says_when_it_is_raised_and_is_raised() -> None:
    code = "\n".join(
        path.read_text()
        for path in sorted((LAYER / "drydock").rglob("*.py"))
        if path.name not in ("errors.py", "text.py")
    )
    for name, error in OWN.items():
        assert name.endswith("Error")
        assert (error.__doc__ or "").startswith("Raised when "), name
        assert error.__bases__ == (DrydockError,), name
        assert re.search(rf"\b{name}\b", code), f"{name} is raised nowhere"


def test_people_find_every_error_in_the_operations_page_and_no_other() -> None:
    rows = [line for line in (ROOT / "docs" / "operations.md").read_text().splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+Error)`", row.split("|")[1])]
    assert sorted(named) == sorted(OWN)


def test_advice_is_given_for_errors_that_exist() -> None:
    assert set(messages._ADVICE) <= set(OWN) | ENDS
    assert all(advice.endswith(".") for advice in messages._ADVICE.values())
