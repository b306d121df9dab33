from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest

from drydock.environment import Environment
from drydock.plan.run_request import read_run_request
from tests.rules.project import ROOT, TEMPLATE, choices, functions, machines, plain, resources, statements, template

QUEUE = {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
BOUNDARY = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]}
TOLD_BY_THEMSELVES = {"MaintenanceRun"}
"""The machines of whose bad ends summarise_run tells, also once they are dead, and not alert_failure."""

CONSTRAINTS = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue", "MaxLength", "MaxValue"}


def _rules() -> dict[str, dict[str, Any]]:
    """Events that reach functions from EventBridge, by function and name."""
    found = {
        f"{function.folder}: {name}": event
        for function in functions()
        for name, event in function.properties.get("Events", {}).items()
    }
    assert found
    return found


def _asynchronous() -> set[str]:
    """Functions that are invoked without anybody who waits for the answer: by a rule, or by another function."""
    invoked = {
        resource.rsplit(":drydock-", 1)[-1]
        for statement in statements()
        if "lambda:InvokeFunction" in statement.actions and statement.owner in {one.logical_id for one in functions()}
        for resource in statement.resources
    }
    return invoked | {function.folder for function in functions() if function.properties.get("Events")}


def test_every_folder_of_functions_is_in_the_template_and_the_other_way_round() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders
    assert sorted(function.folder for function in functions()) == sorted(folders)


def test_a_function_is_named_as_its_folder() -> None:
    for function in functions():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", function.folder)
        assert function.properties["CodeUri"] == f"functions/{function.folder}/"
        assert plain(function.properties["FunctionName"]) == f"drydock-{function.folder}"
        camel = "".join(word.capitalize() for word in function.folder.split("_"))
        assert function.logical_id == f"{camel}Function"
        assert function.properties["Description"].endswith("."), function.folder


def test_no_function_but_that_which_changes_nothing_runs_longer_than_a_minute() -> None:
    # `FUNCTION_LIFETIME` says after how long an announced change is carried out, or never will be.
    assert [function.folder for function in functions() if not 0 < function.properties["Timeout"] <= 60] == ["plan_run"]


def test_every_function_has_a_role_of_its_own_within_the_boundary() -> None:
    for function in functions():
        assert "Role" not in function.properties, function.folder
        # A function that has no use for AWS is allowed nothing.
        calls = "Services" in (ROOT / function.properties["CodeUri"] / "app.py").read_text()
        assert bool(function.properties.get("Policies")) == calls, function.folder
        assert function.properties["PermissionsBoundary"] == BOUNDARY, function.folder


def test_every_machine_has_a_role_of_its_own_within_the_boundary() -> None:
    for machine in machines():
        assert "Role" not in machine.properties
        assert machine.properties["PermissionsBoundary"] == BOUNDARY


def test_functions_share_one_log_group_machines_have_their_own_and_each_is_kept_for_a_while() -> None:
    groups = {
        plain(body["Properties"]["LogGroupName"]): body["Properties"].get("RetentionInDays")
        for body in resources("AWS::Logs::LogGroup").values()
    }
    own = {f"/aws/vendedlogs/states/drydock-{machine.logical_id}" for machine in machines()}
    assert groups == {name: {"Ref": "LogRetentionDays"} for name in {"/aws/lambda/drydock", *own}}
    for function in functions():
        assert function.properties["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogs"}}, function.folder


def test_machines_end_some_day_and_log_no_execution_data() -> None:
    for machine in machines():
        assert machine.properties["Type"] == "STANDARD"
        assert machine.definition["TimeoutSeconds"] > 0
        logging = machine.properties["Logging"]
        assert logging["IncludeExecutionData"] is False
        assert logging["Level"] in ("ALL", "ERROR")
        (destination,) = logging["Destinations"]
        group = destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0]
        assert group in resources("AWS::Logs::LogGroup")


def test_what_an_asynchronous_function_could_not_do_goes_to_the_dead_letters() -> None:
    assert {"resume_waiting", "give_back", "alert_failure"} <= _asynchronous()
    for function in functions():
        queue = function.properties.get("DeadLetterQueue")
        expected = {"Type": "SQS", "TargetArn": QUEUE} if function.folder in _asynchronous() else None
        assert queue == expected, function.folder


def test_what_a_rule_could_not_deliver_goes_to_the_dead_letters() -> None:
    for name, event in _rules().items():
        assert event["Type"] in ("EventBridgeRule", "Schedule"), name
        properties = event["Properties"]
        assert properties.get("DeadLetterConfig") == {"Arn": QUEUE}, name
        assert 0 < properties.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 0) <= 86_400, name
        assert properties["RetryPolicy"]["MaximumRetryAttempts"] > 0, name


def test_rules_are_named_after_the_stack_so_that_the_queue_lets_them_in() -> None:
    names = [
        plain(event["Properties"].get("RuleName") or event["Properties"].get("Name")) for event in _rules().values()
    ]
    assert [name for name in names if not name.startswith("drydock-")] == []
    assert len(names) == len(set(names))
    (policy,) = resources("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sqs:SendMessage"
    source = plain(statement["Condition"]["ArnLike"]["aws:SourceArn"])
    assert source == "arn:aws:events:ap-northeast-1:123456789012:rule/drydock-*"


def test_rules_on_executions_listen_to_every_machine_and_every_bad_end() -> None:
    listening = {
        name: event["Properties"]["Pattern"]["detail"]
        for name, event in _rules().items()
        if "aws.states" in event["Properties"].get("Pattern", {}).get("source", [])
    }
    beginning = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:"
    every = {machine.logical_id: beginning + plain(machine.properties["Name"]) for machine in machines()}
    for detail in listening.values():
        assert set(detail["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
    heard = {name: {plain(arn) for arn in detail["stateMachineArn"]} for name, detail in listening.items()}
    assert heard == {
        "give_back: ExecutionFailed": set(every.values()),
        "alert_failure: ExecutionFailed": {arn for name, arn in every.items() if name not in TOLD_BY_THEMSELVES},
    }


def _window_task() -> dict[str, Any]:
    (task,) = resources("AWS::SSM::MaintenanceWindowTask").values()
    assert task["Condition"] == "SchedulesRuns"
    properties: dict[str, Any] = task["Properties"]
    return properties


def test_the_task_of_the_window_has_no_targets_so_that_it_starts_one_run() -> None:
    """With targets, Systems Manager starts one execution for each; the other two are refused without targets."""
    assert {"Targets", "MaxConcurrency", "MaxErrors"}.isdisjoint(_window_task())


def test_the_task_of_the_window_starts_a_run_of_that_window_only_once() -> None:
    task = _window_task()
    (parameters,) = task["TaskInvocationParameters"].values()
    assert task["TaskType"] == "STEP_FUNCTIONS"
    assert task["TaskArn"] == {"Ref": "MaintenanceRun"}
    assert parameters["Name"] == "{{WINDOW_EXECUTION_ID}}"
    assert len(parameters["Input"]) < 4_096
    values = {"WINDOW_ID": "mw-0123456789abcdef0", "WINDOW_EXECUTION_ID": "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"}
    given = json.loads(re.sub(r"{{(\w+)}}", lambda match: values[match[1]], parameters["Input"]))
    request = read_run_request(given, "{}", "/drydock/policy", values["WINDOW_EXECUTION_ID"])
    assert (request.window_id, request.window_execution_id) == tuple(values.values())


def test_everybody_reaches_the_page_of_approvals_only_where_it_takes_links() -> None:
    """Since October 2025 a URL needs two permissions; a literal NONE, to which SAM would add them, is not there."""
    permissions = resources("AWS::Lambda::Permission")
    for name, body in permissions.items():
        assert body["Condition"] == "UsesLinks", name
        assert body["Properties"]["FunctionName"] == {"Ref": "DecideRunFunction"}, name
    granted = [
        {key: value for key, value in body["Properties"].items() if key != "FunctionName"}
        for body in permissions.values()
    ]
    assert sorted(granted, key=str) == [
        {"Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True},
        {"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"},
    ]
    (url,) = resources("AWS::Lambda::Url").values()
    assert url["Properties"]["AuthType"] == {"Fn::If": ["UsesLinks", "NONE", "AWS_IAM"]}
    assert url["Properties"]["TargetFunctionArn"] == {"Fn::GetAtt": ["DecideRunFunction", "Arn"]}
    assert [function.folder for function in functions() if "FunctionUrlConfig" in function.properties] == []


def test_the_secret_of_links_exists_only_where_links_are_used_and_never_leaves_its_key() -> None:
    (key,) = resources("AWS::KMS::Key").values()
    assert key["Condition"] == "UsesLinks"
    assert (key["Properties"]["KeySpec"], key["Properties"]["KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")
    makers = {one.owner for one in statements() if any(action.startswith("kms:") for action in one.actions)}
    senders = {"AskForApprovalFunction", "SummariseRunFunction"}
    assert {one.owner for one in statements() if "kms:GenerateMac" in one.actions} == senders <= makers


def test_every_role_is_within_the_boundary() -> None:
    for name, body in resources("AWS::IAM::Role").items():
        assert body["Properties"]["PermissionsBoundary"] == BOUNDARY, name
        for statement in body["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            ours = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
            assert statement["Condition"] == {"StringEqualsIfExists": ours}, name


def test_somebody_is_told_of_dead_letters() -> None:
    (alarm,) = [
        body["Properties"]
        for body in resources("AWS::CloudWatch::Alarm").values()
        if body["Properties"]["MetricName"] == "NumberOfMessagesSent"
    ]
    assert alarm["Threshold"] == 0
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["AlarmActions"]


# A retained table of a creation that failed would be in the way of the next one. UpdateReplacePolicy has no such value:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatereplacepolicy.html
KEPT = ("RetainExceptOnCreate", "Retain")


def test_tables_are_kept_encrypted_and_can_be_set_back() -> None:
    tables = resources("AWS::DynamoDB::Table")
    assert tables
    for body in tables.values():
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == KEPT
        properties = body["Properties"]
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


def test_buckets_are_kept_encrypted_and_private() -> None:
    for body in resources("AWS::S3::Bucket").values():
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == KEPT
        assert body["Properties"]["BucketEncryption"]
        assert set(body["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}


def test_what_is_kept_and_may_be_full_has_no_name_that_a_next_stack_would_want() -> None:
    """A bucket with objects survives the rollback of its creation; a table goes with its items."""
    assert [name for name, body in resources("AWS::S3::Bucket").items() if "BucketName" in body["Properties"]] == []


def test_queues_are_encrypted() -> None:
    for body in resources("AWS::SQS::Queue").values():
        assert body["Properties"]["SqsManagedSseEnabled"] is True


def test_every_parameter_is_described_constrained_and_stands_in_a_group_with_a_label() -> None:
    interface = template()["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    parameters = template()["Parameters"]
    assert sorted(grouped) == sorted(parameters)
    assert set(interface["ParameterLabels"]) == set(parameters)
    assert all(group["Label"]["default"] for group in interface["ParameterGroups"])
    for name, parameter in parameters.items():
        assert parameter["Description"].endswith("."), name
        assert CONSTRAINTS & set(parameter), f"{name} has no constraint"
        if "AllowedPattern" in parameter:
            assert parameter.get("ConstraintDescription", "").startswith("must "), name
            assert re.fullmatch(parameter["AllowedPattern"], str(parameter["Default"])), name


def test_every_iana_name_is_a_time_zone_of_a_stack() -> None:
    pattern = template()["Parameters"]["TimeZone"]["AllowedPattern"]
    names = (files("tzdata") / "zones").read_text().split()
    assert {"EST5EDT", "GB-Eire", "NZ-CHAT", "W-SU", "America/Port-au-Prince", "Etc/GMT+9"} <= set(names)
    assert [name for name in names if not re.fullmatch(pattern, name)] == []
    assert [name for name in ("", "Asia/", "/Tokyo", "Asia Tokyo", "Asia/Tokyo\n") if re.fullmatch(pattern, name)] == []


def test_every_output_is_described() -> None:
    assert [name for name, output in template()["Outputs"].items() if not output.get("Description")] == []


def test_every_condition_is_used() -> None:
    text = TEMPLATE.read_text()
    for name in template()["Conditions"]:
        assert len(re.findall(rf"\b{name}\b", text)) > 1, name


def test_no_partition_is_taken_for_granted() -> None:
    files = [TEMPLATE, *(ROOT / "statemachines").iterdir()]
    files += [path for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in files if "arn:aws:" in path.read_text()] == []


def test_the_template_tells_functions_all_that_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STACK", "TABLE", "LOG_BUCKET", "TIME_ZONE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    for function in functions():
        variables = function.properties["Environment"]["Variables"]
        assert {"STACK", "TABLE", "LOG_BUCKET", "TIME_ZONE"} <= set(variables), function.folder
        for name, value in variables.items():
            monkeypatch.setenv(name, plain(choices(value)[0]))
    assert Environment.read().table == "drydock-State"
