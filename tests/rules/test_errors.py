from __future__ import annotations

import inspect
import re

from drydock import errors, messages
from drydock.errors import DrydockError
from tests.rules.project import LAYER, states

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

OWN = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, DrydockError) and one is not DrydockError
}


def _retried() -> set[str]:
    return {name for state in states() for retrier in state.retriers for name in retrier["ErrorEquals"]}


def _named() -> set[str]:
    caught = {name for state in states() for catcher in state.catchers for name in catcher["ErrorEquals"]}
    return _retried() | caught


def test_every_error_that_a_state_names_exists() -> None:
    assert _named() - set(OWN) <= AWS_ERRORS


def test_exactly_the_errors_that_pass_by_themselves_are_retried() -> None:
    passing = {name for name in OWN if name.endswith("NotReadyError")} | {"ServiceUnavailableError"}
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
        (transient,) = [retrier for retrier in state.retriers if "ServiceUnavailableError" in retrier["ErrorEquals"]]
        expected = TRANSIENT if state.waits_for_token else TRANSIENT | {"States.Timeout"}
        assert set(transient["ErrorEquals"]) == expected, state.name
        assert transient["JitterStrategy"] == "FULL", state.name
        assert transient["BackoffRate"] > 1, state.name


def test_no_error_is_named_by_two_retriers_of_a_state() -> None:
    for state in states("Task"):
        names = [name for retrier in state.retriers for name in retrier["ErrorEquals"]]
        assert len(names) == len(set(names)), state.name


def test_every_error_says_when_it_is_raised_and_is_raised() -> None:
    code = "\n".join(
        path.read_text()
        for path in sorted((LAYER / "drydock").glob("*.py"))
        if path.name not in ("errors.py", "messages.py")
    )
    for name, error in OWN.items():
        assert name.endswith("Error")
        assert (error.__doc__ or "").startswith("Raised when "), name
        assert error.__bases__ == (DrydockError,), name
        assert re.search(rf"\b{name}\b", code), f"{name} is raised nowhere"


def test_advice_is_given_for_errors_that_exist() -> None:
    assert set(messages._ADVICE) <= set(OWN)
    assert all(advice.endswith(".") for advice in messages._ADVICE.values())
