"""What each AWS call needs to be allowed, and the check of a caller's own policies against it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import jmespath
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from rehearsal.engine.calls import ACCOUNT, REGION, Call
from rehearsal.engine.project import PACKAGE, read_yaml

Parameters = Mapping[str, Any]
Statement = Mapping[str, Any]
Context = Mapping[str, str | tuple[str, ...]]

TABLE = PACKAGE / "permissions.yaml"

LOGGING_POLICIES = frozenset({"AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess", "AWSXrayWriteOnlyAccess"})
"""Managed policies that only let a function write its logs and traces, which needs no check here."""


@dataclass(frozen=True)
class Need:
    """One action that a call needs, and how to find on which resources in the call's parameters."""

    action: str
    expressions: Mapping[str, Callable[[Parameters], Any]]
    """What finds the resources of each type in a call's parameters."""
    context: Mapping[str, str]

    def resources(self, parameters: Parameters) -> list[str]:
        """Return the ARNs that the action is needed on: "*" when IAM knows none, nothing when it is not needed."""
        if not self.expressions:
            return ["*"]
        return [make_arn(kind, name) for kind, find in self.expressions.items() for name in _as_list(find(parameters))]


@dataclass(frozen=True)
class Request:
    """A question to IAM: may this caller take this action on this resource?"""

    caller: str
    """Folder name of a function, or name of a state machine."""
    role: str
    action: str
    resource: str
    context: tuple[tuple[str, str | tuple[str, ...]], ...]

    def __str__(self) -> str:
        return f"{self.caller} may not {self.action} on {self.resource}"


@cache
def read_table() -> dict[str, dict[str, Any]]:
    """Return the table of calls, actions and resources as it is written."""
    table: dict[str, dict[str, Any]] = read_yaml(TABLE.read_text())
    return table


@cache
def find_needs(service: str, operation: str) -> tuple[Need, ...]:
    """Return what a call needs; raises NotImplementedError when nobody has thought about its permissions yet."""
    needs = read_table()["calls"].get(f"{service} {operation}")
    if needs is None:
        raise NotImplementedError(f"no permissions are known for {service} {operation}: add them to {TABLE.name}")
    kinds = read_table()["resource_types"]
    return tuple(
        Need(
            need["action"],
            {kind: _compile_search(expression) for kind, expression in need.items() if kind in kinds},
            need.get("context", {}),
        )
        for need in needs
    )


def _compile_search(expression: str) -> Callable[[Parameters], Any]:
    search = jmespath.compile(expression).search
    names = sorted(set(re.findall(r"[A-Za-z]\w*", re.sub(r"'[^']*'", "", expression))))

    @lru_cache(maxsize=4096)
    def search_texts(*values: str | None) -> Any:
        return search({name: value for name, value in zip(names, values, strict=True) if value is not None})

    def find(parameters: Parameters) -> Any:
        values = [parameters.get(name) for name in names]
        # JMESPath takes long, and most calls name the same few resources.
        if all(value is None or isinstance(value, str) for value in values):
            return search_texts(*values)
        return search(parameters)

    return find


@lru_cache(maxsize=4096)
def make_arn(kind: str, name: str) -> str:
    """Return the ARN of a resource of one of the table's types."""
    if name.startswith("arn:"):
        return name
    # AWS's own documents are in no account.
    account = "" if kind == "document" and name.startswith(("AWS-", "AmazonCloudWatch-")) else ACCOUNT
    template: str = read_table()["resource_types"][kind]
    return template.format(region=REGION, account=account, name=name.lstrip("/"))


class Permissions:
    """The check of every call under the policies of its caller's role."""

    def __init__(self, enforce: bool) -> None:
        self.enforce = enforce
        self.requests: set[Request] = set()
        """Everything that was asked of IAM."""
        self.denied: list[Request] = []
        """Everything that was not allowed, in order."""
        self._policies: dict[str, dict[str, list[Statement]]] = {}
        self._decisions: dict[tuple[str, str, str], bool] = {}

    def forget(self) -> None:
        """Read the policies again; a deployment may have changed them."""
        self._policies.clear()
        self._decisions.clear()

    def check(self, call: Call) -> None:
        """Raise the ClientError of AWS when the caller's role does not allow a call."""
        if call.caller.role is None:
            return
        role = call.caller.role.split("/")[-1]
        for need in find_needs(call.service, call.operation):
            for resource in need.resources(call.parameters):
                if self._decisions.get((role, need.action, resource)):
                    continue
                request = Request(
                    call.caller.name,
                    role,
                    need.action,
                    resource,
                    tuple(sorted(_context(need, resource, call.parameters).items())),
                )
                if not self._is_allowed(request):
                    self.denied.append(request)
                    if self.enforce:
                        raise _denial(call, request)

    def policies(self, role: str) -> Mapping[str, list[Statement]]:
        """Return the statements of each policy of a role, by the policy's name."""
        if role not in self._policies:
            backend = iam_backends[ACCOUNT]["aws"]
            documents = {name: backend.get_role_policy(role, name)[1] for name in backend.list_role_policies(role)}
            for arn, policy in backend.get_role(role).managed_policies.items():
                if arn.split("/")[-1] not in LOGGING_POLICIES:
                    documents[arn] = backend.get_policy_version(arn, policy.default_version_id).document
            self._policies[role] = {name: _statements_of(document) for name, document in documents.items()}
        return self._policies[role]

    def _is_allowed(self, request: Request) -> bool:
        self.requests.add(request)
        statements = [statement for policy in self.policies(request.role).values() for statement in policy]
        allowed = is_allowed(statements, request)
        if not any(statement.get("Condition") for statement in statements if concerns(statement, request)):
            self._decisions[request.role, request.action, request.resource] = allowed
        return allowed


def is_allowed(statements: Iterable[Statement], request: Request) -> bool:
    """Say whether some statement allows a request and none denies it."""
    context = {name.lower(): value for name, value in request.context}
    effects = {
        statement["Effect"]
        for statement in statements
        if concerns(statement, request) and _conditions_hold(statement, context)
    }
    return effects == {"Allow"}


def concerns(statement: Statement, request: Request) -> bool:
    """Say whether a statement is about a request's action and resource, whatever its conditions say."""
    return _matches_any(statement["Action"], request.action, ignore_case=True) and _matches_any(
        statement["Resource"], request.resource
    )


def _statements_of(document: Any) -> list[Statement]:
    parsed = json.loads(document) if isinstance(document, str) else document
    statements: list[Statement] = _as_list(parsed["Statement"])
    for statement in statements:
        if "NotAction" in statement or "NotResource" in statement:
            raise NotImplementedError(f"NotAction and NotResource are not evaluated: {statement}")
    return statements


def _as_list(value: Any) -> list[Any]:
    """Return a list as it is, anything else that is there as a list of one."""
    if isinstance(value, list):
        return value
    return [value] if value else []


def _denial(call: Call, request: Request) -> ClientError:
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/{request.role}/{request.caller}"
    text = (
        f"User: {who} is not authorized to perform: {request.action} on resource: {request.resource} "
        f"because no identity-based policy allows the {request.action} action"
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


def _context(need: Need, resource: str, parameters: Parameters) -> dict[str, str | tuple[str, ...]]:
    """Return the condition keys of a request on a resource."""
    context: dict[str, str | tuple[str, ...]] = {
        "aws:RequestedRegion": REGION,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:ResourceAccount": ACCOUNT,
        "ec2:Region": REGION,
        **need.context,
    }
    tags = [tag for tag in parameters.get("Tags", []) if isinstance(tag, dict)]
    for specification in parameters.get("TagSpecifications", []):
        if f":{specification['ResourceType']}/" in resource:
            tags += specification["Tags"]
    if tags:
        context["aws:TagKeys"] = tuple(sorted({tag["Key"] for tag in tags}))
        context.update({f"aws:RequestTag/{tag['Key']}": tag.get("Value", "") for tag in tags})
    if resource.startswith("arn:aws:ec2:") and not resource.endswith("*"):
        identifier = resource.split("/")[-1]
        for name, value in ec2_backends[ACCOUNT][REGION].tags.get(identifier, {}).items():
            for prefix in ("aws:ResourceTag", "ec2:ResourceTag", "ssm:resourceTag"):
                context[f"{prefix}/{name}"] = value
    return context


def _conditions_hold(statement: Statement, context: Context) -> bool:
    for operator, keys in statement.get("Condition", {}).items():
        for name, wanted in keys.items():
            values = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            if not _condition_holds(operator, values, context.get(name.lower())):
                return False
    return True


def _condition_holds(operator: str, wanted: Sequence[str], found: str | Sequence[str] | None) -> bool:
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
    values = [found] if isinstance(found, str) else found
    judged: Iterable[bool] = [comparisons[base](value) for value in values]
    return all(judged) if quantifier == "ForAllValues" else any(judged)


def _matches_any(patterns: str | Sequence[str], value: str, ignore_case: bool = False) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns
    return any(_compile(pattern, ignore_case).fullmatch(value) for pattern in every)


@lru_cache(maxsize=4096)
def _compile(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(text, re.IGNORECASE if ignore_case else 0)
