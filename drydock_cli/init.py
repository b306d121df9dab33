"""`drydock init`: five questions, and what the answers make of the settings and of the line that deploys."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from drydock.approval.approvers import read_approvers
from drydock.request.checking import is_principal
from drydock_cli.documents import InitDocument
from drydock_cli.exit_codes import TO_DO, WELL
from drydock_cli.judging import policy_mistakes
from drydock_cli.problems import CommandError
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal

_CRON = re.compile(r"(cron|rate|at)\(.+\)")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True)
class Answers:
    """What a person wants; None is what was not said yet."""

    mail: str | None = None
    """Who is told of results."""
    approvers: str | None = None
    """ARNs between commas; empty where nobody is asked."""
    target: str | None = None
    """`KEY=VALUE`: the tag of the machines of the window."""
    schedule: str | None = None
    """When the window opens, and its zone: `cron(0 22 ? * TUE#2 *) Asia/Tokyo`."""
    hours: str | None = None
    """How long it is open."""


@dataclass(frozen=True)
class _Question:
    name: str
    option: str
    text: str
    default: str
    mistake: Callable[[str], str]


def _mistake_of_mail(text: str) -> str:
    return "" if _MAIL.fullmatch(text) else "is no mail address"


def _mistake_of_approvers(text: str) -> str:
    wrong = [arn for arn in read_approvers(text) if not is_principal(arn)]
    return f"{wrong[0]} is no ARN of a user or a role" if wrong else ""


def _mistake_of_target(text: str) -> str:
    key, equals, value = text.partition("=")
    return "" if key and equals and value else "is not KEY=VALUE"


def _mistake_of_schedule(text: str) -> str:
    schedule, _, zone = text.rpartition(" ")
    if not _CRON.fullmatch(schedule):
        return "is not cron(…) ZONE, such as cron(0 22 ? * TUE#2 *) Asia/Tokyo"
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return f"{zone} is no time zone such as Asia/Tokyo"
    return ""


def _mistake_of_hours(text: str) -> str:
    return "" if text.isdigit() and 1 <= int(text) <= 24 else "is not a whole number from 1 to 24"


_QUESTIONS = (
    _Question("mail", "--mail", "Whom shall Drydock tell? A mail address", "", _mistake_of_mail),
    _Question(
        "approvers",
        "--approvers",
        "Who approves a run first? ARNs of users or roles, between commas; empty: nobody is asked",
        "",
        _mistake_of_approvers,
    ),
    _Question("target", "--machines", "Which machines? A tag, KEY=VALUE", "WinUpdate=ON", _mistake_of_target),
    _Question(
        "schedule",
        "--schedule",
        "When? cron(…) and a time zone",
        "cron(0 2 ? * SUN *) UTC",
        _mistake_of_schedule,
    ),
    _Question("hours", "--hours", "For how many hours is that window open?", "4", _mistake_of_hours),
)


def init(stack: Stack, terminal: Terminal, given: Answers, path: Path | None, *, is_sure: bool) -> int:
    """Ask what is not given, show what would change, and write policy, approvers and the line that deploys."""
    answers = {question.name: _answer(terminal, question, getattr(given, question.name)) for question in _QUESTIONS}
    path = path or Path(f"deploy-{stack.name}.sh")
    before = {
        f"/{stack.name}/policy": stack.read_parameter(f"/{stack.name}/policy"),
        f"/{stack.name}/approvers": stack.read_parameter(f"/{stack.name}/approvers"),
        str(path): path.read_text(encoding="utf-8") if path.is_file() else None,
    }
    policy, approvers, script = before
    arns = read_approvers(answers["approvers"])
    after = {
        policy: _policy(before[policy], asks=bool(arns)),
        # Parameter Store takes no empty value; without approvers nobody is asked.
        **({approvers: json.dumps(arns, indent=2)} if arns else {}),
        script: _script(stack, answers, arns),
    }
    changed = {name: text for name, text in after.items() if _plain(text) != _plain(before[name] or "")}
    document: InitDocument = {"stack": stack.name, "answers": answers, "written": sorted(changed), "deploy": str(path)}
    for name, text in changed.items():
        _show_difference(terminal, name, before[name] or "", text)
    if not changed:
        terminal.say("All of that stands so already.", "good")
        terminal.document(document)
        return WELL
    if not is_sure and (terminal.is_json or not terminal.can_ask):
        raise CommandError("nobody can be asked here: look at the changes, then write them with --yes", TO_DO)
    if not is_sure and not terminal.ask("Write that?"):
        terminal.note("nothing was written")
        return TO_DO
    for name, text in changed.items():
        if name == script:
            path.write_text(text, encoding="utf-8")
        else:
            stack.write_parameter(name, text)
    terminal.document(document)
    terminal.say("Written.", "good")
    terminal.say(f"  Deploy with: sh {path}")
    return WELL


def _answer(terminal: Terminal, question: _Question, given: str | None) -> str:
    while True:
        if given is None and not terminal.can_ask:
            if not question.default and question.name == "mail":
                raise CommandError(f"nobody can be asked here: say {question.option}", TO_DO)
            return question.default
        text = (terminal.ask_text(question.text, question.default) if given is None else given).strip()
        mistake = question.mistake(text)
        if not mistake:
            return text
        if given is not None:
            raise CommandError(f"{question.option} {text}: {mistake}", TO_DO)
        terminal.note(f"{text or 'nothing'}: {mistake}")


def _policy(before: str | None, *, asks: bool) -> str:
    """The account's policy with what the answers say; what else stands in it stays."""
    try:
        policy: Any = json.loads(before or "{}")
    except ValueError as error:
        raise CommandError(f"the policy that stands there is no JSON: {error}", TO_DO) from error
    if not isinstance(policy, Mapping) or policy_mistakes(policy):
        raise CommandError("the policy that stands there is wrong: `drydock check` says how", TO_DO)
    approval = policy.get("approval", {})
    first = {} if policy else {"canary": {"count": 1}, "soakMinutes": 15, "maxConcurrency": "10%", "maxErrors": 1}
    return json.dumps({**first, **policy, "approval": {**approval, "required": asks}}, indent=2)


def _script(stack: Stack, answers: Mapping[str, str], approvers: list[str]) -> str:
    schedule, _, zone = answers["schedule"].rpartition(" ")
    key, _, value = answers["target"].partition("=")
    parameters = {
        "NotificationEmail": answers["mail"],
        **({"ApprovalEmail": answers["mail"]} if approvers else {}),
        "ScheduleEnabled": "true",
        "WindowSchedule": schedule,
        "TimeZone": zone,
        "WindowDurationHours": answers["hours"],
        "WindowTargetTagKey": key,
        "WindowTargetTagValue": value,
    }
    # SAM reads quotes of its own inside what the shell hands on.
    given = [
        shlex.quote(f'{name}="{text}"' if re.search(r"[\s(]", text) else f"{name}={text}")
        for name, text in parameters.items()
    ]
    lines = [
        "#!/bin/sh",
        "# Written by drydock init. Run it in Drydock's folder.",
        "set -e",
        "sam build",
        f"sam deploy --stack-name {stack.name} --region {stack.region} --resolve-s3 \\",
        "  --capabilities CAPABILITY_IAM --parameter-overrides \\",
    ]
    return "\n".join([*lines, *(f"  {one} \\" for one in given[:-1]), f"  {given[-1]}"]) + "\n"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _show_difference(terminal: Terminal, name: str, before: str, after: str) -> None:
    told = difflib.unified_diff(
        _lines(before), _lines(after), f"{name} as it is" if before else "/dev/null", name, lineterm=""
    )
    for line in told:
        terminal.say(line, "good" if line.startswith("+") else "bad" if line.startswith("-") else "")


def _lines(text: str) -> list[str]:
    """JSON on as many lines as make it readable."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return text.splitlines()
