"""Expressions, and what a state machine tells of one that fails.

The first half of a test looks at moto as it was published. When it fails, moto has mended the defect: remove the
repair.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.antlt4utils import antlr4utils
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.jsonata import validations
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.repairs.executions import timestamp
from rehearsal.engine.repairs.jsonata import evaluate
from tests.rehearsal.engine.asl import details, invoke, items, machine, run_definition

PUBLISHED = {
    "undefined": inspect.getsource(validations._validate_null_output),
    "wait": inspect.getsource(Timestamp._create_failure_event),
    "names": inspect.getsource(Preprocessor._inner_string_of),
    "literals": inspect.getsource(antlr4utils.from_string_literal),
}

ABSENT = "{% $states.input.absent %}"
END = {"Type": "Pass"}


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"Type": "Pass", "Output": ABSENT}, "Output"),
        ({"Type": "Pass", "Output": {"a": {"b": [[1, ABSENT]]}}}, "Output/a/b[0][1]"),
        ({"Type": "Pass", "Assign": {"x": {"y": ABSENT}}}, "Assign/x/y"),
        ({"Type": "Succeed", "Output": ABSENT}, "Output"),
        ({"Type": "Fail", "Error": "E", "Cause": ABSENT}, "Cause"),
        ({"Type": "Wait", "Seconds": ABSENT}, "Seconds"),
        (
            {
                "Type": "Choice",
                "Choices": [{"Condition": "{% false %}", "Next": "B"}, {"Condition": ABSENT, "Next": "B"}],
            },
            "Choices[1]/Condition",
        ),
        (invoke(Arguments={"FunctionName": ABSENT}), "Arguments/FunctionName"),
        (invoke(TimeoutSeconds=ABSENT, Arguments={"FunctionName": "f"}), "TimeoutSeconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["Type"]),
)
def test_an_expression_that_yields_nothing_fails_the_state_and_says_where_it_stands(
    engine: EmbeddedAccount, state: dict[str, Any], field: str
) -> None:
    # LocalStack's recordings of 2024-11-21; floci-io/floci pull request 2689 (2026-08-28) names the fields.
    assert "investigate behaviour for field" in PUBLISHED["undefined"]
    others = {"B": END} if state["Type"] == "Choice" else {}
    view = run_definition(engine, machine(A=state, **others))
    reason = (
        "An error occurred while executing the state 'A' (entered at the event id #2). The JSONata expression "
        f"'$states.input.absent' specified for the field '{field}' returned nothing (undefined)."
    )
    assert (view.status, view.error, view.cause) == ("FAILED", "States.QueryEvaluationError", reason)
    assert details(view, "EvaluationFailed") == {
        "error": "States.QueryEvaluationError",
        "cause": reason,
        "state": "A",
        "location": field,
    }


def test_the_event_follows_what_the_entry_into_the_state_followed(engine: EmbeddedAccount) -> None:
    # The same recordings.
    view = run_definition(engine, machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "Output": ABSENT}))
    assert [(event["type"], event["previousEventId"]) for event in view.events[3:]] == [
        ("PassStateEntered", 3),
        ("EvaluationFailed", 3),
        ("ExecutionFailed", 5),
    ]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 + 'a'", "threw an error during evaluation. T2002: The right side of the"),
        ("$hash('a', 'no such')", "threw an error during evaluation: unsupported hash type"),
        ("function($x){$x}", "returned an unsupported result type."),
    ],
)
def test_an_expression_that_fails_says_why(engine: EmbeddedAccount, expression: str, reason: str) -> None:
    # LocalStack's recordings of 2024-11-19 for the type; floci-io/floci issue 2736 (2026-08-29) for the two sentences.
    view = run_definition(engine, machine(A={"Type": "Pass", "Output": f"{{% {expression} %}}"}))
    assert f"The JSONata expression '{expression}' specified for the field 'Output' {reason}" in str(view.cause)


def test_a_task_catches_an_expression_that_fails_in_it(engine: EmbeddedAccount) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html, "Handling expression errors".
    catcher = {"ErrorEquals": ["States.QueryEvaluationError"], "Output": "{% $states.errorOutput.Cause %}", "Next": "B"}
    view = run_definition(engine, machine(A=invoke(Arguments={"FunctionName": ABSENT}, Catch=[catcher]), B=END))
    assert view.status == "SUCCEEDED"
    assert "specified for the field 'Arguments/FunctionName'" in view.output


def test_an_expression_in_an_item_is_found_by_the_name_of_its_state(engine: EmbeddedAccount) -> None:
    inner = items(B={"Type": "Pass", "Output": {"x": ABSENT}})
    view = run_definition(engine, machine(A={"Type": "Map", "Items": [{}], "ItemProcessor": inner}))
    assert details(view, "EvaluationFailed")["location"] == "Output/x"


@pytest.mark.parametrize("text", ["2016-13-05T21:29:29Z", "2016-12-05 21:29:29Z", "2016-12-05T21:29:29", 5])
def test_a_wait_until_what_is_no_instant_is_an_evaluation_that_fails(engine: EmbeddedAccount, text: object) -> None:
    # LocalStack's recordings of 2024-12-27.
    assert "StatesErrorNameType.StatesRuntime" in PUBLISHED["wait"]
    wait = {"Type": "Wait", "Timestamp": "{% $states.input.until %}"}
    view = run_definition(engine, machine(A=wait), {"until": text})
    assert view.error == "States.QueryEvaluationError"
    found = details(view, "EvaluationFailed")
    assert (found["location"], found["cause"]) == ("Timestamp", view.cause)
    assert str(view.cause).endswith(f"extended offset date-time format string: {text}")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$partition([0], 1)", [[0]]),
        ("$partition([0, 1, 2], 2)", [[0, 1], [2]]),
        ("$partition([0, 1, 2], 2.9)", [[0, 1], [2]]),
        ("$partition([0, 1], 5)", [[0, 1]]),
        ("$range(0, 9, 3)", [0, 3, 6, 9]),
        ("$range(0, 10, 3)", [0, 3, 6, 9]),
        ("$range(1, 9, 9)", 1),
        ("$range(3, 1, -1)", [3, 2, 1]),
    ],
)
def test_arrays_are_parted_and_counted_out(expression: str, value: Any) -> None:
    # LocalStack's recordings of 2024-11-15; rounding down and steps below zero are documented in transforming-data.
    assert evaluate(expression, {}, str) == value


@pytest.mark.parametrize("text", ['say "x"', "Grüße, 世界", "😀", "a\\b", "/", "tab\there"])
def test_a_string_is_the_text_wherever_it_stands(engine: EmbeddedAccount, text: str) -> None:
    # LocalStack's recording of 2025-02-02.
    assert "json" not in PUBLISHED["names"]
    assert "ast.literal_eval" in PUBLISHED["literals"]
    name, quoted = f"State {text}", text.replace("\\", "\\\\").replace("'", "\\'")
    states: dict[str, dict[str, Any]] = {
        "A": {"Type": "Pass", "Assign": {"x": text, "y": [{"z": text}]}, "Next": name},
        name: {"Type": "Pass", "Output": ["{% $x %}", "{% $y[0].z %}", text, f"{{% '{quoted}' = $x %}}"]},
    }
    view = run_definition(engine, machine(**states))
    assert view.output == [text, text, text, True]


def test_the_context_counts_redrives_from_the_start(engine: EmbeddedAccount) -> None:
    # LocalStack's recordings of 2026-02-19.
    view = run_definition(engine, machine(A={"Type": "Pass", "Output": "{% $states.context.Execution %}"}))
    assert view.output["RedriveCount"] == 0
    assert "RedriveTime" not in view.output


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "2026-01-12T16:00:00Z"), (1_000, "2026-01-12T16:00:00.001Z"), (500_000, "2026-01-12T16:00:00.500Z")],
)
def test_an_instant_is_printed_without_a_fraction_that_is_zero(microseconds: int, text: str) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    assert timestamp(datetime(2026, 1, 12, 16, microsecond=microseconds, tzinfo=UTC)) == text
