"""Parameters that people write: Parameter Store remembers by whom, and tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ssm.models import ssm_backends

from rehearsal.engine.calls import ACCOUNT, REGION

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount


def write_parameter(account: EmbeddedAccount, name: str, value: str, by: str) -> dict[str, Any]:
    """Write a parameter as somebody, whom its history names, and tell EventBridge. Returns PutParameter's answer."""
    answer: dict[str, Any] = account.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    parameter: Any = ssm_backends[ACCOUNT][REGION]._parameters[name][-1]
    describe = parameter.describe_response_object

    def describe_with_user(*arguments: Any, **named: Any) -> dict[str, Any]:
        return {**describe(*arguments, **named), "LastModifiedUser": by}

    parameter.describe_response_object = describe_with_user
    operation = "Create" if answer["Version"] == 1 else "Update"
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name.lstrip('/')}"
    account.bus.put(
        "aws.ssm", "Parameter Store Change", {"operation": operation, "name": name, "type": "String"}, [arn]
    )
    return answer
