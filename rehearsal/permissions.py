"""What each AWS call needs to be allowed, and the check of a caller's own policies against it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from rehearsal.calls import ACCOUNT, REGION, Call

Parameters = Mapping[str, Any]
Resources = Callable[[Parameters], list[str]]


@dataclass(frozen=True)
class Need:
    """One action that a call needs, on which resources, and when. Without `resources`, IAM only knows "*"."""

    action: str
    resources: Resources | None = None
    when: Callable[[Parameters], bool] = lambda parameters: True
    context: Mapping[str, str] | None = None


def _arn(service: str, resource: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{REGION}:{account}:{resource}"


def _named(service: str, kind: str, key: str) -> Resources:
    def resources(parameters: Parameters) -> list[str]:
        value = str(parameters[key])
        return [value if value.startswith("arn:") else _arn(service, f"{kind}{value}")]

    return resources


def _listed(service: str, kind: str, key: str, account: str = ACCOUNT) -> Resources:
    return lambda parameters: [_arn(service, f"{kind}{value}", account) for value in parameters[key]]


def _table(parameters: Parameters) -> list[str]:
    table = _arn("dynamodb", f"table/{parameters['TableName'].split('/')[-1]}")
    return [f"{table}/index/{parameters['IndexName']}"] if parameters.get("IndexName") else [table]


def _transacted(operation: str) -> Need:
    def tables(parameters: Parameters) -> list[str]:
        items = [item[operation] for item in parameters["TransactItems"] if operation in item]
        return sorted({_arn("dynamodb", f"table/{item['TableName'].split('/')[-1]}") for item in items})

    actions = {
        "Put": "PutItem",
        "Update": "UpdateItem",
        "Delete": "DeleteItem",
        "ConditionCheck": "ConditionCheckItem",
    }
    return Need(
        f"dynamodb:{actions[operation]}",
        tables,
        lambda parameters: any(operation in item for item in parameters["TransactItems"]),
    )


def _tagged(parameters: Parameters) -> list[str]:
    kinds = {"i": "instance", "ami": "image", "snap": "snapshot", "vol": "volume"}
    owned = {"instance", "volume"}
    resources = []
    for identifier in parameters["Resources"]:
        kind = kinds[identifier.split("-")[0]]
        resources.append(_arn("ec2", f"{kind}/{identifier}", ACCOUNT if kind in owned else ""))
    return resources


def _specified(parameters: Parameters) -> list[str]:
    kinds = [item["ResourceType"] for item in parameters["TagSpecifications"]]
    return [_arn("ec2", f"{kind}/*", "") for kind in kinds]


def _document(parameters: Parameters) -> list[str]:
    name = str(parameters.get("DocumentName") or parameters["Name"])
    if name.startswith("arn:"):
        return [name]
    return [_arn("ssm", f"document/{name}", "" if name.startswith(("AWS-", "AmazonCloudWatch-")) else ACCOUNT)]


def _parameter(key: str) -> Resources:
    return lambda parameters: [_arn("ssm", f"parameter/{str(parameters[key]).lstrip('/')}")]


def _execution(parameters: Parameters) -> list[str]:
    return [parameters["executionArn"]]


ACCESS: dict[tuple[str, str], tuple[Need, ...]] = {
    **{
        ("dynamodb", operation): (Need(f"dynamodb:{operation}", _table),)
        for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")
    },
    ("dynamodb", "TransactWriteItems"): tuple(
        _transacted(operation) for operation in ("Put", "Update", "Delete", "ConditionCheck")
    ),
    ("ec2", "DescribeInstances"): (Need("ec2:DescribeInstances"),),
    ("ec2", "DescribeInstanceStatus"): (Need("ec2:DescribeInstanceStatus"),),
    ("ec2", "DescribeInstanceAttribute"): (
        Need("ec2:DescribeInstanceAttribute", _named("ec2", "instance/", "InstanceId")),
    ),
    ("ec2", "DescribeImages"): (Need("ec2:DescribeImages"),),
    ("ec2", "DescribeSnapshots"): (Need("ec2:DescribeSnapshots"),),
    ("ec2", "StartInstances"): (Need("ec2:StartInstances", _listed("ec2", "instance/", "InstanceIds")),),
    ("ec2", "StopInstances"): (Need("ec2:StopInstances", _listed("ec2", "instance/", "InstanceIds")),),
    ("ec2", "CreateImage"): (
        Need("ec2:CreateImage", _named("ec2", "instance/", "InstanceId")),
        Need("ec2:CreateImage", lambda parameters: [_arn("ec2", "image/*", ""), _arn("ec2", "snapshot/*", "")]),
        Need(
            "ec2:CreateTags",
            _specified,
            lambda parameters: bool(parameters.get("TagSpecifications")),
            {"ec2:CreateAction": "CreateImage"},
        ),
    ),
    ("ec2", "EnableImageDeprecation"): (
        Need(
            "ec2:EnableImageDeprecation",
            lambda parameters: [_arn("ec2", f"image/{parameters['ImageId']}", "")],
        ),
    ),
    ("ec2", "CreateTags"): (Need("ec2:CreateTags", _tagged),),
    ("ec2", "DeleteTags"): (Need("ec2:DeleteTags", _tagged),),
    ("ssm", "GetParameter"): (Need("ssm:GetParameter", _parameter("Name")),),
    ("ssm", "GetParameters"): (Need("ssm:GetParameters", _listed("ssm", "parameter/", "Names")),),
    ("ssm", "GetParametersByPath"): (Need("ssm:GetParametersByPath", _parameter("Path")),),
    ("ssm", "SendCommand"): (
        Need("ssm:SendCommand", _document),
        Need("ssm:SendCommand", _listed("ec2", "instance/", "InstanceIds")),
    ),
    ("ssm", "ListCommands"): (Need("ssm:ListCommands"),),
    ("ssm", "ListCommandInvocations"): (Need("ssm:ListCommandInvocations"),),
    ("ssm", "CancelCommand"): (Need("ssm:CancelCommand"),),
    ("ssm", "DescribeInstanceInformation"): (Need("ssm:DescribeInstanceInformation"),),
    ("ssm", "DescribeInstancePatchStates"): (
        Need("ssm:DescribeInstancePatchStates", _listed("ec2", "instance/", "InstanceIds")),
    ),
    ("ssm", "DescribeInstancePatches"): (
        Need("ssm:DescribeInstancePatches", _named("ec2", "instance/", "InstanceId")),
    ),
    ("ssm", "DescribeDocument"): (Need("ssm:DescribeDocument", _document),),
    ("stepfunctions", "SendTaskSuccess"): (Need("states:SendTaskSuccess"),),
    ("stepfunctions", "SendTaskFailure"): (Need("states:SendTaskFailure"),),
    ("stepfunctions", "SendTaskHeartbeat"): (Need("states:SendTaskHeartbeat"),),
    ("stepfunctions", "StartExecution"): (
        Need("states:StartExecution", lambda parameters: [parameters["stateMachineArn"]]),
    ),
    ("stepfunctions", "DescribeExecution"): (Need("states:DescribeExecution", _execution),),
    ("stepfunctions", "StopExecution"): (Need("states:StopExecution", _execution),),
    ("stepfunctions", "ListExecutions"): (
        Need("states:ListExecutions", lambda parameters: [parameters["stateMachineArn"]]),
    ),
    ("lambda", "Invoke"): (Need("lambda:InvokeFunction", _named("lambda", "function:", "FunctionName")),),
    ("sns", "Publish"): (Need("sns:Publish", lambda parameters: [parameters["TopicArn"]]),),
    ("s3", "GetObject"): (
        Need("s3:GetObject", lambda parameters: [f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"]),
    ),
    ("s3", "PutObject"): (
        Need("s3:PutObject", lambda parameters: [f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"]),
    ),
}
"""What each call needs. A call that is not here fails: nobody has thought about its permissions yet."""

LOGGING_POLICIES = frozenset({"AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess", "AWSXrayWriteOnlyAccess"})
"""Managed policies that only let a function write its logs and traces, which needs no check here."""


class Permissions:
    """The check of every call under the policies of its caller's role."""

    def __init__(self, enforce: bool) -> None:
        self.enforce = enforce
        self.denied: list[tuple[Call, str, str]] = []
        """Call, action and resource of everything that was not allowed."""
        self.used: set[tuple[str, str]] = set()
        """Role name and action of everything that was asked for."""
        self._statements: dict[str, list[Mapping[str, Any]]] = {}
        self._decisions: dict[tuple[str, str, str], bool] = {}

    def forget(self) -> None:
        """Read the policies again; a deployment may have changed them."""
        self._statements.clear()
        self._decisions.clear()

    def check(self, call: Call) -> None:
        """Raise the ClientError of AWS when the caller's role does not allow a call."""
        if call.caller.role is None:
            return
        needs = ACCESS.get((call.service, call.operation))
        if needs is None:
            raise NotImplementedError(f"no permissions are known for {call.service} {call.operation}")
        role = call.caller.role.split("/")[-1]
        for need in needs:
            if not need.when(call.parameters):
                continue
            self.used.add((role, need.action))
            for resource in need.resources(call.parameters) if need.resources else ["*"]:
                if not self._is_allowed(role, need, resource, call.parameters):
                    self.denied.append((call, need.action, resource))
                    if self.enforce:
                        raise _denial(call, need.action, resource)

    def _is_allowed(self, role: str, need: Need, resource: str, parameters: Parameters) -> bool:
        key = (role, need.action, resource)
        decision = self._decisions.get(key)
        if decision is not None:
            return decision
        statements = [
            statement
            for statement in self._read(role)
            if _matches_any(statement.get("Action", []), need.action, ignore_case=True)
            and _matches_any(statement.get("Resource", []), resource)
        ]
        context = _context(need, resource, parameters)
        applying = [statement for statement in statements if _conditions_hold(statement, context)]
        allowed = bool(applying) and all(statement["Effect"] == "Allow" for statement in applying)
        if not any(statement.get("Condition") for statement in statements):
            self._decisions[key] = allowed
        return allowed

    def _read(self, role: str) -> list[Mapping[str, Any]]:
        if role not in self._statements:
            backend = iam_backends[ACCOUNT]["aws"]
            documents = [backend.get_role_policy(role, name)[1] for name in backend.list_role_policies(role)]
            for arn, policy in backend.get_role(role).managed_policies.items():
                if arn.split("/")[-1] not in LOGGING_POLICIES:
                    documents.append(policy.document)
            self._statements[role] = [statement for document in documents for statement in _statements_of(document)]
        return self._statements[role]


def _statements_of(document: Any) -> list[Mapping[str, Any]]:
    parsed = json.loads(document) if isinstance(document, str) else document
    statements = parsed["Statement"]
    found: list[Mapping[str, Any]] = [statements] if isinstance(statements, dict) else list(statements)
    for statement in found:
        if "NotAction" in statement or "NotResource" in statement:
            raise NotImplementedError(f"NotAction and NotResource are not evaluated: {statement}")
    return found


def _denial(call: Call, action: str, resource: str) -> ClientError:
    role = str(call.caller.role).split("/")[-1]
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{call.caller.name}"
    text = (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
    codes = {"ec2": "UnauthorizedOperation", "sns": "AuthorizationError", "s3": "AccessDenied"}
    if call.service == "ec2":
        text = f"You are not authorized to perform this operation. {text}"
    return ClientError(
        {
            "Error": {"Code": codes.get(call.service, "AccessDeniedException"), "Message": text},
            "ResponseMetadata": {
                "HTTPStatusCode": 403,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        call.operation,
    )


def _context(need: Need, resource: str, parameters: Parameters) -> dict[str, str | list[str]]:
    """Return the condition keys of a request on a resource."""
    context: dict[str, str | list[str]] = {
        "aws:RequestedRegion": REGION,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:ResourceAccount": ACCOUNT,
        "ec2:Region": REGION,
        **(need.context or {}),
    }
    requested = {
        tag["Key"]: tag.get("Value", "") for tag in parameters.get("Tags", []) if isinstance(tag, dict) and "Key" in tag
    }
    for specification in parameters.get("TagSpecifications", []):
        if f":{specification['ResourceType']}/" in resource or resource.endswith("/*") is False:
            requested.update({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
    context.update({f"aws:RequestTag/{name}": value for name, value in requested.items()})
    if requested:
        context["aws:TagKeys"] = list(requested)
    if resource.startswith("arn:aws:ec2:") and not resource.endswith("*"):
        identifier = resource.split("/")[-1]
        for name, value in ec2_backends[ACCOUNT][REGION].tags.get(identifier, {}).items():
            for prefix in ("aws:ResourceTag", "ec2:ResourceTag", "ssm:resourceTag"):
                context[f"{prefix}/{name}"] = value
    if "Key" in parameters and isinstance(parameters["Key"], dict):
        context["dynamodb:LeadingKeys"] = [str(value) for value in next(iter(parameters["Key"].values())).values()]
    return context


def _conditions_hold(statement: Mapping[str, Any], context: Mapping[str, str | list[str]]) -> bool:
    lowered = {name.lower(): value for name, value in context.items()}
    for operator, keys in (statement.get("Condition") or {}).items():
        for name, wanted in keys.items():
            values = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            if not _condition_holds(operator, values, lowered.get(name.lower())):
                return False
    return True


def _condition_holds(operator: str, wanted: list[str], found: str | list[str] | None) -> bool:
    quantifier, _, base = operator.rpartition(":")
    optional, base = base.endswith("IfExists"), base.removesuffix("IfExists")
    if base == "Null":
        return (found is None) == (wanted[0].lower() == "true")
    if found is None:
        return optional or quantifier == "ForAllValues" or base in ("StringNotEquals", "StringNotLike", "ArnNotLike")
    comparisons: dict[str, Callable[[str], bool]] = {
        "StringEquals": lambda value: value in wanted,
        "StringNotEquals": lambda value: value not in wanted,
        "StringEqualsIgnoreCase": lambda value: value.lower() in [item.lower() for item in wanted],
        "StringLike": lambda value: _matches_any(wanted, value),
        "StringNotLike": lambda value: not _matches_any(wanted, value),
        "ArnEquals": lambda value: _matches_any(wanted, value),
        "ArnLike": lambda value: _matches_any(wanted, value),
        "ArnNotLike": lambda value: not _matches_any(wanted, value),
        "Bool": lambda value: value.lower() in [item.lower() for item in wanted],
    }
    if base not in comparisons:
        raise NotImplementedError(f"the condition operator {operator} is not evaluated")
    values = found if isinstance(found, list) else [found]
    judged: Iterable[bool] = [comparisons[base](value) for value in values]
    return all(judged) if quantifier == "ForAllValues" else any(judged)


def _matches_any(patterns: str | list[str], value: str, ignore_case: bool = False) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns
    return any(_compile(pattern, ignore_case).fullmatch(value) for pattern in every)


@lru_cache(maxsize=4096)
def _compile(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(text, re.IGNORECASE if ignore_case else 0)
