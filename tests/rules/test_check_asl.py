"""The check of the state machines finds what AWS refuses, and what AWS takes and no machine of ours may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_asl import check_machine

SOUND = """
QueryLanguage: JSONata
StartAt: Look
States:
  Look:
    Type: Task
    Resource: arn:${Partition}:states:::lambda:invoke
    TimeoutSeconds: ${Seconds}
    Arguments: {FunctionName: "${Look}"}
    Assign: {count: "{% $states.result.Payload.count %}"}
    Retry:
      - {ErrorEquals: [Lambda.ServiceException], IntervalSeconds: 1, MaxAttempts: 2, BackoffRate: 2}
    Next: Enough?
  Enough?:
    Type: Choice
    Choices:
      - Condition: "{% ($limit := 3; $count > $limit and $count($states.input.x) = 0) %}"
        Next: Done
    Default: Too Few
  Done: {Type: Succeed}
  Too Few: {Type: Fail}
"""
SUBSTITUTIONS = {
    "Partition": {"Ref": "AWS::Partition"},
    "Seconds": {"Ref": "Seconds"},
    "Look": {"Fn::GetAtt": ["LookFunction", "Arn"]},
}
PARAMETERS = {"Seconds": {"Type": "Number", "Default": 60}}


def check(folder: Path, definition: str) -> list[str]:
    """What the check says about this definition."""
    file = folder / "look.asl.yaml"
    file.write_text(definition)
    properties = {"DefinitionUri": str(file), "DefinitionSubstitutions": SUBSTITUTIONS}
    return check_machine("Look", properties, PARAMETERS)


def test_a_sound_machine_is_accepted(tmp_path: Path) -> None:
    assert check(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("Default: Too Few", "Default: Nowhere", "Missing 'Next' target: Nowhere at /States/Enough?/Default"),
        ("Default: Too Few", "Default: Done", 'State "Too Few" is not reachable.'),
        ("[Lambda.ServiceException]", "[States.ALL, X]", "States.ALL must appear alone"),
        ("$count > $limit", "$cuont > $limit", "Enough?/Choices[0]/Condition: there is no $cuont"),
        ("$count > $limit", "$eval('1') > $limit", "Enough?/Choices[0]/Condition: there is no $eval"),
        ("$count > $limit", "$count > (", 'Expected ")", got "count" at /States/Enough?/Choices[0]/Condition'),
        (
            "MaxAttempts: 2, BackoffRate: 2}",
            "MaxAttempts: 2, BackoffRate: 2}\n      - {ErrorEquals: [Lambda.ServiceException]}",
            "Look: Lambda.ServiceException stands in two entries of Retry",
        ),
        ("TimeoutSeconds:", "TimeoutSecond:", "'TimeoutSecond' was unexpected"),
        ("${Seconds}", "60", "the substitution Seconds is not used"),
        ("${Look}", "${Loook}", "${Loook} is not among the DefinitionSubstitutions"),
        ("Done: {Type", "Look: {Type", "the key Look stands twice"),
    ],
)
def test_a_broken_machine_is_refused_by_name(tmp_path: Path, before: str, after: str, problem: str) -> None:
    problems = check(tmp_path, SOUND.replace(before, after))
    assert any(problem in found for found in problems), problems
