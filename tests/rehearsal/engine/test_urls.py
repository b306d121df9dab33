"""Function URLs: who may call them, what the function sees, what the caller gets, and the same over real HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.account import EmbeddedAccount
from rehearsal.play.serve import Server, serve_api, serve_url
from rehearsal.world.fleet import MachineSpec
from tests.rehearsal.conftest import ENGINE_PROJECT

CODE = '''"""Answers with its event, or as the event's path says."""
import base64
import json
import time


def handler(event, context):
    path = event["rawPath"]
    if path == "/page":
        headers = {"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY"}
        return {"statusCode": 201, "headers": headers, "body": "<p>caf\\u00e9</p>", "cookies": ["a=1", "b=2"]}
    if path == "/picture":
        body = base64.b64encode(b"\\x89PNG").decode()
        return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": body, "isBase64Encoded": True}
    if path == "/text":
        return "hello"
    if path == "/slow":
        time.sleep(2)
    if path == "/too-slow":
        time.sleep(60)
    if path == "/wrong":
        raise ValueError("wrong")
    if path == "/decide":
        address = "https://" + event["headers"]["host"] + "/page"
        return {"statusCode": 303, "headers": {"Location": address}}
    if path == "/object":
        return {"statusCode": 200, "body": {"not": "text"}}
    return event
'''
PERSON = "arn:aws:sts::123456789012:assumed-role/Operator/jane"
STRANGER = "arn:aws:iam::999999999999:user/joe"
BOTH = (
    {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
)

Deploy = Callable[..., str]

CLIENT = """
import json, os, sys, boto3
from botocore.exceptions import ClientError
def make(service):
    return boto3.client(service, endpoint_url=sys.argv[1], region_name="ap-northeast-1",
                        aws_access_key_id="a", aws_secret_access_key="b")
answers = []
def note(call, pick=lambda answer: answer):
    try:
        answers.append(pick(call()))
    except ClientError as error:
        answers.append({"error": error.response["Error"]["Code"]})
exec(sys.argv[2])
print(json.dumps(answers, default=str))
"""


def call_from_outside(server: Server, calls: str, step: timedelta = timedelta(0)) -> list[Any]:
    """Make calls with boto3 in a process of its own."""
    command = [sys.executable, "-c", CLIENT, server.address, calls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        server.pump(lambda: process.poll() is not None, step)
        assert process.stdout is not None
        answers: list[Any] = json.loads(process.stdout.read())
    return answers


def visit(server: Server, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
    """Make an HTTP request over a socket, as a browser does."""
    found: list[http.client.HTTPResponse] = []

    def browse() -> None:
        connection = http.client.HTTPConnection(server.address.removeprefix("http://"))
        connection.request(method, path, body or None, headers)
        found.append(connection.getresponse())

    thread = threading.Thread(target=browse)
    thread.start()
    server.pump(lambda: not thread.is_alive())
    return found[0]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[EmbeddedAccount]:
    """An account for an application of one function."""
    folder = tmp_path / "functions" / "answer"
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(CODE)
    with EmbeddedAccount(project=tmp_path) as opened:
        yield opened


@pytest.fixture
def deploy(account: EmbeddedAccount, tmp_path: Path) -> Deploy:
    """Deploy the function with a URL and permissions, in place of the one before; returns the URL."""
    stacks: list[str] = []

    def make(auth_type: str, permissions: Sequence[Mapping[str, Any]] = (), principal: str = "*") -> str:
        resources: dict[str, Any] = {
            "Answer": {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "FunctionName": "drydock-answer",
                    "CodeUri": "functions/answer/",
                    "Handler": "app.handler",
                    "Runtime": "python3.13",
                    "Timeout": 10,
                },
            },
            "Url": {
                "Type": "AWS::Lambda::Url",
                "Properties": {"TargetFunctionArn": {"Fn::GetAtt": ["Answer", "Arn"]}, "AuthType": auth_type},
            },
        }
        for number, permission in enumerate(permissions):
            resources[f"Permission{number}"] = {
                "Type": "AWS::Lambda::Permission",
                "Properties": {"FunctionName": {"Ref": "Answer"}, "Principal": principal, **permission},
            }
        outputs = {"Url": {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}}}
        template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources, "Outputs": outputs}
        (tmp_path / "template.yaml").write_text(yaml.safe_dump(template))
        if stacks:
            account.delete_stack(stacks.pop())
        stacks.append(f"stack-{account.make_uuid()}")
        return account.deploy(stack=stacks[-1]).outputs["Url"]

    return make


def test_a_url_has_the_form_of_awss_and_stays_the_same(deploy: Deploy) -> None:
    url = deploy("NONE")
    identifier = url.removeprefix("https://").removesuffix(".lambda-url.ap-northeast-1.on.aws/")
    assert len(identifier) == 32
    assert identifier.isalnum()
    assert identifier == identifier.lower()


def test_a_function_sees_the_request_in_payload_format_2(account: EmbeddedAccount, deploy: Deploy) -> None:
    url = deploy("NONE", BOTH)
    answer = account.urls.request(
        url,
        "POST",
        "/approve",
        "run=1&name=a&name=b&empty=",
        headers={"User-Agent": "browser", "Content-Type": "application/json", "Cookie": "a=1; b=2"},
        body='{"yes": true}',
    )
    event = json.loads(answer.body)
    assert answer.status == 200
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/approve"
    assert event["rawQueryString"] == "run=1&name=a&name=b&empty="
    assert event["queryStringParameters"] == {"run": "1", "name": "a,b", "empty": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["body"] == '{"yes": true}'
    assert event["isBase64Encoded"] is False
    assert event["headers"]["content-type"] == "application/json"
    assert event["headers"]["host"] == url.removeprefix("https://").rstrip("/")
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/approve",
        "protocol": "HTTP/1.1",
        "sourceIp": "203.0.113.7",
        "userAgent": "browser",
    }
    assert context["accountId"] == "anonymous"
    assert "authorizer" not in context
    assert context["timeEpoch"] == pytest.approx(account.clock.time() * 1000, abs=1000)


def test_a_link_is_followed_with_its_path_and_query(account: EmbeddedAccount, deploy: Deploy) -> None:
    event = json.loads(account.urls.request(f"{deploy('NONE', BOTH)}approve?run=1", body="").body)
    assert (event["rawPath"], event["queryStringParameters"]) == ("/approve", {"run": "1"})
    assert "body" not in event
    assert event["requestContext"]["http"]["method"] == "GET"


def test_a_form_comes_in_base64(account: EmbeddedAccount, deploy: Deploy) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = account.urls.request(deploy("NONE", BOTH), "POST", headers=headers, body="decision=approve")
    event = json.loads(answer.body)
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"decision=approve"


def test_a_public_url_needs_both_permissions(account: EmbeddedAccount, deploy: Deploy) -> None:
    for permissions in ((), BOTH[:1], BOTH[1:]):
        account.urls.grants.clear()
        answer = account.urls.request(deploy("NONE", permissions))
        assert answer.status == 403
        assert answer.headers["x-amzn-errortype"] == "AccessDeniedException"
        assert json.loads(answer.body)["Message"].startswith("Forbidden")
    assert account.urls.request(deploy("NONE", BOTH)).status == 200


def test_permissions_for_somebody_else_do_not_make_a_url_public(account: EmbeddedAccount, deploy: Deploy) -> None:
    assert account.urls.request(deploy("NONE", BOTH, principal="999999999999")).status == 403


def test_a_protected_url_tells_the_function_who_signed(account: EmbeddedAccount, deploy: Deploy) -> None:
    url = deploy("AWS_IAM", BOTH)
    assert account.urls.request(url).status == 403
    context = json.loads(account.urls.request(url, signed_as=PERSON).body)["requestContext"]
    assert context["accountId"] == "123456789012"
    assert context["authorizer"]["iam"]["userArn"] == PERSON
    assert context["authorizer"]["iam"]["callerId"].endswith(":jane")


def test_people_of_another_account_need_the_functions_permission(account: EmbeddedAccount, deploy: Deploy) -> None:
    assert account.urls.request(deploy("AWS_IAM"), signed_as=STRANGER).status == 403
    protected = ({"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "AWS_IAM"}, BOTH[1])
    url = deploy("AWS_IAM", protected, principal="999999999999")
    context = json.loads(account.urls.request(url, signed_as=STRANGER).body)["requestContext"]
    assert context["authorizer"]["iam"]["userArn"] == STRANGER


def test_an_answer_has_the_status_headers_cookies_and_body_of_the_function(
    account: EmbeddedAccount, deploy: Deploy
) -> None:
    url = deploy("NONE", BOTH)
    page = account.urls.request(url, path="/page")
    assert (page.status, page.body.decode()) == (201, "<p>café</p>")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert account.urls.request(url, path="/picture").body == b"\x89PNG"


def test_an_answer_without_a_status_is_the_body(account: EmbeddedAccount, deploy: Deploy) -> None:
    answer = account.urls.request(deploy("NONE", BOTH), path="/text")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b"hello")


@pytest.mark.parametrize("path", ["/wrong", "/too-slow", "/object"])
def test_a_function_that_fails_is_a_bad_gateway(account: EmbeddedAccount, deploy: Deploy, path: str) -> None:
    assert account.urls.request(deploy("NONE", BOTH), path=path).status == 502


def test_a_request_takes_virtual_time(account: EmbeddedAccount, deploy: Deploy) -> None:
    url = deploy("NONE", BOTH)
    began = account.clock.time()
    account.urls.request(url, path="/slow")
    assert account.clock.time() - began == pytest.approx(2, abs=0.1)


def test_requests_can_be_made_within_the_virtual_world(account: EmbeddedAccount, deploy: Deploy) -> None:
    url = deploy("NONE", BOTH)
    statuses: list[int] = []
    for _ in range(2):
        account.clock.spawn(lambda: statuses.append(account.urls.request(url, path="/slow").status))
    began = account.clock.time()
    account.run_until_quiet()
    assert statuses == [200, 200]
    assert account.clock.time() - began == pytest.approx(2, abs=0.1)


def test_an_address_of_nobody_is_a_mistake(account: EmbeddedAccount, deploy: Deploy) -> None:
    deploy("NONE", BOTH)
    with pytest.raises(LookupError, match="no function has the URL"):
        account.urls.request("https://example.lambda-url.ap-northeast-1.on.aws/")


def test_a_url_can_be_visited_with_a_browser(account: EmbeddedAccount, deploy: Deploy) -> None:
    with serve_url(account, deploy("NONE", BOTH)) as server:
        page = visit(server, "GET", "/page?run=1")
        assert (page.status, page.read().decode()) == (201, "<p>café</p>")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        event = json.loads(visit(server, "POST", "/", "decision=approve", **form).read())
        assert base64.b64decode(event["body"]) == b"decision=approve"
        assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_a_visitor_is_sent_on_within_the_same_server(account: EmbeddedAccount, deploy: Deploy) -> None:
    with serve_url(account, deploy("NONE", BOTH)) as server:
        answer = visit(server, "POST", "/decide")
    assert (answer.status, answer.headers["Location"]) == (303, "/page")


def test_a_visitor_of_a_protected_url_is_whom_the_server_signs_for(account: EmbeddedAccount, deploy: Deploy) -> None:
    url = deploy("AWS_IAM")
    with serve_url(account, url) as server:
        assert visit(server, "GET", "/").status == 403
    with serve_url(account, url, signed_as=PERSON) as server:
        event = json.loads(visit(server, "GET", "/").read())
    assert event["requestContext"]["authorizer"]["iam"]["userArn"] == PERSON


def test_several_visitors_are_answered_one_after_the_other(account: EmbeddedAccount, deploy: Deploy) -> None:
    with serve_url(account, deploy("NONE", BOTH)) as server:
        statuses: list[int] = []

        def browse() -> None:
            connection = http.client.HTTPConnection(server.address.removeprefix("http://"))
            connection.request("GET", "/slow")
            statuses.append(connection.getresponse().status)

        threads = [threading.Thread(target=browse) for _ in range(5)]
        for thread in threads:
            thread.start()
        assert server.pump(lambda: not any(thread.is_alive() for thread in threads)) == 5
    assert statuses == [200] * 5


def test_nobody_waits_for_a_server_that_is_closed(account: EmbeddedAccount, deploy: Deploy) -> None:
    server = serve_url(account, deploy("NONE", BOTH))
    with pytest.raises(TimeoutError):
        server.pump(lambda: False, patience=0.1)
    assert server.pump() == 0
    server.close()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(server.address.removeprefix("http://")).request("GET", "/")


def test_another_process_follows_an_execution_while_virtual_time_passes_with_each_call() -> None:
    follow = """
client, cloudformation = make("stepfunctions"), make("cloudformation")
stack = cloudformation.describe_stacks(StackName="drydock")["Stacks"][0]
machine = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["Machine"]
given = json.dumps({"op": "sleep", "seconds": 8})
arn = client.start_execution(stateMachineArn=machine, name="mine", input=given)["executionArn"]
note(lambda: client.start_execution(stateMachineArn=machine, name="mine", input="{}"))
calls = 0
while client.describe_execution(executionArn=arn)["status"] == "RUNNING":
    calls += 1
note(lambda: [arn.rpartition(":")[2], calls, client.describe_execution(executionArn=arn)["status"]])
note(lambda: len(client.list_executions(stateMachineArn=machine)["executions"]))
"""
    with EmbeddedAccount(project=ENGINE_PROJECT) as account, serve_api(account) as server:
        account.deploy()
        began = account.clock.time()
        refused, (name, calls, status), executions = call_from_outside(server, follow, timedelta(seconds=1))
        assert refused == {"error": "ExecutionAlreadyExists"}
        assert (name, status, executions) == ("mine", "SUCCEEDED", 1)
        assert 4 <= calls <= 10
        assert 8 <= account.clock.time() - began <= 16


def test_another_process_sees_tables_objects_parameters_functions_and_machines() -> None:
    look = """
s3, table, ssm, ec2 = make("s3"), make("dynamodb"), make("ssm"), make("ec2")
s3.create_bucket(Bucket="plans", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
s3.put_object(Bucket="plans", Key="a b/1.json", Body=b'{"a": 1}', ContentType="application/json")
note(lambda: s3.get_object(Bucket="plans", Key="a b/1.json"), lambda answer: answer["Body"].read().decode())
note(lambda: s3.put_object(Bucket="plans", Key="a b/1.json", Body=b"", IfNoneMatch="*"))
note(lambda: s3.get_object(Bucket="plans", Key="nothing"))
note(lambda: [item["Key"] for item in s3.list_objects_v2(Bucket="plans")["Contents"]])
table.put_item(TableName="drydock-State", Item={"pk": {"S": "x"}, "n": {"N": "2"}})
note(lambda: table.get_item(TableName="drydock-State", Key={"pk": {"S": "x"}})["Item"]["n"])
note(lambda: table.put_item(TableName="drydock-State", Item={"pk": {"S": "x"}},
                            ConditionExpression="attribute_not_exists(pk)"))
ssm.put_parameter(Name="/drydock/policy", Value="{}", Type="String")
note(lambda: ssm.get_parameter(Name="/drydock/policy")["Parameter"]["Value"])
note(lambda: ssm.get_parameter(Name="/nobody"))
note(lambda: [node["ComputerName"] for node in ssm.describe_instance_information()["InstanceInformationList"]])
note(lambda: make("lambda").invoke(FunctionName="drydock-echo", Payload=b'{"a": 1}'),
     lambda answer: json.loads(answer["Payload"].read())["greeting"])
web = [{"Name": "tag:Name", "Values": ["web*"]}]
note(lambda: ec2.describe_instances(Filters=web)["Reservations"][0]["Instances"][0]["State"]["Name"])
note(lambda: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]))
"""
    with (
        EmbeddedAccount(project=ENGINE_PROJECT) as account,
        account.open_fleet() as fleet,
        serve_api(account) as server,
    ):
        account.deploy()
        fleet.add(MachineSpec(name="web-1"))
        assert call_from_outside(server, look) == [
            '{"a": 1}',
            {"error": "PreconditionFailed"},
            {"error": "NoSuchKey"},
            ["a b/1.json"],
            {"N": "2"},
            {"error": "ConditionalCheckFailedException"},
            "{}",
            {"error": "ParameterNotFound"},
            ["web-1"],
            "hello",
            "running",
            {"error": "InvalidInstanceID.NotFound"},
        ]
        assert account.calls.calls == []


def test_what_is_not_simulated_is_refused_and_not_made_up() -> None:
    look = """
note(lambda: make("ec2").describe_vpcs())
note(lambda: make("ec2").describe_instances(MaxResults=1))
note(lambda: make("cloudwatch").describe_alarms()["MetricAlarms"])
"""
    with EmbeddedAccount(project=ENGINE_PROJECT) as account, account.open_fleet(), serve_api(account) as server:
        refused = [{"error": "NotImplemented"}, {"error": "InvalidParameterValue"}]
        assert call_from_outside(server, look) == [*refused, []]
        assert visit(server, "GET", "/").status == 403


def test_the_url_that_sam_makes_of_a_function_is_public_with_its_own_permissions(
    account: EmbeddedAccount, tmp_path: Path
) -> None:
    properties = {
        "CodeUri": "functions/answer/",
        "Handler": "app.handler",
        "Runtime": "python3.13",
        "FunctionUrlConfig": {"AuthType": "NONE"},
    }
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Answer": {"Type": "AWS::Serverless::Function", "Properties": properties}},
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["AnswerUrl", "FunctionUrl"]}}},
    }
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template))
    assert account.urls.request(account.deploy().outputs["Url"], path="/text").body == b"hello"
