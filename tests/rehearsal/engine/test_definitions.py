"""The rehearsal refuses the definitions that AWS refuses, in AWS's words where they are known, and takes the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rehearsal.engine.definitions import find_refusals
from tests.rehearsal.engine.asl import TOKEN, invoke, items, machine, old_machine


def refusals(definition: str, kind: str = "STANDARD") -> list[str]:
    return [str(refusal) for refusal in find_refusals(definition, kind)]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (" ", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at null"),
        ("[]", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at null"),
        ("{}", "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"),
        ('{"StartAt": "A"}', "SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /"),
    ],
)
def test_what_is_no_machine_is_refused_as_aws_did_in_2023_and_2025(text: str, refusal: str) -> None:
    # LocalStack's recordings of CreateStateMachine (2023-08-04) and ValidateStateMachineDefinition (2025-10-19).
    assert refusals(text) == [refusal]


def test_what_is_no_json_is_refused_by_its_own_code() -> None:
    # The same recording of 2025-10-19; the words are those of AWS's parser of JSON.
    (refusal,) = find_refusals("not a definition")
    assert refusal.code == "INVALID_JSON_DESCRIPTION"


@pytest.mark.parametrize("field", ["TimeoutSeconds", "Retry", "Catch"])
@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass"},
        {"Type": "Wait", "Seconds": 1},
        {"Type": "Choice", "Choices": [], "Default": "B"},
        {"Type": "Succeed"},
        {"Type": "Fail"},
        {"Type": "Map", "Items": [1], "ItemProcessor": items(C={"Type": "Pass"})},
        {"Type": "Parallel", "Branches": [{"StartAt": "C", "States": {"C": {"Type": "Succeed"}}}]},
    ],
    ids=lambda state: str(state["Type"]),
)
def test_only_states_that_can_fail_have_handlers_and_only_a_task_has_a_timeout(
    field: str, state: dict[str, Any]
) -> None:
    # floci-io/floci issue 2735, 2026-08-29.
    given = state | {field: 5 if field == "TimeoutSeconds" else []}
    found = refusals(machine(A=given, **({"B": {"Type": "Pass"}} if state["Type"] == "Choice" else {})))
    takes = state["Type"] in ("Map", "Parallel") and field != "TimeoutSeconds"
    assert found == ([] if takes else [f"SCHEMA_VALIDATION_FAILED: Field '{field}' is not supported at /States/A"])


LOOP = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (LOOP, ["MISSING_END_STATE: Workflow has no terminal state at null"]),
        (
            LOOP | {"C": {"Type": "Pass", "Next": "A"}},
            ["MISSING_END_STATE: Workflow has no terminal state at null"],
        ),
        (
            LOOP | {"C": {"Type": "Pass"}},
            ['MISSING_TRANSITION_TARGET: State "C" is not reachable. at /States/C'],
        ),
        (
            {"A": {"Type": "Pass", "Next": "NOPE"}},
            [
                "MISSING_TRANSITION_TARGET: Missing 'Next' target: NOPE at /States/A/Next",
                "MISSING_END_STATE: Workflow has no terminal state at null",
            ],
        ),
        (
            {
                "A": {"Type": "Choice", "Choices": [{"Condition": True, "Next": "Y"}], "Default": "Z"},
                "B": invoke(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "X"}]),
            },
            [
                "MISSING_TRANSITION_TARGET: Missing 'Next' target: Z at /States/A/Default",
                "MISSING_TRANSITION_TARGET: Missing 'Next' target: Y at /States/A/Choices[0]/Next",
                "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/B/Catch[0]/Next",
                'MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B',
            ],
        ),
    ],
    ids=["no end", "no end, and not reached", "not reached", "no target", "other targets"],
)
def test_every_transition_leads_to_a_state_and_every_state_is_reached(
    states: dict[str, dict[str, Any]], expected: list[str]
) -> None:
    # floci-io/floci pull request 2786, 2026-08-30.
    assert refusals(machine(**states)) == expected


def test_a_start_that_is_no_state_is_refused() -> None:
    # aws-cloudformation/cfn-lint pull request 4264, 2025-10-15.
    definition = machine(A={"Type": "Pass"}).replace('"StartAt": "A"', '"StartAt": "Z"')
    assert "MISSING_TRANSITION_TARGET: Missing 'Next' target: Z at /StartAt" in refusals(definition)


@pytest.mark.parametrize("define", [machine, old_machine])
@pytest.mark.parametrize(
    "timestamp",
    ["2016-13-05T21:29:29Z", "05-12-2016T21:29:29Z", "2016-12-05T25:29:29Z", "2016-12-05 21:29:29Z", "2016-12-05"],
)
def test_a_literal_timestamp_that_is_none_is_refused(define: Callable[..., str], timestamp: str) -> None:
    # LocalStack's recording of 2024-12-27.
    expected = "SCHEMA_VALIDATION_FAILED: String does not match RFC3339 timestamp at /States/A/Timestamp"
    assert refusals(define(A={"Type": "Wait", "Timestamp": timestamp})) == [expected]


@pytest.mark.parametrize("timestamp", ["2016-12-05T21:29:29Z", "2016-12-05T21:29:29.5+09:00"])
def test_a_literal_timestamp_is_taken_and_an_expression_only_in_jsonata(timestamp: str) -> None:
    assert refusals(old_machine(A={"Type": "Wait", "Timestamp": timestamp})) == []
    expression = {"Type": "Wait", "Timestamp": f"{{% '{timestamp}' %}}"}
    assert refusals(machine(A=expression)) == []
    assert refusals(old_machine(A=expression)) != []


@pytest.mark.parametrize(
    ("resource", "is_taken"),
    [
        ("arn:aws:states:::dynamodb:query", False),
        ("arn:aws:states:::lambda:invoke.sync", False),
        ("arn:aws:states:::sns:publish.sync:2", False),
        ("sendToken", False),
        ("arn:aws:states:::dynamodb:getItem", True),
        ("arn:aws-cn:states:::lambda:invoke.waitForTaskToken", True),
        ("arn:aws:states:::states:startExecution.sync:2", True),
        ("arn:aws:states:::aws-sdk:dynamodb:query", True),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", True),
    ],
)
def test_a_resource_that_step_functions_does_not_know_is_refused(resource: str, is_taken: bool) -> None:
    # LocalStack's recording of 2025-11-06 has dynamodb:query; the patterns are documented.
    found = refusals(machine(A=invoke(Resource=resource)))
    expected = f"SCHEMA_VALIDATION_FAILED: The resource provided {resource} is not recognized."
    assert [text.startswith(expected) for text in found] == ([] if is_taken else [True])


@pytest.mark.parametrize("pattern", [".sync", ".sync:2", ".waitForTaskToken"])
def test_an_express_machine_does_not_wait_for_anybody(pattern: str) -> None:
    # LocalStack's recordings of 2024-07-03 and 2025-10-19.
    definition = machine(A=invoke(Resource=f"arn:aws:states:::states:startExecution{pattern}"))
    expected = f"Express state machine does not support '{pattern}' service integration  at /States/A/Resource"
    assert refusals(definition) == []
    assert refusals(definition, "EXPRESS") == [f"SCHEMA_VALIDATION_FAILED: {expected}"]


def test_a_machine_in_jsonata_has_no_states_in_jsonpath() -> None:
    # LocalStack's recording of 2025-10-19.
    expected = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/A"
    assert refusals(machine(A={"Type": "Pass", "QueryLanguage": "JSONPath"})) == [
        f"SCHEMA_VALIDATION_FAILED: {expected}"
    ]
    assert refusals(old_machine(A={"Type": "Pass", "QueryLanguage": "JSONata", "Output": 1})) == []


def test_a_field_of_the_other_query_language_is_refused() -> None:
    # floci-io/floci issue 2968, 2026-09-02.
    expected = "The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata'"
    assert refusals(old_machine(A={"Type": "Pass", "Output": {}})) == [
        f"SCHEMA_VALIDATION_FAILED: {expected} QueryLanguage at /States/A"
    ]
    assert refusals(machine(A={"Type": "Pass", "ResultPath": "$.a"})) != []


def test_what_a_map_does_with_its_items_has_the_query_language_of_the_machine() -> None:
    # The same issue: the processor cannot name one, and that of the Map is not handed on.
    processor = items(B={"Type": "Pass", "Output": 1})
    chosen = {"Type": "Map", "Items": [1], "ItemProcessor": processor | {"QueryLanguage": "JSONata"}}
    assert refusals(machine(A=chosen)) == [
        "SCHEMA_VALIDATION_FAILED: Field 'QueryLanguage' is not supported at /States/A/ItemProcessor"
    ]
    mixed = {"Type": "Map", "QueryLanguage": "JSONata", "Items": [1], "ItemProcessor": processor}
    (found,) = find_refusals(old_machine(A=mixed))
    assert found.location == "/States/A/ItemProcessor/States/B"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("a[1,2)", 'Expected "]", got ","'),
        ('"unterminated', "String literal must be terminated by a matching quote"),
        ("1 +", "Unexpected end of expression"),
        ('{"a":}', 'The symbol "}" cannot be used as a unary operator'),
        ("$x :=", "Unexpected end of expression"),
        ('$match("a", /abc', "No terminating / in regular expression"),
    ],
)
def test_an_expression_that_does_not_parse_is_refused(expression: str, reason: str) -> None:
    # floci-io/floci issue 2745, 2026-08-29.
    assert refusals(machine(A={"Type": "Pass", "Output": {"v": [f"{{%{expression}%}}"]}})) == [
        f"INVALID_JSONATA_EXPRESSION: {reason} at /States/A/Output/v[0]"
    ]


@pytest.mark.parametrize("text", ["{% 1", "1 %}", " {% 1 %}", "{% 1 %} "])
def test_an_expression_is_opened_and_closed_without_spaces_around(text: str) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
    (found,) = find_refusals(machine(A={"Type": "Pass", "Output": text}))
    assert (found.code, found.location) == ("INVALID_JSONATA_EXPRESSION", "/States/A/Output")


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("phone.number", ["phone"]),
        ("$x + price", ["price"]),
        ("$$", ["$$"]),
        ("$map([1], function($v) { $v + other })", ["other"]),
        ("$states.input.orders[status = 'open'].total", []),
        ("$states.input.orders^(price){category: $sum(price)}", []),
        ("$states.input ~> |orders|{'total': price}|", []),
        ("($total := 3; $total + $states.input.count)", []),
    ],
)
def test_an_expression_names_no_field_of_a_context_item_since_there_is_none(expression: str, names: list[str]) -> None:
    # floci-io/floci issues 2670 (2026-08-28) and 2745 (2026-08-29).
    assert refusals(machine(A={"Type": "Pass", "Output": f"{{% {expression} %}}"})) == [
        f"UNSUPPORTED_JSONATA_EXPRESSION: Reference to '{name}' at the top level is not supported. at /States/A/Output"
        for name in names
    ]


def test_the_error_is_known_in_a_catcher_only_and_the_result_after_the_work_only() -> None:
    # floci-io/floci issue 2745, 2026-08-29, and
    # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html.
    error, result = "{% $states.errorOutput.Error %}", "{% $states.result.Payload %}"
    catcher = {"ErrorEquals": ["States.ALL"], "Next": "B", "Assign": {"x": error}, "Output": error}
    end = {"B": {"Type": "Pass"}}
    assert refusals(machine(A=invoke(Next="B", Assign={"y": result}, Output=result, Catch=[catcher]), **end)) == []
    for state in (
        invoke(Output=error),
        invoke(Arguments={"FunctionName": result}),
        invoke(Next="B", Catch=[catcher | {"Output": result}]),
        {"Type": "Pass", "Output": result},
    ):
        (found,) = find_refusals(machine(A=state, **(end if "Next" in state else {})))
        assert found.code == "UNSUPPORTED_JSONATA_EXPRESSION"


ASSIGNS = {"Type": "Pass", "Assign": {"x": 1}, "Next": "M"}
CATCHES = invoke(Catch=[{"ErrorEquals": ["States.ALL"], "Assign": {"x": 1}, "Next": "M"}], Next="M")
CHOOSES = {"Type": "Choice", "Choices": [{"Condition": True, "Assign": {"x": 1}, "Next": "M"}], "Default": "M"}
INNER = {"Type": "Pass", "Assign": {"x": 2}}


@pytest.mark.parametrize("outer", [ASSIGNS, CATCHES, CHOOSES], ids=["Assign", "Catch", "Choice"])
@pytest.mark.parametrize(
    "within",
    [
        {"Type": "Map", "ItemProcessor": items(B=INNER)},
        {"Type": "Map", "ItemProcessor": items(True, B=INNER)},
        {"Type": "Parallel", "Branches": [items(B={"Type": "Pass"}), items(C=INNER)]},
        {"Type": "Map", "ItemProcessor": items(B={"Type": "Map", "ItemProcessor": items(C=INNER)})},
        {
            "Type": "Map",
            "ItemProcessor": items(
                B=invoke(Catch=[{"ErrorEquals": ["X"], "Assign": {"x": 1}, "Next": "C"}]), C={"Type": "Pass"}
            ),
        },
    ],
    ids=["Map", "Distributed Map", "Parallel", "Map in a Map", "Catch in a Map"],
)
def test_a_variable_of_an_outer_scope_is_not_assigned_in_an_inner_one(
    outer: dict[str, Any], within: dict[str, Any]
) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html, "Variable scope".
    if "Branches" in within:
        for branch in within["Branches"]:
            branch.pop("ProcessorConfig", None)
    assert [text for text in refusals(machine(A=outer, M=within)) if "outer scope" in text]
    assert refusals(machine(A=json.loads(json.dumps(outer).replace('"x"', '"y"')), M=within)) == []


def test_scopes_beside_each_other_may_assign_the_same_variable() -> None:
    first = {"Type": "Map", "ItemProcessor": items(B=INNER), "Next": "N"}
    second = {"Type": "Map", "ItemProcessor": items(C=INNER)}
    assert refusals(machine(A=first, N=second)) == []


@pytest.mark.parametrize("distributed", [True, False])
def test_only_items_of_a_distributed_map_cannot_read_variables_from_outside(distributed: bool) -> None:
    # The same page: "Distributed Map states cannot currently reference variables in outer scopes".
    reads = {"Type": "Pass", "Output": "{% $x %}"}
    within = items(B={"Type": "Map", "ItemProcessor": items(C=reads)})
    outer = {"Type": "Map", "ItemProcessor": within | {"ProcessorConfig": items(distributed, B={})["ProcessorConfig"]}}
    assert len(refusals(machine(A=ASSIGNS, M=outer))) == distributed
    # Its own fields are the outer scope's still.
    selects = {"ItemSelector": {"x": "{% $x %}"}, "Items": "{% [$x] %}"}
    own = {"Type": "Map", "ItemProcessor": items(distributed, B={"Type": "Pass"}), **selects}
    assert refusals(machine(A=ASSIGNS, M=own)) == []


def label(text: str) -> dict[str, Any]:
    return {"Type": "Map", "Label": text, "ItemProcessor": items(True, B={"Type": "Pass"})}


@pytest.mark.parametrize(
    "state",
    [
        label("L" * 41),
        label("a b?"),
        {"Type": "Pass", "Assign": {"states": 1}},
        {"Type": "Pass", "Assign": {"x.y": 1}},
        {"Type": "Pass", "Assign": {"x" * 81: 1}},
        invoke(Retry=[{"ErrorEquals": ["States.ALL", "X"]}]),
        invoke(Retry=[{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]),
        invoke(".waitForTaskToken", Arguments={"FunctionName": "f", "Payload": {}}),
        invoke(".waitForTaskToken", TimeoutSeconds=60, HeartbeatSeconds=60),
        {"Type": "Map", "ItemProcessor": items(A={"Type": "Pass"})},
    ],
)
def test_what_the_documentation_forbids_is_refused(state: dict[str, Any]) -> None:
    # Pages of the developer guide: state-map-distributed, workflow-variables, concepts-error-handling,
    # connect-to-resource, state-task, statemachine-structure. No recording was found of any of them.
    assert [refusal.code for refusal in find_refusals(machine(A=state))] == ["SCHEMA_VALIDATION_FAILED"]


def test_the_name_of_a_state_has_at_most_80_characters() -> None:
    assert refusals(machine(**{"A" * 80: {"Type": "Pass"}})) == []
    assert len(refusals(machine(**{"A" * 81: {"Type": "Pass"}}))) == 1


@pytest.mark.parametrize(
    "token", [TOKEN, "{% $states.context %}", "{% $states %}", "{% {'t': $states.context.Task} %}"]
)
def test_a_task_token_may_be_passed_with_what_it_stands_in(token: str) -> None:
    arguments = {"FunctionName": "f", "Payload": {"context": token}}
    assert refusals(machine(A=invoke(".waitForTaskToken", Arguments=arguments))) == []


@pytest.mark.parametrize(
    "state",
    [
        invoke(TimeoutSeconds="{% $states.input.x %}", HeartbeatSeconds="{% 3 %}"),
        {"Type": "Pass", "Output": [0, {"a": ["{% 1 %}", "$.no.such.path"]}]},
        {"Type": "Pass", "Output": "{% $nowhereAssigned %}"},
        {"Type": "Map", "Items": "{% [1] %}", "MaxConcurrency": "{% 2 %}", "ItemProcessor": items(B={"Type": "Pass"})}
        | {"ToleratedFailureCount": "{% 1 %}", "ToleratedFailurePercentage": "{% 1 %}"},
        {"Type": "Map", "Items": [1], "Iterator": items(B={"Type": "Pass"})},
    ],
)
def test_what_aws_takes_is_taken(state: dict[str, Any]) -> None:
    # LocalStack's recordings of 2024-11-21, 2025-07-22 and 2026-02-19.
    assert refusals(machine(A=state)) == []


@pytest.mark.parametrize(
    "definition",
    [
        {"States": [], "StartAt": "A"},
        {"States": {"A": 1}, "StartAt": "A"},
        {"States": {"A": {"Type": "Choice", "Choices": [1]}}, "StartAt": "A"},
        {"States": {"A": {"Type": "Pass", "Next": 3}}, "StartAt": "A"},
        {"States": {"A": {"Type": "Sleep", "End": True}}, "StartAt": "A"},
        {"States": {"A": {"Type": "Pass"}}, "StartAt": "A"},
        {"States": {"A": {"Type": "Map", "ItemProcessor": 3, "End": True}}, "StartAt": "A"},
    ],
)
def test_a_definition_of_another_shape_is_refused_and_breaks_nothing(definition: dict[str, Any]) -> None:
    assert find_refusals(json.dumps(definition))
