"""A function makes, while it is imported, the clients of what it may call, and no others."""

from __future__ import annotations

from collections import defaultdict

from drydock.aws.clients import CLIENTS
from tests.rules.project import functions, statements

SELDOM = {"cloudformation", "cloudwatch", "imagebuilder", "kms", "lambda", "tag"}
"""Called when people ask for something special, or by AWS on the function's behalf."""
NAMES = {"elasticloadbalancing": "elbv2", "states": "stepfunctions"}
"""Services as boto3 names them, where IAM has another name."""


def test_the_clients_of_a_function_are_those_that_its_policy_speaks_of() -> None:
    folders = {one.logical_id: one.folder for one in functions()}
    granted: defaultdict[str, set[str]] = defaultdict(set)
    for statement in statements():
        for action in statement.actions if statement.owner in folders else ():
            service = action.partition(":")[0]
            if service not in SELDOM:
                granted[folders[statement.owner]].add(NAMES.get(service, service))
    assert {name: set(services) for name, services in CLIENTS.items()} == granted
