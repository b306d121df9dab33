"""The commands for a real stack: what they ask of it, what they print, and how they end."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import botocore.session
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from moto import mock_aws

from drydock.plan.plans import plan_hash
from drydock.records.leases import Lease
from drydock.request.policy import DEFAULTS, OPERATIONS
from drydock.subject import Subject
from drydock.times import to_text
from drydock_cli.exit_codes import GOES_ON
from drydock_cli.main import carry_out
from drydock_cli.problems import CommandError, explain
from drydock_cli.stack import RunItems, Stack
from drydock_cli.terminal import Terminal, columns, cut, pad, printable, wrap
from drydock_cli.verbs import Setting

NOW = datetime(2026, 1, 12, 16, 0, tzinfo=UTC)
RUN = "night-1"
CALLER = "arn:aws:sts::123456789012:assumed-role/Operator/ann"
MACHINE_ARN = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:drydock-MaintenanceRun"
EXECUTION_ARN = f"{MACHINE_ARN.replace('stateMachine', 'execution')}:{RUN}"
PLAN_KEY, REPORT_KEY = f"runs/{RUN}/plan.json", f"runs/{RUN}/report.json"
OUTPUTS = {
    "MaintenanceRunArn": MACHINE_ARN,
    "StateTableName": "drydock-State",
    "LogBucketName": "drydock-logs",
    "StopRunFunctionName": "drydock-stop_run",
    "DecideUrl": "https://abc.lambda-url.ap-northeast-1.on.aws/",
    "ApprovalAuth": "IAM",
}
WEB = "i-0123456789abcdef0"
DB = "i-0123456789abcdef1"
OPTIONS = ("--target", "tag:Patch Group=web,db", "--minutes", "120")

Happening = Callable[["FakeStack"], None]


def planned(instance_id: str, name: str, wave: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "instanceId": instance_id,
        "name": name,
        "platform": "Linux",
        "patchGroup": "web",
        "power": "running",
        "managed": "yes",
        "order": None,
        "wave": wave,
        "seconds": 630,
        "basis": "guess",
        "samples": 0,
        "startsAt": "2026-01-12T16:05:00.000Z",
        "endsAt": "2026-01-12T16:15:30.000Z",
        "fits": True,
        **more,
    }


def make_plan(*machines: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = machines or (planned(WEB, "web-1"), planned(DB, "db-1", 1, fits=False))
    plan: dict[str, Any] = {
        "schema": 1,
        "runId": RUN,
        "createdAt": "2026-01-12T16:00:10.000Z",
        "operation": "Install",
        "policy": deepcopy(DEFAULTS),
        "snapshotId": "11111111-2222-3333-4444-555555555555",
        "window": None,
        "targets": [{"key": "tag:Patch Group", "values": ["web", "db"]}],
        "follows": "",
        "resumes": "",
        "end": "2026-01-12T18:00:00.000Z",
        "lastAdmission": "2026-01-12T18:00:00.000Z",
        "predictedEnd": "2026-01-12T16:26:00.000Z",
        "machines": list(given),
        "waves": [
            {"key": f"runs/{RUN}/wave-000.json", "count": 1, "isCanary": True},
            {"key": f"runs/{RUN}/wave-001.json", "count": 1, "isCanary": False},
        ],
        "guesses": [],
        "leftOut": [
            {
                "instanceId": "i-0123456789abcdef2",
                "name": "legacy",
                "error": "InstanceExcludedError",
                "reason": "its tag DrydockExclude says: not before June",
            }
        ],
        "warnings": ["i-0123456789abcdef1: DrydockOrder is 'first', not a number: it goes last"],
        "tooLong": [],
    }
    return {**plan, **more}


def make_report(outcome: str, **more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "runId": RUN,
        "outcome": outcome,
        "asked": {"window": None},
        "startedAt": "2026-01-12T16:00:00.000Z",
        "endedAt": "2026-01-12T16:26:00.000Z",
        "minutes": 26,
        "insideWindow": True,
        "minutesAfterEnd": 0,
        "planned": 2,
        "counts": {"succeeded": 2, "failed": 0, "busy": 0, "gone": 0, "skipped": 0, "not_attempted": 0},
        "machines": [],
        "leftOut": [],
        "failure": None,
        "closed": None,
        "warnings": [],
        "next": [],
        **more,
    }


class FakeStack(Stack):
    """A stack in memory. Each wait of a command lets the next thing happen."""

    def __init__(self, name: str = "drydock") -> None:
        self.name = name
        self.found = dict(OUTPUTS)
        self.run: dict[str, Any] | None = None
        self.machines: dict[str, dict[str, Any]] = {}
        self.execution: dict[str, Any] | None = None
        self.knows_at_once = True
        self.objects: dict[str, Any] = {}
        self.recent: list[str] = []
        self.leases: dict[str, Lease] = {}
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.stopped: list[tuple[str, str]] = []
        self.decided: list[dict[str, str]] = []
        self.answer: tuple[int, dict[str, Any]] = (200, {"result": "approved", "by": CALLER})
        self.stop_answer: dict[str, Any] = {"stopped": True, "reason": "because"}
        self.to_come: list[Happening] = []
        self.troubles: list[Exception] = []

    @property
    def region(self) -> str:
        return "ap-northeast-1"

    @property
    def outputs(self) -> Mapping[str, str]:
        return self.found

    def caller(self) -> str:
        return CALLER

    def start(self, run_id: str, given: Mapping[str, Any]) -> str:
        self.started.append((run_id, dict(given)))
        self.execution = {"status": "RUNNING"} if self.knows_at_once else None
        return f"{EXECUTION_ARN.rpartition(':')[0]}:{run_id}"

    def find_execution(self, run_id: str) -> Mapping[str, Any] | None:
        return self.execution

    def read_run(self, run_id: str) -> RunItems:
        if self.troubles:
            raise self.troubles.pop(0)
        return RunItems(deepcopy(self.run), deepcopy(self.machines))

    def read_json(self, key: str, bucket: str = "") -> Any:
        return deepcopy(self.objects.get(key))

    def _read_object(self, key: str, bucket: str) -> bytes | None:
        page: bytes | None = self.objects.get(key)
        return page

    def _recent_runs(self) -> Iterator[str]:
        yield from self.recent

    def now(self) -> datetime:
        return NOW

    def read_leases(self, subjects: Sequence[Subject]) -> list[Lease]:
        return [self.leases[one.key] for one in subjects if one.key in self.leases]

    def stop_run(self, run_id: str, reason: str) -> Mapping[str, Any]:
        self.stopped.append((run_id, reason))
        return self.stop_answer

    def decide(self, decision: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        self.decided.append(dict(decision))
        return self.answer

    def begin(self, phase: str = "PLANNING", **more: Any) -> None:
        self.run = {
            "runId": RUN,
            "owner": EXECUTION_ARN,
            "phase": phase,
            "startedAt": "2026-01-12T16:00:00.000Z",
            "failed": 0,
            "admitted": 0,
            **more,
        }
        self.execution = {"status": "RUNNING"}

    def store_plan(self, plan: dict[str, Any]) -> None:
        assert self.run is not None
        self.objects[PLAN_KEY] = plan
        self.run |= {
            "planKey": PLAN_KEY,
            "planHash": plan_hash(plan),  # type: ignore[arg-type]
            "planned": len(plan["machines"]),
            "bucket": "drydock-logs",
        }

    def admit(self, instance_id: str, name: str, at: str = "2026-01-12T16:05:00.000Z") -> None:
        self.machines[instance_id] = {"instanceId": instance_id, "name": name, "admittedAt": at}

    def end_machine(self, instance_id: str, outcome: str, **more: Any) -> None:
        self.machines.setdefault(instance_id, {"instanceId": instance_id})
        self.machines[instance_id] |= {"outcome": outcome, "endedAt": "2026-01-12T16:15:00.000Z", **more}

    def end(self, outcome: str, report: Mapping[str, Any] | None = None, **more: Any) -> None:
        assert self.run is not None
        self.run |= {"phase": "ENDED", "outcome": outcome, "endedAt": "2026-01-12T16:26:00.000Z", **more}
        self.execution = {"status": "SUCCEEDED" if outcome == "succeeded" else "FAILED"}
        if report is not None:
            self.run["reportKey"] = REPORT_KEY
            self.objects[REPORT_KEY] = dict(report)


class Console:
    """A terminal in memory; what it shows, and how the command ended."""

    def __init__(self, stack: Stack, answers: str | None = None, *, width: int = 80, has_colours: bool = False) -> None:
        self.stack = stack
        self.slept: list[float] = []
        self.terminal = Terminal(
            out=io.StringIO(),
            err=io.StringIO(),
            answers=io.StringIO(answers or ""),
            width=width,
            has_colours=has_colours,
            can_ask=answers is not None,
            zone=ZoneInfo("Asia/Tokyo"),
            sleep=self._sleep,
            now=lambda: NOW,
        )
        self.code = -1

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert isinstance(self.stack, FakeStack)
        assert self.stack.to_come, "the command waits for something that never happens"
        self.stack.to_come.pop(0)(self.stack)

    @property
    def out(self) -> str:
        return self.terminal.out.getvalue()  # type: ignore[attr-defined, no-any-return]

    @property
    def err(self) -> str:
        return self.terminal.err.getvalue()  # type: ignore[attr-defined, no-any-return]

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def drydock(stack: Stack, *arguments: str, answers: str | None = None, **how: Any) -> Console:
    console = Console(stack, answers, **how)
    console.code = carry_out(arguments, Setting(console.terminal, lambda account: stack))
    return console


def nothing_happens(stack: FakeStack) -> None:
    pass


def interrupt(stack: FakeStack) -> None:
    raise KeyboardInterrupt


def make_error(code: str, message: str = "", status: int = 400, operation: str = "DescribeStacks") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


# Starting


def test_run_starts_the_state_machine_and_says_how_to_watch_it(stack: FakeStack) -> None:
    stack.begin("AWAITING_APPROVAL")
    console = drydock(stack, "run", *OPTIONS, "--name", RUN)

    assert console.code == 0
    assert stack.started == [
        (
            RUN,
            {
                "targets": [{"key": "tag:Patch Group", "values": ["web", "db"]}],
                "policy": {"deadlineMinutes": 120},
                "startedBy": CALLER,
            },
        )
    ]
    assert f"Run {RUN} has begun." in console.out
    assert f"drydock watch {RUN}\n" in console.out
    assert "https://ap-northeast-1.console.aws.amazon.com/states/home?region=ap-northeast-1#/v2/" in console.out


def test_the_id_of_a_run_is_said_before_it_is_started(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(run_id: str, given: Mapping[str, Any]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "start", interrupted)
    console, as_json = drydock(stack, "run", *OPTIONS), drydock(stack, "run", *OPTIONS, "--json")

    assert (console.code, as_json.code) == (130, 130)
    assert re.fullmatch(r"Starting run run-20260112T160000Z-[0-9a-f]{6}\n", console.out)
    assert re.fullmatch(r"drydock: starting run run-20260112T160000Z-[0-9a-f]{6}\n", as_json.err)


@pytest.mark.parametrize("answers", ["\n", "n\n"])
def test_a_person_is_asked_before_machines_are_patched_and_not_before_they_are_looked_at(
    stack: FakeStack, answers: str
) -> None:
    stack.begin("AWAITING_APPROVAL")
    refused = drydock(stack, "run", *OPTIONS, "--name", RUN, answers=answers)
    assert (refused.code, stack.started) == (2, [])
    assert "Install: machines with tag:Patch Group=web,db" in refused.err
    assert "Start run night-1 on these machines of drydock in ap-northeast-1? [y/N] " in refused.err

    for options in (("--yes",), ("--operation", "Scan")):
        assert drydock(stack, "run", *OPTIONS, *options, "--name", RUN, answers=answers).code == 0
    assert drydock(stack, "run", *OPTIONS, "--name", RUN, answers="y\n").code == 0
    assert len(stack.started) == 3


def test_a_run_without_a_name_gets_one_that_tells_when_it_was_started(stack: FakeStack) -> None:
    stack.begin("AWAITING_APPROVAL")
    console = drydock(stack, "run", *OPTIONS, "--json")

    assert re.fullmatch(r"run-20260112T160000Z-[0-9a-f]{6}", console.document["runId"])
    assert console.document["executionArn"].endswith(console.document["runId"])


def test_the_command_that_goes_on_is_for_the_same_stack_and_account(stack: FakeStack) -> None:
    stack.begin("AWAITING_APPROVAL")
    console = drydock(stack, "run", *OPTIONS, "--name", RUN, "--stack", "blue", "--profile", "the boss")

    assert f"drydock watch {RUN} --stack blue --profile 'the boss'" in console.out


def test_every_option_of_a_run_reaches_its_input(stack: FakeStack, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"maxConcurrency": "10%", "canary": {"count": 1}, "deadlineMinutes": 5}')
    stack.begin("AWAITING_APPROVAL")

    drydock(
        stack,
        "run",
        *("--target", "Key=tag:a=b,Values=x,y", "--target", '{"key": "InstanceIds", "values": ["' + WEB + '"]}'),
        *("--minutes", "60", "--operation", "Scan", "--policy", str(policy), "--follows", "staging-1"),
    )

    ((_, given),) = stack.started
    assert given == {
        "targets": [{"key": "tag:a=b", "values": ["x", "y"]}, {"key": "InstanceIds", "values": [WEB]}],
        "follows": "staging-1",
        "operations": ["Scan"],
        "policy": {"maxConcurrency": "10%", "canary": {"count": 1}, "deadlineMinutes": 60},
        "startedBy": CALLER,
    }


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_deadline_that_is_not_given_may_stand_in_the_accounts_settings(stack: FakeStack, verb: str) -> None:
    stack.to_come = [finish_planning]

    console = drydock(stack, verb, "--target", "tag:a=b", "--policy", '{"maxErrors": 1}')

    assert console.code == 0
    assert stack.started[0][1]["policy"] == {"maxErrors": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_run_may_do_whatever_the_stack_can(stack: FakeStack, operation: str) -> None:
    stack.begin("AWAITING_APPROVAL")
    console = drydock(stack, "run", *OPTIONS, "--operation", operation)

    assert (console.code, console.err) == (0, "")
    assert stack.started[0][1]["operations"] == [operation]


@pytest.mark.parametrize("source", ["plan", "resume"])
def test_an_earlier_run_is_carried_out_or_taken_up(stack: FakeStack, source: str) -> None:
    stack.begin("AWAITING_APPROVAL")
    drydock(stack, "run", f"--{source}", "night-0", "--minutes", "60")

    ((_, given),) = stack.started
    assert given == {source: "night-0", "policy": {"deadlineMinutes": 60}, "startedBy": CALLER}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "--minutes", "60"), "which machines?"),
        (("run", *OPTIONS, "--resume", "night-0"), "which machines?"),
        (("run", "--target", "web", "--minutes", "60"), "expected KEY=VALUE"),
        (("run", "--target", "{", "--minutes", "60"), "not JSON"),
        (
            ("run", "--target", "tag:a=b", "--policy", '{"deadlineMinutes": 0}'),
            "--minutes (policy.deadlineMinutes): is required without a window",
        ),
        (("run", "--target", "colour=blue", "--minutes", "60"), "input.targets[0].key: 'colour'"),
        (("run", *OPTIONS, "--minutes", "0"), "invalid value for '--minutes': "),
        (("run", *OPTIONS, "--operation", "Format"), "'Format' is not one of 'Install', 'Scan', 'UpdateAgents'"),
        (("run", *OPTIONS, "--name", "a b"), "'a b' is not a run id"),
        (("plan", *OPTIONS, "--plan", "night-0"), "no such option: --plan (see drydock plan --help)"),
        (("watch",), "missing argument 'RUN' (see drydock watch --help)"),
        (("watch", "a/b"), "'a/b' is not a run id"),
        (("watch", RUN, "--interval", "soon"), "invalid value for '--interval': "),
        (("dance",), "no such command 'dance' (see drydock --help)"),
        (("rehearse", "--json", "/none/out.json"), "invalid value for --json: there is no folder /none"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(stack: FakeStack, arguments: Sequence[str], expected: str) -> None:
    console = drydock(stack, *arguments)

    assert console.code == 2
    assert console.out == ""
    assert expected in console.err
    assert console.err.startswith("drydock: ") and console.err.count("\n") == 1
    assert stack.started == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n  "maxErrors": 1,\n  "canary": [}\n', "policy.json:3: not JSON: "),
        ("[]", "policy.json:1: a policy is a JSON object"),
        ('{"maxErrors": 1,\n "backup": {\n  "before": "yes"}}', "policy.json:3: policy.backup.before: 'yes' is not"),
        ('{"maxErrors": 1,\n\n "color": 1}', "policy.json:3: policy.color: unknown"),
        (
            '{"windowsUpdate":\n {"includeKbs": ["KB5034439",\n "four"]}}',
            "policy.json:3: policy.windowsUpdate.includeKbs[1]: 'four' is not",
        ),
        (
            '{"maxErrors": "x",\n"waveSize": 0}',
            "policy.json:1: policy.maxErrors: 'x' is not 0, a number such as 10 or a percentage such as 10%\n",
        ),
        ('{"maxErrors": "x",\n"waveSize": 0}', "policy.json:2: policy.waveSize: "),
        ('{\n\t"maxErrors": 1,\n\t"größe \u2028\x7f":\n\t\t1\n}', "policy.json:3: policy.größe "),
        ('{"canary": {"tag": 1}, "' + 1100 * "k" + '": 1}', "policy.json: policy.canary.tag: 1 is not"),
        ('{"canary":' * 20_000, "policy.json: nested too deeply"),
    ],
)
def test_a_mistake_in_a_policy_file_is_told_with_its_line(
    stack: FakeStack, tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "policy.json").write_text(text)

    stack.begin("AWAITING_APPROVAL")
    console = drydock(stack, "run", *OPTIONS, "--policy", str(tmp_path / "policy.json"))

    assert console.code == 2
    assert expected in console.err.replace(f"{tmp_path}/", "")
    assert all(line.startswith("drydock: ") for line in console.err.splitlines())
    assert stack.started == []


def test_a_policy_that_is_no_file_is_told_by_its_name(stack: FakeStack, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9\xe9")

    missing = drydock(stack, "run", *OPTIONS, "--policy", "none.json")
    not_a_text = drydock(stack, "run", *OPTIONS, "--policy", str(tmp_path / "latin"))
    given = drydock(stack, "run", *OPTIONS, "--policy", '{"maxErrors": -1}')

    assert missing.err == "drydock: none.json: No such file or directory\n"
    assert not_a_text.err == f"drydock: {tmp_path}/latin: not a text in UTF-8\n"
    assert given.err.startswith("drydock: --policy:1: policy.maxErrors: ")


# Planning


def finish_planning(stack: FakeStack, plan: dict[str, Any] | None = None, outcome: str = "planned") -> None:
    stack.begin()
    stack.store_plan(plan or make_plan())
    stack.end(outcome)


def test_plan_waits_for_the_plan_and_shows_it_whole(stack: FakeStack) -> None:
    stack.to_come = [nothing_happens, FakeStack.begin, finish_planning]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN)

    assert console.code == 0
    assert stack.started[0][1]["planOnly"] is True
    lines = console.out.splitlines()
    assert lines[1] == f"Plan {RUN}, made 2026-01-13 01:00 +09:00"
    assert "Install on 2 machines in 2 waves, a canary first; targets: tag:Patch" in console.out
    assert "Predicted end 2026-01-13 01:26 +09:00: a guess for 2 machines without history" in lines
    assert "Has to end by 2026-01-13 03:00 +09:00" in lines
    assert "1 machine not expected to fit: not attempted unless others are quicker, and" in lines
    web, db = (next(line.split() for line in lines if f" {name} " in line) for name in ("web-1", "db-1"))
    assert web == ["1", "web-1", WEB, "canary", "10", "a", "guess", "01:05", "yes"]
    assert db == ["2", "db-1", DB, "2", "10", "a", "guess", "01:05", "no"]
    assert "  legacy (i-0123456789abcdef2): InstanceExcludedError: its tag DrydockExclude" in lines
    assert "1 warning" in lines
    assert f"Hash {plan_hash(make_plan())}" in lines  # type: ignore[arg-type]
    assert f"  drydock run --plan {RUN} --minutes MINUTES" in lines
    assert f"  drydock approve {RUN}" in lines
    assert max(map(columns, lines)) <= 80


def test_a_group_in_a_plan_is_shown_with_its_members(stack: FakeStack) -> None:
    members = [{"instanceId": WEB, "name": "web-1"}, {"instanceId": DB, "name": "web-2"}]
    group = planned("group/web", "web", kind="group", groupName="web", members=members, fits=False)
    stack.to_come = [lambda stack: finish_planning(stack, make_plan(group))]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN, width=120)

    assert "Install on 2 machines" in console.out
    assert "2 machines not expected to fit" in console.out
    lines = console.out.splitlines()
    place = next(number for number, line in enumerate(lines) if "group of 2" in line)
    assert lines[place + 1].strip() == f"web-1 ({WEB}), web-2 ({DB})"


def test_watch_counts_the_members_of_a_group(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=3)
    stack.admit("group/web", "web")
    stack.machines["group/web"]["only"] = [WEB, DB]

    def finish(stack: FakeStack) -> None:
        counts = {"succeeded": 1, "failed": 1}
        stack.end_machine("group/web", "failed", error="MachinesFailedError", cause="one failed", counts=counts)

    def end(stack: FakeStack) -> None:
        group = {"groupName": "web", "outcome": "failed", "error": "MachinesFailedError", "cause": "one failed"}
        stack.end("failed", make_report("failed", groups=[{**group, "problems": ["min is 2, not 3"]}]))

    stack.to_come = [nothing_happens, finish, end]

    console = drydock(stack, "watch", RUN)

    assert "0 of 3 machines done; 2 in work" in console.out
    assert "In work: 2 machines" in console.out
    assert "group web: failed after 10 min" in console.out
    assert "2 of 3 machines done: 1 succeeded, 1 failed" in console.out
    assert "Group web: min is 2, not 3" in console.out


def test_a_plan_as_json_is_the_stored_one_with_its_hash(stack: FakeStack) -> None:
    stack.to_come = [finish_planning]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN, "--json")

    assert console.document["plan"] == make_plan()
    assert console.document["planHash"] == plan_hash(make_plan())  # type: ignore[arg-type]
    assert console.err == f"drydock: starting run {RUN}\n"


def test_a_plan_without_machines_says_why_and_that_there_is_nothing_to_do(stack: FakeStack) -> None:
    empty = make_plan(waves=[])
    empty["machines"] = []
    stack.to_come = [lambda stack: finish_planning(stack, empty, "nothing_to_do")]

    console = drydock(stack, "plan", *OPTIONS)

    assert console.code == 0
    assert "Left out: 1 machine" in console.out
    assert "There is nothing to do." in console.out
    assert "drydock run --plan" not in console.out


def test_a_plan_that_needs_something_first_says_what_and_ends_with_2(stack: FakeStack) -> None:
    plan = {**make_plan(), "needs": ["there is no alarm busy"], "warnings": ["there is no alarm busy", "mind the gap"]}
    stack.to_come = [lambda stack: finish_planning(stack, plan)]

    console = drydock(stack, "plan", *OPTIONS)

    assert console.code == 2
    assert "To be done first\n  there is no alarm busy" in console.out
    assert "1 warning\n  mind the gap" in console.out


def test_a_run_that_is_refused_while_it_is_planned_is_said_at_once_and_ends_with_2(stack: FakeStack) -> None:
    def refuse(stack: FakeStack) -> None:
        stack.begin()
        stack.end("refused", failure={"error": "PlanRefusedError", "cause": "there is no alarm busy"})

    stack.to_come = [lambda stack: stack.begin(), refuse]

    console = drydock(stack, "run", *OPTIONS, "--name", RUN)

    assert console.code == 2
    assert "has begun" not in console.out
    assert console.err == f"drydock: {RUN}: refused: PlanRefusedError: there is no alarm busy\n"


@pytest.mark.parametrize("trouble", [[], [make_error("ThrottlingException")]], ids=["slow", "throttled"])
def test_a_run_of_which_nothing_is_known_in_time_has_begun(stack: FakeStack, trouble: list[Exception]) -> None:
    stack.troubles, stack.to_come = trouble, [nothing_happens] * 20

    console = drydock(stack, "run", *OPTIONS, "--name", RUN)

    assert console.code == 0
    assert f"Run {RUN} has begun." in console.out


def test_a_plan_that_is_refused_is_one_line_and_exit_code_2(stack: FakeStack) -> None:
    def refuse(stack: FakeStack) -> None:
        stack.begin()
        stack.end("refused", failure={"error": "InvalidInputError", "cause": "there is no resource group blue"})

    stack.to_come = [refuse]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN)

    assert console.code == 2
    assert console.err == f"drydock: {RUN}: refused: InvalidInputError: there is no resource group blue\n"


def test_what_others_wrote_into_names_cannot_move_the_cursor(stack: FakeStack) -> None:
    hostile = make_plan(planned(WEB, "\x1b[2Jweb\n\u202eevil"), leftOut=[])
    stack.to_come = [lambda stack: finish_planning(stack, hostile)]

    console = drydock(stack, "plan", *OPTIONS)

    assert "\ufffd[2Jweb \ufffdevil" in console.out
    assert "\x1b" not in console.out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_plan_with_long_names_fits_the_screen(stack: FakeStack, width: int) -> None:
    plan = make_plan(planned(WEB, "東京" * 40), planned(DB, "x" * 200, 1))
    stack.to_come = [lambda stack: finish_planning(stack, plan)]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN, width=width)

    table = [line for line in console.out.splitlines() if WEB in line or DB in line]
    assert max(map(columns, table[:2])) <= max(width, 72)


# Watching


def test_watch_tells_what_happens_until_the_run_succeeds(stack: FakeStack) -> None:
    def plan(stack: FakeStack) -> None:
        stack.store_plan(make_plan())

    def ask(stack: FakeStack) -> None:
        assert stack.run is not None
        stack.run |= {
            "phase": "AWAITING_APPROVAL",
            "approval": {"token": "secret-token", "linkHash": "secret", "until": "2026-01-12T16:20:00.000Z"},
        }

    def approve(stack: FakeStack) -> None:
        assert stack.run is not None
        decision = {"by": CALLER, "decision": "approved", "reason": "fine", "at": "2026-01-12T16:04:00.000Z"}
        stack.run["approval"]["decisions"] = [decision]
        stack.run |= {"phase": "CARRYING_OUT", "end": "2026-01-12T18:00:00.000Z"}
        stack.admit(WEB, "web-1")

    def go_on(stack: FakeStack) -> None:
        stack.end_machine(WEB, "succeeded", verdict="compliant")
        stack.admit(DB, "db-1", "2026-01-12T16:15:10.000Z")

    def finish(stack: FakeStack) -> None:
        stack.end_machine(DB, "succeeded", verdict="pending_reboot", endedAt="2026-01-12T16:25:10.000Z")
        stack.end("succeeded", make_report("succeeded"))

    stack.begin()
    stack.to_come = [plan, ask, nothing_happens, approve, go_on, finish]

    console = drydock(stack, "watch", RUN, "--interval", "7")

    assert console.code == 0
    assert console.slept == [7] * 6
    lines = console.out.splitlines()
    expected = [
        f"Run {RUN}, begun 2026-01-13 01:00 +09:00",
        "  planning",
        "01:00:00  waiting for approval until 2026-01-13 01:20 +09:00",
        f"    Decide: drydock approve {RUN}",
        f"01:04:00  approved by {CALLER}: fine",
        "01:00:00  carrying out: 2 machines, until 2026-01-13 03:00 +09:00",
        f"01:05:00  web-1 ({WEB}): in work",
        "          0 of 2 machines done; 1 in work",
        f"01:15:00  web-1 ({WEB}): succeeded after 10 min",
        f"01:15:10  db-1 ({DB}): in work",
        "          1 of 2 machines done: 1 succeeded; 1 in work",
        f"01:25:10  db-1 ({DB}): succeeded after 10 min (pending reboot)",
        "          2 of 2 machines done: 2 succeeded",
        "",
        f"Run {RUN}: succeeded",
        "  2 machines: 2 succeeded",
        "  Took 26 min, in time for its deadline",
        f"Report: s3://drydock-logs/{REPORT_KEY}",
    ]
    assert lines == expected
    assert "secret" not in console.out


def test_a_run_that_failed_ends_with_its_reasons_its_next_steps_and_exit_code_1(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=2)
    stack.admit(WEB, "web-1")
    failed = {
        "instanceId": WEB,
        "name": "web-1",
        "outcome": "failed",
        "error": "PatchFailedError",
        "cause": "disk full",
    }
    left = {"instanceId": DB, "name": "db-1", "outcome": "not_attempted", "error": "BudgetSpentError", "cause": "1 > 0"}

    def fail(stack: FakeStack) -> None:
        assert stack.run is not None
        stack.end_machine(WEB, "failed", error="PatchFailedError", cause="disk full")
        stack.run["closed"] = {
            "error": "BudgetSpentError",
            "reason": "1 failed, and the policy allows 0 (maxErrors)",
            "at": "2026-01-12T16:15:01.000Z",
        }

    def finish(stack: FakeStack) -> None:
        report = make_report(
            "failed",
            machines=[failed, left],
            counts={"failed": 1, "not_attempted": 1},
            insideWindow=False,
            minutesAfterEnd=3,
            next=[{"text": "Take up what is left:", "command": ["run", "--resume", RUN]}],
        )
        stack.end("failed", report)

    stack.to_come = [fail, finish]

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert f"01:15:00  web-1 ({WEB}): failed after 10 min:" in console.out
    assert "no machine begins any more: BudgetSpentError: 1 failed" in console.out
    assert "  2 machines: 1 failed, 1 not attempted" in console.out
    assert "3 minutes late for its deadline" in console.out
    assert f"Failed: 1 machine\n  web-1 ({WEB}): PatchFailedError: disk full" in console.out
    assert f"Not attempted: 1 machine\n  db-1 ({DB}): BudgetSpentError: 1 > 0" in console.out
    assert f"What to do next\n  Take up what is left:\n    drydock run --resume {RUN}" in console.out


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("succeeded", 0),
        ("planned", 0),
        ("nothing_to_do", 0),
        ("failed", 1),
        ("incomplete", 2),
        ("rejected", 2),
        ("not_answered", 2),
        ("refused", 2),
        ("stopped", 2),
        ("late", 3),
    ],
)
def test_the_exit_code_is_that_of_the_outcome(stack: FakeStack, outcome: str, code: int) -> None:
    stack.begin()
    stack.end(outcome, make_report(outcome))

    assert drydock(stack, "watch", RUN).code == code
    assert drydock(stack, "watch", RUN, "--once", "--json").code == code


def test_a_look_at_a_run_that_goes_on_shows_what_matters_now(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=40)
    for number in range(30):
        stack.end_machine(f"i-{number:017x}", "succeeded", name=f"web-{number}")
    stack.end_machine(DB, "failed", name="db-1", error="ImageFailedError", cause="quota")
    stack.admit(WEB, "last")

    console = drydock(stack, "watch", RUN, "--once")

    assert console.code == GOES_ON
    assert "  31 of 40 machines done: 30 succeeded, 1 failed; 1 in work" in console.out
    assert f"  db-1 ({DB}): ImageFailedError: quota" in console.out
    assert f"In work: 1 machine\n  last ({WEB})" in console.out
    assert "web-7" not in console.out
    assert console.slept == []


def test_watch_as_json_is_one_document_at_the_end(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=1, approval={"token": "secret", "until": "u", "decision": "approved"})
    stack.admit(WEB, "web-1")

    def finish(stack: FakeStack) -> None:
        stack.end_machine(WEB, "succeeded")
        stack.end("succeeded", make_report("succeeded"))

    stack.to_come = [nothing_happens, finish]

    console = drydock(stack, "watch", RUN, "--json")

    assert console.code == 0
    assert console.document["outcome"] == "succeeded"
    assert console.document["counts"] == {"succeeded": 1}
    assert console.document["machines"][0]["instanceId"] == WEB
    assert console.document["report"] == make_report("succeeded")
    assert console.document["approval"]["decision"] == "approved"
    assert "secret" not in console.out
    assert console.err == ""


def test_an_interrupted_watch_says_that_the_run_goes_on(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT")
    stack.to_come = [nothing_happens, interrupt]

    console = drydock(stack, "watch", RUN, "--region", "eu-west-1")

    assert console.code == 130
    assert console.err == (
        f"drydock: run {RUN} goes on: look again with `drydock watch {RUN} --region eu-west-1`, "
        f"stop it with `drydock stop {RUN} --region eu-west-1`\n"
    )


def test_a_run_that_is_started_and_watched_is_waited_for_until_it_is_seen(stack: FakeStack) -> None:
    def learn(stack: FakeStack) -> None:
        stack.execution = {"status": "RUNNING"}

    def finish(stack: FakeStack) -> None:
        stack.begin()
        stack.end("succeeded", make_report("succeeded"))

    stack.to_come = [nothing_happens, learn, finish]
    stack.knows_at_once = False

    console = drydock(stack, "run", *OPTIONS, "--name", RUN, "--watch")

    assert console.code == 0
    assert console.slept == [1, 1, 10]
    assert f"Run {RUN} is starting." in console.out


def test_a_run_that_nobody_knows_is_told_with_stack_and_region(stack: FakeStack) -> None:
    for verb in (("watch", RUN), ("watch", RUN, "--once"), ("approve", RUN, "--yes")):
        console = drydock(stack, *verb)
        assert console.code == 1
        assert console.err == f"drydock: there is no run {RUN} in the stack drydock in ap-northeast-1\n"


def test_a_run_that_died_before_it_was_planned_is_told_with_its_cause(stack: FakeStack) -> None:
    stack.execution = {"status": "FAILED", "error": "States.Runtime", "cause": "no such variable"}

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert console.err == f"drydock: run {RUN} failed before it was planned: States.Runtime: no such variable\n"


def test_a_killed_run_is_watched_until_its_machines_are_given_back_and_it_is_reported(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=1)
    stack.admit(WEB, "web-1")

    def kill(stack: FakeStack) -> None:
        stack.execution = {"status": "ABORTED"}

    def summarise(stack: FakeStack) -> None:
        stack.end_machine(WEB, "failed", error="ABORTED", cause="somebody stopped it")
        stack.end("stopped", make_report("stopped"))

    stack.to_come = [kill, nothing_happens, summarise]

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert console.out.count("the execution is aborted: what is in work is given back, then") == 1
    assert f"Run {RUN}: stopped" in console.out


def test_a_run_whose_report_never_comes_is_not_watched_for_ever(stack: FakeStack) -> None:
    def be_killed(minutes_ago: int) -> Happening:
        def kill(stack: FakeStack) -> None:
            ended = NOW - timedelta(minutes=minutes_ago)
            stack.execution = {"status": "ABORTED", "stopDate": ended, "error": "Enough"}

        return kill

    stack.begin("CARRYING_OUT", planned=1)
    stack.to_come = [be_killed(minutes_ago=10), be_killed(minutes_ago=11)]

    console = drydock(stack, "watch", RUN)
    looked_at = drydock(stack, "watch", RUN, "--once", "--json")

    expected = (
        f"drydock: run {RUN} aborted, and its report has not come: it may, once every machine is given back: Enough"
    )
    assert (console.code, looked_at.code) == (1, 1)
    assert console.err == looked_at.err == f"{expected}\n"
    assert looked_at.document["phase"] == "CARRYING_OUT"


def test_a_killed_run_has_time_to_give_its_machines_back(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=1)
    stack.admit(WEB, "web-1")
    stack.execution = {"status": "ABORTED", "stopDate": NOW - timedelta(hours=5)}

    in_work = drydock(stack, "watch", RUN, "--once")
    stack.end_machine(WEB, "failed", endedAt="2026-01-12T15:55:00.000Z")
    given_back = drydock(stack, "watch", RUN, "--once")
    stack.end_machine(WEB, "failed", endedAt="2026-01-12T15:45:00.000Z")
    given_back_long_ago = drydock(stack, "watch", RUN, "--once")

    assert (in_work.code, given_back.code, given_back_long_ago.code) == (GOES_ON, GOES_ON, 1)


def test_a_machine_that_is_never_given_back_does_not_keep_a_watch_for_ever(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT", planned=1)
    stack.admit(WEB, "web-1")
    stack.execution = {"status": "TIMED_OUT", "stopDate": NOW - timedelta(hours=6, minutes=11)}

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert console.err.startswith(f"drydock: run {RUN} timed out, and its report has not come")


def test_a_plan_whose_run_died_without_a_report_is_one_line(stack: FakeStack) -> None:
    def die(stack: FakeStack) -> None:
        stack.begin()
        stack.execution = {"status": "FAILED", "stopDate": NOW - timedelta(minutes=11), "error": "States.Runtime"}

    stack.to_come = [die]

    console = drydock(stack, "plan", *OPTIONS, "--name", RUN, "--json")

    assert (console.code, list(console.document)) == (1, ["error"])
    assert console.document["error"]["exitCode"] == 1
    assert console.err.splitlines()[1].startswith(f"drydock: run {RUN} failed, and its report has not come")


def test_a_run_that_ends_while_it_is_looked_at_did_not_die() -> None:
    class Ending(FakeStack):
        def find_execution(self, run_id: str) -> Mapping[str, Any] | None:
            self.end("succeeded", make_report("succeeded"))
            return self.execution

    stack = Ending()
    stack.begin("CARRYING_OUT")

    console = drydock(stack, "watch", RUN)

    assert console.code == 0
    assert "given back" not in console.out


def test_a_call_that_is_throttled_or_lost_for_a_while_does_not_end_a_watch(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT")

    def disturb(stack: FakeStack) -> None:
        stack.troubles = [
            make_error("ThrottlingException", "Rate exceeded"),
            EndpointConnectionError(endpoint_url="https://dynamodb.ap-northeast-1.amazonaws.com/"),
            make_error("InternalServerError", "", 500),
        ]

    stack.to_come = [disturb, *[nothing_happens] * 3, lambda stack: stack.end("succeeded", make_report("succeeded"))]

    console = drydock(stack, "watch", RUN)

    assert console.code == 0
    assert console.err.count("looking again\n") == 3


@pytest.mark.parametrize(
    "trouble",
    [[make_error("ExpiredTokenException", "expired")], [make_error("ThrottlingException", "Rate exceeded")] * 5],
    ids=["a reason that stays", "too often in a row"],
)
def test_a_watch_that_cannot_go_on_says_that_the_run_does(stack: FakeStack, trouble: list[Exception]) -> None:
    stack.begin("CARRYING_OUT")
    stack.to_come = [lambda stack: setattr(stack, "troubles", list(trouble)), *[nothing_happens] * 4]

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert console.err.endswith(f"; run {RUN} goes on\n")


def test_a_watch_that_cannot_even_begin_ends_at_once(stack: FakeStack) -> None:
    stack.begin("CARRYING_OUT")
    stack.troubles = [make_error("ThrottlingException", "Rate exceeded", operation="Query")]

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert console.err == "drydock: AWS throttles Query: try again in a minute (Rate exceeded)\n"
    assert console.slept == []


def test_a_run_without_a_report_still_ends_readably(stack: FakeStack) -> None:
    stack.begin(planned=2)
    stack.end("failed", reportKey=REPORT_KEY, counts={"failed": 1}, failure={"error": "States.Timeout", "cause": ""})

    console = drydock(stack, "watch", RUN)

    assert console.code == 1
    assert "States.Timeout" in console.out
    assert "Its report is not there." in console.out


def test_colours_are_only_for_terminals_that_want_them(stack: FakeStack) -> None:
    stack.begin()
    stack.end("failed", make_report("failed"))

    plain = drydock(stack, "watch", RUN)
    coloured = drydock(stack, "watch", RUN, has_colours=True)

    assert "\x1b" not in plain.out
    assert f"\x1b[31mRun {RUN}: failed\x1b[0m" in coloured.out


def test_no_color_and_dumb_terminals_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Terminal.of_process().has_colours
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Terminal.of_process().has_colours
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Terminal.of_process().has_colours


# Stopping


def test_stop_says_who_stopped_the_run_and_why(stack: FakeStack) -> None:
    console = drydock(stack, "stop", RUN, "--reason", "wrong patches")

    assert console.code == 0
    assert stack.stopped == [(RUN, f"wrong patches ({CALLER})")]
    assert f"No machine of run {RUN} begins any more; those in work are finished." in console.out

    drydock(stack, "stop", RUN)
    assert stack.stopped[1] == (RUN, f"stopped by {CALLER}")


def test_a_run_that_cannot_be_stopped_any_more_is_an_error(stack: FakeStack) -> None:
    stack.stop_answer = {"stopped": False, "reason": f"{RUN} has ended already: succeeded"}

    console = drydock(stack, "stop", RUN)
    as_json = drydock(stack, "stop", RUN, "--json")

    assert (console.code, as_json.code) == (2, 2)
    assert console.err == f"drydock: run {RUN} is not stopped: {RUN} has ended already: succeeded\n"
    assert as_json.document == {"runId": RUN, "stopped": False, "reason": f"{RUN} has ended already: succeeded"}


# The report


PAGE_KEY = f"runs/{RUN}/report.html"


def test_a_report_is_written_where_it_is_wished_and_opened(
    stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def browse(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", browse)
    stack.begin()
    stack.objects[PAGE_KEY] = b"<!doctype html>"
    path = tmp_path / "night.html"

    console = drydock(stack, "report", RUN, "--output", str(path), "--open")

    assert (console.code, console.out) == (0, f"Report of run {RUN}: {path}\n")
    assert path.read_bytes() == b"<!doctype html>"
    assert opened == [path.as_uri()]


def test_a_report_goes_into_this_folder_and_is_only_opened_when_that_is_asked_for(
    stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail(f"opened {address}"))
    stack.begin()
    stack.objects[PAGE_KEY] = b"page"

    assert drydock(stack, "report", RUN).code == 0
    assert (tmp_path / f"drydock-report-{RUN}.html").read_bytes() == b"page"


def test_a_report_as_json_is_the_stored_one(stack: FakeStack) -> None:
    stack.begin()
    stack.end("succeeded", make_report("succeeded"))

    assert drydock(stack, "report", RUN, "--json").document["outcome"] == "succeeded"


@pytest.mark.parametrize(
    ("name", "recent", "meant"),
    [("latest", [RUN, "older"], RUN), (RUN[:5], ["other", RUN], RUN), (RUN, [], RUN), ("nig", [RUN, "x-nig"], RUN)],
)
def test_a_run_is_known_by_its_beginning_or_as_the_latest(
    stack: FakeStack, tmp_path: Path, name: str, recent: list[str], meant: str
) -> None:
    stack.recent = recent
    stack.objects[f"runs/{meant}/report.html"] = b"page"

    console = drydock(stack, "report", name, "--output", str(tmp_path / "page.html"))

    assert (console.code, console.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "recent", "expected"),
    [
        ("night", ["night-1", "night-2"], "drydock: more than one run begins with night: night-1, night-2\n"),
        ("latest", [], "drydock: the stack drydock has had no run for a year\n"),
        (
            "gone",
            [],
            "drydock: run gone has no report (any more): it is written when the run ends\n",
        ),
    ],
)
def test_a_report_that_cannot_be_had_is_one_line_and_exit_code_2(
    stack: FakeStack, name: str, recent: list[str], expected: str
) -> None:
    stack.recent = recent

    console = drydock(stack, "report", name)

    assert (console.code, console.err) == (2, expected)


# Deciding


def await_approval(stack: FakeStack, plan: dict[str, Any] | None = None) -> str:
    stack.begin("AWAITING_APPROVAL", startedBy="arn:aws:iam::123456789012:user/bob")
    stack.store_plan(plan or make_plan())
    assert stack.run is not None
    stack.run["approval"] = {"token": "secret-token", "until": "2026-01-12T16:20:00.000Z"}
    return str(stack.run["planHash"])


@pytest.mark.parametrize(("verb", "result"), [("approve", "approved"), ("reject", "rejected")])
def test_a_decision_is_about_the_plan_that_was_shown(stack: FakeStack, verb: str, result: str) -> None:
    plan_hash_shown = await_approval(stack)
    stack.answer = (200, {"runId": RUN, "result": result, "message": f"The run is {result}.", "by": CALLER})

    console = drydock(stack, verb, RUN, "--reason", "looked at", answers="y\n")

    assert console.code == 0
    assert stack.decided == [{"runId": RUN, "hash": plan_hash_shown, "decision": verb, "reason": "looked at"}]
    assert f"Hash {plan_hash_shown}" in console.out
    assert "Started by arn:aws:iam::123456789012:user/bob" in console.out
    assert "To be decided until 2026-01-13 01:20 +09:00" in console.out
    assert f"{verb.capitalize()} this plan? [y/N] " in console.err
    assert f"Run {RUN}: {result}, by" in console.out
    assert "secret" not in console.out + console.err


@pytest.mark.parametrize("answers", ["", "\n", "n\n", "nay\n"])
def test_without_a_clear_yes_nothing_is_decided(stack: FakeStack, answers: str) -> None:
    await_approval(stack)

    console = drydock(stack, "approve", RUN, answers=answers)

    assert console.code == 2
    assert stack.decided == []
    assert console.err.endswith("drydock: nothing was decided\n")


def test_where_nobody_can_be_asked_a_decision_needs_yes(stack: FakeStack) -> None:
    await_approval(stack)

    refused = drydock(stack, "approve", RUN)
    as_json = drydock(stack, "approve", RUN, "--json", answers="y\n")
    decided = drydock(stack, "approve", RUN, "--json", "--yes")

    assert (refused.code, as_json.code, decided.code) == (2, 2, 0)
    assert refused.err.startswith("drydock: nobody can be asked here")
    assert len(stack.decided) == 1
    assert decided.document["result"] == "approved"
    assert decided.document["by"] == CALLER


def test_a_plan_that_was_changed_in_the_bucket_is_not_decided_on(stack: FakeStack) -> None:
    await_approval(stack)
    stack.objects[PLAN_KEY]["machines"].append(planned("i-0123456789abcdef9", "one more"))

    console = drydock(stack, "approve", RUN, "--yes")

    assert console.code == 1
    assert f"s3://drydock-logs/{PLAN_KEY} is not the plan that was made" in console.err
    assert stack.decided == []


def test_what_is_not_a_plan_or_not_there_is_not_decided_on(stack: FakeStack) -> None:
    await_approval(stack)

    stack.objects[PLAN_KEY] = {"schema": 1}
    no_plan = drydock(stack, "approve", RUN, "--yes")
    stack.objects.clear()
    nothing = drydock(stack, "approve", RUN, "--yes")

    assert no_plan.err == f"drydock: s3://drydock-logs/{PLAN_KEY} is not a plan\n"
    assert nothing.err == f"drydock: s3://drydock-logs/{PLAN_KEY}: the plan is not there any more\n"
    assert stack.decided == []


def test_a_run_without_a_plan_cannot_be_decided(stack: FakeStack) -> None:
    stack.begin()
    early = drydock(stack, "approve", RUN, "--yes")
    stack.end("refused", failure={"error": "InvalidPolicyError", "cause": "policy.color: unknown"})
    late = drydock(stack, "approve", RUN, "--yes")

    assert early.err == f"drydock: run {RUN} has no plan yet: try again in a minute\n"
    assert late.err == f"drydock: run {RUN} ended without a plan: InvalidPolicyError: policy.color: unknown\n"


def test_where_links_decide_the_command_says_so(stack: FakeStack) -> None:
    await_approval(stack)
    stack.found["ApprovalAuth"] = "LINK"

    console = drydock(stack, "approve", RUN, "--yes")

    assert console.code == 2
    assert "decided by the link in the mail" in console.err


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (403, {"message": "you are not among the approvers"}, "you are not among the approvers (403)"),
        (404, {"message": "there is no such run"}, "there is no such run (404)"),
        (409, {"message": "already approved\nby ann"}, "already approved by ann (409)"),
        (410, {"message": "too late: until 01:20"}, "too late: until 01:20 (410)"),
        (403, {"Message": "Forbidden."}, "not allowed (403): Forbidden. (needs lambda:InvokeFunctionUrl and, only "),
        (502, {}, "no reason is given (502)"),
    ],
)
def test_a_decision_that_is_refused_is_one_line(
    stack: FakeStack, status: int, answer: dict[str, Any], expected: str
) -> None:
    await_approval(stack)
    stack.answer = (status, answer)

    console = drydock(stack, "approve", RUN, "--yes")

    assert console.code == (1 if status == 502 else 2)
    assert console.err.startswith(f"drydock: {expected}")
    assert console.err.count("\n") == 1


# What goes wrong


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "no credentials (Unable to locate credentials): sign in as for the AWS CLI"),
        (UnauthorizedSSOTokenError(), "the single sign-on has expired: sign in again with `aws sso login`"),
        (TokenRetrievalError(provider="sso", error_msg="gone"), "the single sign-on has expired: sign in again with"),
        (NoRegionError(), "no Region: name it with --region"),
        (ProfileNotFound(profile="boss"), "The config profile (boss) could not be found"),
        (EndpointConnectionError(endpoint_url="https://sts.nowhere.amazonaws.com/"), "AWS cannot be reached: "),
        (ReadTimeoutError(endpoint_url="https://sts.amazonaws.com/"), "AWS cannot be reached: Read timeout"),
        (
            make_error("ExpiredToken", "The token\nhas expired"),
            "the credentials have expired (ExpiredToken): get new ones, with single sign-on by `aws sso login`",
        ),
        (make_error("AccessDenied", "User x may not"), "no permission for DescribeStacks: User x may not"),
        (
            make_error("AccessDenied", "Access Denied", operation="GetObject"),
            "no permission for s3:GetObject: Access D",
        ),
        (make_error("Throttling", "Rate exceeded"), "AWS throttles DescribeStacks: try again in a minute"),
        (make_error("ValidationError", "odd"), "DescribeStacks failed: ValidationError: odd"),
        (make_error("503", ""), "DescribeStacks failed: 503: AWS gives no reason"),
    ],
)
def test_an_error_of_aws_is_one_line_without_a_traceback(error: Exception, expected: str) -> None:
    def fail(*arguments: Any) -> Stack:
        raise error

    console = Console(FakeStack())

    code = carry_out(["watch", RUN], Setting(console.terminal, fail))

    assert code == 1
    assert console.err.startswith(f"drydock: {expected}")
    assert console.err.count("\n") == 1
    assert console.out == ""
    assert isinstance(error, BotoCoreError | ClientError)
    assert "\n" not in explain(error)


# The stack, as AWS knows it

TEMPLATE = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
}


@pytest.fixture
def deployed() -> Iterator[Stack]:
    """A stack in moto, with its table and bucket."""
    with mock_aws():
        boto3.client("cloudformation").create_stack(StackName="drydock", TemplateBody=json.dumps(TEMPLATE))
        boto3.client("s3").create_bucket(
            Bucket="drydock-logs", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        )
        boto3.client("dynamodb").create_table(
            TableName="drydock-State",
            AttributeDefinitions=[
                {"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk", "month", "startedAt")
            ],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "month",
                    "KeySchema": [
                        {"AttributeName": "month", "KeyType": "HASH"},
                        {"AttributeName": "startedAt", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Stack(botocore.session.Session(), "drydock")


def put_item(sk: str, run: str = RUN, **values: Any) -> None:
    boto3.resource("dynamodb").Table("drydock-State").put_item(Item={"pk": f"RUN#{run}", "sk": sk, **values})


def test_the_names_come_from_the_outputs_of_the_stack(deployed: Stack) -> None:
    assert deployed.output("StateTableName") == "drydock-State"
    assert deployed.execution_arn(RUN) == EXECUTION_ARN
    assert deployed.caller().startswith("arn:aws:sts::123456789012:")
    with pytest.raises(CommandError, match="the stack drydock has no output Colour"):
        deployed.output("Colour")


def test_a_stack_that_is_not_there_is_told_with_its_region(deployed: Stack) -> None:
    with pytest.raises(CommandError, match="there is no stack blue in ap-northeast-1: name it with --stack"):
        Stack(botocore.session.Session(), "blue").output("StateTableName")


def test_a_run_and_its_machines_are_read_from_the_table(deployed: Stack) -> None:
    put_item("RUN", phase="CARRYING_OUT", planned=1200, closed={"reasons": ["a", 2]})
    put_item(f"MACHINE#{WEB}", name="web-1", padding="x" * 300_000)
    for number in range(8):
        put_item(f"MACHINE#i-{number:017x}", outcome="succeeded", padding="x" * 300_000)

    found = deployed.read_run(RUN)

    assert found.run is not None
    assert (found.run["planned"], found.run["closed"]) == (1200, {"reasons": ["a", 2]})
    assert len(found.machines) == 9
    assert found.machines[WEB]["name"] == "web-1"
    assert deployed.read_run("night-2") == RunItems(None, {})


def test_what_a_newer_drydock_wrote_is_not_guessed_at(deployed: Stack) -> None:
    put_item("RUN", phase="CARRYING_OUT", schema=2)

    with pytest.raises(CommandError, match="was written by a newer Drydock"):
        deployed.read_run(RUN)


def test_plans_are_read_from_the_bucket(deployed: Stack) -> None:
    bucket = boto3.resource("s3").Bucket("drydock-logs")
    bucket.put_object(Key=PLAN_KEY, Body=json.dumps({"schema": 1, "runId": "ナイト"}).encode())
    bucket.put_object(Key="broken", Body=b"{")

    assert deployed.read_json(PLAN_KEY) == {"schema": 1, "runId": "ナイト"}
    assert deployed.read_json("runs/other/plan.json") is None
    with pytest.raises(CommandError, match="s3://drydock-logs/broken is not JSON"):
        deployed.read_json("broken")


def test_the_page_of_a_report_is_read_from_the_bucket(deployed: Stack) -> None:
    boto3.resource("s3").Bucket("drydock-logs").put_object(Key=PAGE_KEY, Body=b"page")

    assert deployed.read_report_page(RUN) == b"page"
    assert deployed.read_report_page("other") is None


def test_a_run_is_started_once_for_a_name(deployed: Stack) -> None:
    boto3.client("stepfunctions").create_state_machine(
        name="drydock-MaintenanceRun",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/any",
    )

    assert deployed.find_execution(RUN) is None
    assert deployed.start(RUN, {"targets": []}) == EXECUTION_ARN
    assert deployed.find_execution(RUN) is not None
    with pytest.raises(CommandError, match=f"there has been a run named {RUN}: give this one another --name"):
        deployed.start(RUN, {"targets": ["another"]})
    for run, months in (("night-10", 0), (RUN, 0), ("day-1", 7)):
        then = to_text(datetime.now(UTC) - months * timedelta(days=31))
        put_item("RUN", run, month=then[:7], startedAt=then)
    assert {deployed.find_run_id(name) for name in (RUN, "latest")} == {RUN}
    assert deployed.find_run_id("day") == "day-1"
    with pytest.raises(CommandError, match="more than one run begins with night: night-1, night-10"):
        deployed.find_run_id("night")


@contextmanager
def listening(answers: Sequence[tuple[int, dict[str, str], bytes]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server on this machine that gives these answers, and the requests that it gets."""
    seen: list[dict[str, Any]] = []
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
            status, headers, answer = waiting.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class NamedStack(Stack):
    """A stack whose outputs are known."""

    def __init__(self, endpoint: str | None = None, **outputs: str) -> None:
        super().__init__(botocore.session.Session(), "drydock", endpoint=endpoint)
        self.outputs = {**OUTPUTS, **outputs}


def test_without_a_function_url_a_decision_is_the_parameter_that_the_aws_cli_writes() -> None:
    stack = NamedStack()
    stack.outputs = {key: value for key, value in OUTPUTS.items() if key != "DecideUrl"}
    plan_hash, name = "a" * 64, f"/drydock/decisions/{RUN}"
    with mock_aws():
        status, said = stack.decide({"runId": RUN, "hash": plan_hash, "decision": "reject", "reason": "quarter end"})
        written = boto3.client("ssm", region_name=stack.region).get_parameter(Name=name)["Parameter"]

    assert (status, said["result"]) == (202, "written")
    assert written["Value"] == f"reject {plan_hash} quarter end"


def test_a_decision_is_posted_with_the_callers_signature() -> None:
    decision = {"runId": RUN, "hash": "abc", "decision": "approve", "reason": "für alle"}
    with listening([(409, {}, b'{"message": "already decided"}'), (502, {}, b"<html>")]) as (address, seen):
        stack = NamedStack(DecideUrl=address)
        refused, odd = stack.decide(decision), stack.decide(decision)

    assert refused == (409, {"message": "already decided"})
    assert odd == (502, {})
    assert seen[0]["path"] == "/decide"
    assert seen[0]["body"] == decision
    headers = seen[0]["headers"]
    assert headers["Content-Type"] == "application/json"
    assert re.match(
        r"AWS4-HMAC-SHA256 Credential=stand-in/\d{8}/ap-northeast-1/lambda/aws4_request, "
        r"SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}",
        headers["Authorization"],
    )


def test_a_decision_is_never_sent_unprotected() -> None:
    with pytest.raises(CommandError, match="only sent over https"):
        NamedStack(DecideUrl="http://decide.example.com/").decide({})


def test_stop_invokes_the_stacks_function_and_tells_its_errors() -> None:
    error = b'{"errorType": "RunNotFoundError", "errorMessage": "night-1: there is no such run"}'
    answers = [
        (200, {}, b'{"stopped": true, "reason": "because"}'),
        (200, {"X-Amz-Function-Error": "Unhandled"}, error),
        (200, {"X-Amz-Function-Error": "Unhandled"}, b"null"),
    ]
    with listening(answers) as (address, seen):
        stack = NamedStack(address)
        assert stack.stop_run(RUN, "because") == {"stopped": True, "reason": "because"}
        with pytest.raises(CommandError, match="night-1: there is no such run"):
            stack.stop_run(RUN, "because")
        with pytest.raises(CommandError, match="the function failed: Unhandled"):
            stack.stop_run(RUN, "because")

    assert seen[0]["path"] == "/2015-03-31/functions/drydock-stop_run/invocations"
    assert seen[0]["body"] == {"runId": RUN, "reason": "because"}


# Text


def test_texts_are_cut_and_padded_by_columns_not_by_characters() -> None:
    assert columns("東京e\u0301") == 5
    assert cut("東京都", 5) == "東京…"
    assert cut("東京都", 4) == "東…"
    assert pad("東京", 6) == "東京  "
    assert pad("12", 4, to_the_right=True) == "  12"
    assert printable("a\tb\x00c\u3000d") == "a b\ufffdc d"


def test_an_address_stays_in_one_piece() -> None:
    address = "https://ap-northeast-1.console.aws.amazon.com/" + "x" * 60

    assert list(wrap(f"see {address} for more", 40, "  ", "    ")) == ["  see", f"    {address}", "    for more"]
    assert list(wrap("東京" * 10, 20, "", "  ")) == ["東京" * 4 + "東", "  京" + "東京" * 4, "  " + "東京"]
    assert list(wrap("", 40, "  ")) == [""]
