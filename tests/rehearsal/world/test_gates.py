"""Calendars, alarms and objects: what functions ask before they go on, under their own permissions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.answers import AWSError
from rehearsal.engine.deployment import Stack
from rehearsal.world.fleet import MachineSpec
from rehearsal.world.gates import Calendar, read_rule
from tests.rehearsal.conftest import ENGINE_PROJECT

Ask = Callable[..., Any]

CODE = '''"""Makes the call that its event describes."""
import boto3
from botocore.exceptions import ClientError


def handler(event, context):
    call = getattr(boto3.client(event["service"]), event["operation"])
    try:
        answer = call(**event["parameters"])
    except ClientError as error:
        return {"error": error.response["Error"]["Code"]}
    answer.pop("ResponseMetadata")
    if "Body" in answer:
        return {"body": answer["Body"].read().decode(), "type": answer["ContentType"]}
    return {key: str(value) if key == "LastModified" else value for key, value in answer.items()}
'''


@pytest.fixture
def account(tmp_path: Path) -> Iterator[EmbeddedAccount]:
    """An account for an application of one function."""
    folder = tmp_path / "functions" / "ask"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(CODE)
    with EmbeddedAccount(project=tmp_path) as opened:
        yield opened


@pytest.fixture
def ask(account: EmbeddedAccount, tmp_path: Path) -> Ask:
    """Let a function with the statements given as (action, resource), in place of the one before, make one call."""
    stacks: list[str] = []

    def call(*grants: tuple[str, str], service: str, operation: str, **parameters: Any) -> Any:
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in grants]
        properties = {
            "FunctionName": "drydock-ask",
            "CodeUri": "functions/ask/",
            "Handler": "app.handler",
            "Runtime": "python3.13",
            "Policies": [{"Statement": statements}] if statements else [],
        }
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Resources": {"Ask": {"Type": "AWS::Serverless::Function", "Properties": properties}},
        }
        path = tmp_path / "template.yaml"
        path.write_text(yaml.safe_dump(template))
        if stacks:
            account.delete_stack(stacks.pop())
        stacks.append(f"stack-{account.make_uuid()}")
        account.deploy(template=path, stack=stacks[-1])
        event = {"service": service, "operation": operation, "parameters": parameters}
        return json.loads(account.functions.invoke("drydock-ask", json.dumps(event)).payload)

    return call


def at(account: EmbeddedAccount, hours: float) -> datetime:
    """So many hours after now."""
    return (account.clock.now() + timedelta(hours=hours)).replace(microsecond=0)


def state(account: EmbeddedAccount, *names: str, **more: Any) -> dict[str, str]:
    answer = account.client("ssm").get_calendar_state(CalendarNames=list(names), **more)
    del answer["ResponseMetadata"]
    return dict(answer)


def refusal(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def print_time(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def put_alarm(account: EmbeddedAccount, name: str) -> None:
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Shop",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=["arn:aws:sns:ap-northeast-1:123456789012:pager"],
    )


def alarm_states(account: EmbeddedAccount, **parameters: Any) -> dict[str, str]:
    answer = account.client("cloudwatch").describe_alarms(**parameters)
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer["MetricAlarms"] + answer["CompositeAlarms"]}


def test_a_calendar_that_is_open_by_default_is_closed_in_its_periods(account: EmbeddedAccount) -> None:
    start, end = at(account, 1), at(account, 2)
    account.calendars["freeze"] = Calendar("DEFAULT_OPEN", [(start, end)])
    assert state(account, "freeze") == {
        "State": "OPEN",
        "AtTime": print_time(account.clock.now()),
        "NextTransitionTime": print_time(start),
    }
    account.clock.call_at(start, lambda: None)
    account.run_until_quiet()
    assert state(account, "freeze")["State"] == "CLOSED"
    assert state(account, "freeze")["NextTransitionTime"] == print_time(end)
    account.clock.call_at(end, lambda: None)
    account.run_until_quiet()
    assert state(account, "freeze") == {"State": "OPEN", "AtTime": print_time(end)}


def test_a_calendar_that_is_closed_by_default_is_open_in_its_periods(account: EmbeddedAccount) -> None:
    account.calendars["nights"] = Calendar("DEFAULT_CLOSED", [(at(account, 1), at(account, 2))])
    assert state(account, "nights")["State"] == "CLOSED"
    assert state(account, "nights", AtTime=at(account, 1.5).isoformat())["State"] == "OPEN"


def test_calendars_are_open_together_only_when_each_is(account: EmbeddedAccount) -> None:
    account.calendars["freeze"] = Calendar("DEFAULT_OPEN", [(at(account, 1), at(account, 3))])
    account.calendars["nights"] = Calendar("DEFAULT_CLOSED", [(at(account, 2), at(account, 6))])
    both = state(account, "freeze", "arn:aws:ssm:ap-northeast-1:123456789012:document/nights")
    assert both["State"] == "CLOSED"
    assert both["NextTransitionTime"] == print_time(at(account, 3))


def test_periods_that_touch_are_one(account: EmbeddedAccount) -> None:
    account.calendars["freeze"] = Calendar(
        "DEFAULT_OPEN", [(at(account, 0), at(account, 1)), (at(account, 1), at(account, 4))]
    )
    assert state(account, "freeze")["NextTransitionTime"] == print_time(at(account, 4))


def test_what_is_no_calendar_is_refused(account: EmbeddedAccount) -> None:
    ask = account.client("ssm").get_calendar_state
    account.client("ssm").create_document(
        Name="a-command",
        Content=json.dumps({"schemaVersion": "2.2", "mainSteps": []}),
        DocumentType="Command",
        DocumentFormat="JSON",
    )
    account.calendars["strange"] = Calendar(supported=False)
    account.calendars["good"] = Calendar()
    assert refusal(ask, CalendarNames=["nobody"]) == "InvalidDocument"
    assert refusal(ask, CalendarNames=["good", "nobody"]) == "InvalidDocument"
    assert refusal(ask, CalendarNames=["a-command"]) == "InvalidDocumentType"
    assert refusal(ask, CalendarNames=["strange"]) == "UnsupportedCalendarException"
    assert refusal(ask, CalendarNames=["good"], AtTime="tomorrow") == "ValidationException"


def test_a_function_may_ask_for_the_calendars_that_its_role_names(account: EmbeddedAccount, ask: Ask) -> None:
    account.calendars["freeze"] = Calendar()
    account.calendars["other"] = Calendar()
    grant = ("ssm:GetCalendarState", "arn:aws:ssm:ap-northeast-1:123456789012:document/freeze")
    call: dict[str, Any] = {"service": "ssm", "operation": "get_calendar_state"}
    assert ask(grant, **call, CalendarNames=["freeze"])["State"] == "OPEN"
    assert ask(grant, **call, CalendarNames=["freeze", "other"]) == {"error": "AccessDeniedException"}


def test_calendars_and_alarms_work_beside_a_fleet(account: EmbeddedAccount) -> None:
    with account.open_fleet():
        account.calendars["freeze"] = Calendar()
        put_alarm(account, "errors")
        assert state(account, "freeze")["State"] == "OPEN"
        assert alarm_states(account) == {"errors": "INSUFFICIENT_DATA"}


def test_a_new_alarm_knows_nothing_until_its_state_is_set(account: EmbeddedAccount) -> None:
    put_alarm(account, "errors")
    assert alarm_states(account, AlarmNames=["errors"]) == {"errors": "INSUFFICIENT_DATA"}
    account.alarms.set_state("errors", "OK")
    put_alarm(account, "errors")
    assert alarm_states(account, AlarmNames=["errors", "nobody"]) == {"errors": "OK"}


def test_an_alarm_rings_at_its_time_and_says_so_on_the_bus(account: EmbeddedAccount) -> None:
    put_alarm(account, "errors")
    account.alarms.set_state("errors", "OK")
    account.alarms.set_state("errors", "ALARM", at(account, 2), reason="too many errors")
    account.clock.call_later(3 * 3600, lambda: None)
    account.run_until_quiet()
    (alarm,) = account.client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
    assert alarm["StateReason"] == "too many errors"
    assert account.clock.now() - alarm["StateTransitionedTimestamp"] == timedelta(hours=1)
    event = account.bus.events[-1]
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert (event["detail"]["previousState"]["value"], event["detail"]["state"]["value"]) == ("OK", "ALARM")


def test_an_alarm_to_come_does_not_keep_a_run_going(account: EmbeddedAccount) -> None:
    put_alarm(account, "errors")
    account.alarms.set_state("errors", "ALARM", at(account, 2))
    account.run_until_quiet()
    assert account.alarms.state("errors") == "INSUFFICIENT_DATA"


def test_people_set_and_delete_alarms_through_the_api(account: EmbeddedAccount) -> None:
    client = account.client("cloudwatch")
    put_alarm(account, "errors")
    client.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a drill")
    assert account.alarms.state("errors") == "ALARM"
    client.delete_alarms(AlarmNames=["errors"])
    assert alarm_states(account) == {}
    assert refusal(client.delete_alarms, AlarmNames=["errors"]) == "ResourceNotFound"
    drill = {"AlarmName": "errors", "StateValue": "OK", "StateReason": "a drill"}
    assert refusal(client.set_alarm_state, **drill) == "ResourceNotFound"


def test_a_composite_alarm_follows_its_rule_and_is_shown_only_on_request(account: EmbeddedAccount) -> None:
    client = account.client("cloudwatch")
    for name in ("errors", "latency", "maintenance"):
        put_alarm(account, name)
    client.put_composite_alarm(AlarmName="shop", AlarmRule='ALARM("errors") OR ALARM(latency)')
    client.put_composite_alarm(AlarmName="page", AlarmRule="ALARM(shop) AND NOT ALARM('maintenance')")
    composite = {"AlarmTypes": ["CompositeAlarm"]}
    assert alarm_states(account, **composite) == {"page": "OK", "shop": "OK"}
    account.alarms.set_state("latency", "ALARM")
    assert alarm_states(account, **composite) == {"page": "ALARM", "shop": "ALARM"}
    account.alarms.set_state("maintenance", "ALARM")
    assert alarm_states(account, **composite) == {"page": "OK", "shop": "ALARM"}
    assert alarm_states(account, AlarmNames=["shop"]) == {}
    assert set(alarm_states(account, AlarmTypes=["CompositeAlarm", "MetricAlarm"])) >= {"shop", "errors"}


def test_a_rule_about_alarms_that_do_not_exist_is_refused(account: EmbeddedAccount) -> None:
    put = account.client("cloudwatch").put_composite_alarm
    for rule in ("ALARM(nobody)", "ALARM(", "TRUE FALSE", "(TRUE", "AND TRUE", "errors"):
        assert refusal(put, AlarmName="all", AlarmRule=rule) == "ValidationError"


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("TRUE OR FALSE AND FALSE", True),
        ("(TRUE OR FALSE) AND FALSE", False),
        ("NOT FALSE AND NOT (ALARM(a) AND OK(b))", False),
        ("INSUFFICIENT_DATA(arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:c)", True),
    ],
)
def test_not_binds_closer_than_and_and_and_closer_than_or(rule: str, holds: bool) -> None:
    check, _ = read_rule(rule)
    assert check({"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}) is holds


def test_a_rule_that_is_none_says_where() -> None:
    with pytest.raises(AWSError, match="nonsense"):
        read_rule("ALARM(a) nonsense")


def test_alarms_come_in_pages_and_by_prefix(account: EmbeddedAccount) -> None:
    for number in range(5):
        put_alarm(account, f"shop-{number}")
    put_alarm(account, "bank")
    pages = account.client("cloudwatch").get_paginator("describe_alarms")
    sizes = [len(page["MetricAlarms"]) for page in pages.paginate(AlarmNamePrefix="shop-", MaxRecords=2)]
    assert sizes == [2, 2, 1]
    ask = account.client("cloudwatch").describe_alarms
    assert refusal(ask, AlarmNamePrefix="shop-", AlarmNames=["bank"]) == "ValidationError"
    assert len(alarm_states(account, ActionPrefix="arn:aws:sns:")) == 6


def test_composite_alarms_are_described_only_to_those_who_may_describe_all(ask: Ask) -> None:
    alarm = ("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:errors")
    anything = ("cloudwatch:DescribeAlarms", "*")
    call: dict[str, Any] = {"service": "cloudwatch", "operation": "describe_alarms", "AlarmNames": ["errors"]}
    composite = {**call, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
    denied = {"error": "AccessDeniedException"}
    assert ask(**call) == denied
    assert ask(alarm, **call)["MetricAlarms"] == []
    assert ask(alarm, **composite) == denied
    assert ask(anything, **composite)["CompositeAlarms"] == []


def test_the_alarms_of_a_stack_are_alarms(tmp_path: Path) -> None:
    properties = {
        "AlarmName": {"Fn::Sub": "${AWS::StackName}-Errors"},
        "Namespace": "Shop",
        "MetricName": "Errors",
        "Statistic": "Sum",
        "Period": {"Ref": "Period"},
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    rule = {"AlarmName": "any", "AlarmRule": {"Fn::Sub": 'ALARM("${Errors}")'}}
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {"Period": {"Type": "Number", "Default": 300}},
        "Resources": {
            "Errors": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties},
            "Any": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": rule},
        },
    }
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template))
    with EmbeddedAccount(project=tmp_path) as account:
        stack = account.deploy()
        (alarm,) = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
        assert (alarm["AlarmName"], alarm["Period"], alarm["Threshold"]) == ("drydock-Errors", 300, 0.0)
        assert stack.resource("Errors") == "drydock-Errors"
        account.alarms.set_state("drydock-Errors", "ALARM")
        assert account.alarms.state("any") == "ALARM"


def test_a_function_lists_a_group_with_the_permissions_that_the_guide_asks_for(
    account: EmbeddedAccount, ask: Ask
) -> None:
    group = ("resource-groups:ListGroupResources", "arn:aws:resource-groups:ap-northeast-1:123456789012:group/web")
    tags = ("tag:GetResources", "*")
    with account.open_fleet() as fleet:
        fleet.add(MachineSpec(name="web-1", tags={"Stage": "prod"}))
        fleet.add_resource_group("web", tags={"Stage": "prod"})
        call: dict[str, Any] = {"service": "resource-groups", "operation": "list_group_resources", "Group": "web"}
        assert ask(group, **call) == {"error": "AccessDeniedException"}
        assert len(ask(group, tags, **call)["Resources"]) == 1


def test_an_object_is_written_and_read_under_the_functions_role(account: EmbeddedAccount, ask: Ask) -> None:
    account.client("s3").create_bucket(
        Bucket="plans", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    write, read = ("s3:PutObject", "arn:aws:s3:::plans/runs/*"), ("s3:GetObject", "arn:aws:s3:::plans/runs/*")
    put: dict[str, Any] = {
        "service": "s3",
        "operation": "put_object",
        "Bucket": "plans",
        "Body": "[1]",
        "ContentType": "application/json",
    }
    get: dict[str, Any] = {"service": "s3", "operation": "get_object", "Bucket": "plans"}
    began = account.clock.time()
    assert "ETag" in ask(write, read, **put, Key="runs/1.json")
    assert account.clock.time() - began == pytest.approx(0.05, abs=0.001)
    assert ask(write, read, **get, Key="runs/1.json") == {"body": "[1]", "type": "application/json"}
    assert ask(write, read, **put, Key="other/1.json") == {"error": "AccessDenied"}
    assert ask(write, **get, Key="runs/1.json") == {"error": "AccessDenied"}


def test_a_conditional_write_finds_that_the_object_is_there_already(account: EmbeddedAccount, ask: Ask) -> None:
    account.client("s3").create_bucket(
        Bucket="plans", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    grant = ("s3:PutObject", "arn:aws:s3:::plans/*")
    call: dict[str, Any] = {
        "service": "s3",
        "operation": "put_object",
        "Bucket": "plans",
        "Key": "1.json",
        "IfNoneMatch": "*",
    }
    assert "ETag" in ask(grant, **call, Body="first")
    assert ask(grant, **call, Body="second") == {"error": "PreconditionFailed"}
    body = account.client("s3").get_object(Bucket="plans", Key="1.json")["Body"].read()
    assert body == b"first"


def test_a_missing_object_looks_forbidden_to_those_who_may_not_list_the_bucket(
    account: EmbeddedAccount, ask: Ask
) -> None:
    account.client("s3").create_bucket(
        Bucket="plans", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    read, list_ = ("s3:GetObject", "arn:aws:s3:::plans/*"), ("s3:ListBucket", "arn:aws:s3:::plans")
    call: dict[str, Any] = {"service": "s3", "operation": "get_object", "Bucket": "plans", "Key": "nothing"}
    assert ask(read, **call) == {"error": "AccessDenied"}
    assert ask(read, list_, **call) == {"error": "NoSuchKey"}


def test_the_stacks_own_bucket_takes_objects() -> None:
    with EmbeddedAccount() as account:
        stack: Stack = account.deploy()
        bucket = stack.resource("LogBucket")
        account.client("s3").put_object(Bucket=bucket, Key="a.json", Body=b"{}", ContentType="application/json")
        answer = account.client("s3").get_object(Bucket=bucket, Key="a.json")
        assert (answer["Body"].read(), answer["ContentType"]) == (b"{}", "application/json")


def test_alarms_that_are_not_simulated_fail_loudly() -> None:
    with (
        EmbeddedAccount(project=ENGINE_PROJECT) as account,
        pytest.raises(NotImplementedError, match="DescribeAlarmHistory"),
    ):
        account.client("cloudwatch").describe_alarm_history()
