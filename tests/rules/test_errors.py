from __future__ import annotations

import ast
import inspect
import re

from drydock import errors
from drydock.catalogue.english.language import ENGLISH
from drydock.catalogue.saying import knows, say
from drydock.errors import DrydockError
from drydock.telling.text import advice_for
from tests.rules.project import LAYER, ROOT, states

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
            assert retrier.get("JitterStrategy") == "FULL", state.name


def test_no_error_is_named_by_two_retriers_of_a_state() -> None:
    for state in states("Task"):
        names = [name for retrier in state.retriers for name in retrier["ErrorEquals"]]
        assert len(names) == len(set(names)), state.name


def test_every_error_says_when_it_is_raised_and_is_raised() -> None:
    code = "\n".join(path.read_text() for path in sorted((LAYER / "drydock").rglob("*.py")) if path.name != "errors.py")
    for name, error in OWN.items():
        assert name.endswith("Error")
        assert (error.__doc__ or "").startswith("Raised when "), name
        assert error.__bases__ == (DrydockError,), name
        assert re.search(rf"\b{name}\b", code), f"{name} is raised nowhere"


def _rows_of_the_operations_page(first_cell: str) -> list[list[str]]:
    """The cells of the rows of its tables whose first cell fits."""
    lines = (ROOT / "docs" / "operations.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if re.fullmatch(first_cell, row[0])]


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+Error)`", cell)


def test_people_find_every_error_in_the_operations_page_with_the_advice_of_its_messages_and_no_other() -> None:
    rows = _rows_of_the_operations_page(r"`\w+Error`(, `\w+Error`)*")
    advised = [(name, row[2].replace("`", "")) for row in rows for name in _names(row[0])]
    assert sorted(advised) == sorted((name, advice_for(name).replace("`", "")) for name in OWN)


def test_the_operations_page_says_which_errors_are_no_failure_of_a_machine() -> None:
    found = {(row[0].strip("`"), name) for row in _rows_of_the_operations_page("`[a-z_]+`") for name in _names(row[1])}
    assert found == {(error.counts_as, name) for name, error in OWN.items() if error.counts_as != "failed"}


def test_every_error_has_advice_of_its_own_in_sentences() -> None:
    advised = {key.removeprefix("advice.") for key in ENGLISH.sentences if key.startswith("advice.")}
    assert advised == {*OWN, *ENDS, "others"}
    for name in OWN:
        assert re.fullmatch(r"[A-Z].{15,}\.", advice_for(name)), name
        assert advice_for(name) != say("advice.others"), name


def test_exactly_the_errors_that_leave_a_machine_out_of_a_plan_have_a_sentence_for_that() -> None:
    """They are those that the functions make which say why a machine is left out: they return it, or None."""
    functions = [
        node
        for module in ("machine/ownership.py", "machine/refusal.py", "plan/plans.py", "plan/targets.py")
        for node in ast.walk(ast.parse((LAYER / "drydock" / module).read_text()))
        if isinstance(node, ast.FunctionDef) and node.returns and re.search(r"Error\b", ast.unparse(node.returns))
    ]
    calls = [node.func for function in functions for node in ast.walk(function) if isinstance(node, ast.Call)]
    made = {called.id for called in calls if isinstance(called, ast.Name)} & set(OWN)
    # What is pending or stopping has settled when its turn comes.
    assert made - {"InstanceNotReadyError"} == {name for name in OWN if knows(f"left_out.{name}")}
