"""Approvers: who may approve, by the account's settings, and when two principals are one person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_SSO = "AWSReservedSSO_"
"""IAM Identity Center names these roles, and their sessions after the people; nobody else can choose either."""


def read_approvers(setting: str | None) -> list[str]:
    """The ARNs of the setting: a JSON list, or separated by commas. Nobody, when it is missing or not understood."""
    text = (setting or "").strip()
    if not text.startswith("["):
        return [arn.strip() for arn in text.split(",") if arn.strip()]
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [arn.strip() for arn in found if isinstance(arn, str) and arn.strip()]


def _role_of(arn: str) -> tuple[str, str, str] | None:
    """Partition, account and name of the role of a role's or a session's ARN. Names are unique without their paths."""
    parts = arn.split(":", 5)
    if len(parts) != 6:
        return None
    kind, _, rest = parts[5].partition("/")
    if (parts[2], kind) == ("iam", "role"):
        return parts[1], parts[4], rest.rpartition("/")[2]
    if (parts[2], kind) == ("sts", "assumed-role"):
        return parts[1], parts[4], rest.partition("/")[0]
    return None


def may_approve(arn: str, approvers: Sequence[str]) -> bool:
    """Whether a principal is among the approvers: itself, or the role whose session it is."""
    role = _role_of(arn)
    roles = [_role_of(approver) for approver in approvers if ":role/" in approver]
    return bool(arn) and (arn in approvers or (role is not None and role in roles))


def can_be_many(approver: str) -> bool:
    """Whether an approver of the setting stands for any number of people: a role of IAM Identity Center."""
    role = _role_of(approver)
    return role is not None and role[2].startswith(_SSO) and ":role/" in approver


def person_of(arn: str) -> str:
    """The same text for what may be the same person.

    Whoever assumes a role chooses the name of the session: sessions of one role count as one person, except
    those that IAM Identity Center names.
    """
    role = _role_of(arn)
    if role is None or (role[2].startswith(_SSO) and ":assumed-role/" in arn):
        return arn
    partition, account, name = role
    return f"arn:{partition}:iam::{account}:role/{name}"
