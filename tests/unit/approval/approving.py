"""A planned run that waits for approval, and the people around it: what the tests of approvals stand in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from drydock.approval.approvals import Approval, Ways, approval_of, ask_for_approval, decisions_parameter
from drydock.approval.deciding import decide_run
from drydock.aws.objects import Objects
from drydock.aws.ssm import ParameterVersion
from drydock.errors import RunNotFoundError
from drydock.plan.plans import Plan, PlannedMachine, plan_hash
from drydock.records.holder import Holder
from drydock.records.runs import Run, end_run, open_run, record_plan, require_run
from drydock.request.policy import DEFAULTS
from drydock.times import to_text
from tests.unit.fakes import START, Clock, FakeSsm
from tests.unit.records.recorded import recorded_end, recorded_plan
from tests.unit.world import World, merge

RUN = "night-1"
HOLDER = Holder(f"arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:{RUN}", 0)
ANNA = "arn:aws:iam::123456789012:user/anna"
BEN = "arn:aws:iam::123456789012:user/ops/ben"
ROLE = "arn:aws:iam::123456789012:role/teams/Ops"
SSO_ROLE = "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Ops_0123456789abcdef"
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:drydock-Approvals"
URL = "https://abc.lambda-url.ap-northeast-1.on.aws/"
IAM = Ways("IAM", TOPIC, URL, "")
LINK = Ways("LINK", TOPIC, URL, "arn:aws:kms:ap-northeast-1:123456789012:key/1")
SETTING = "/drydock/approvers"
PARAMETER = decisions_parameter("drydock", RUN)


def session(role: str, name: str) -> str:
    """The ARN of somebody who has assumed a role."""
    return f"arn:aws:sts::123456789012:assumed-role/{role.rpartition('/')[2]}/{name}"


class FakeObjects(Objects):
    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}

    def read_json(self, key: str) -> Any:
        if key not in self.stored:
            raise RunNotFoundError(f"{key}: there is no such object")
        return deepcopy(self.stored[key])


class FakeParameterStore(FakeSsm):
    """A Parameter Store that remembers who wrote what."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.histories: dict[str, list[ParameterVersion]] = {}

    def write(self, name: str, value: str, by: str) -> None:
        """Somebody uses the plain AWS CLI."""
        self.histories.setdefault(name, []).append(ParameterVersion(value, by, self.clock()))

    def parameter_history(self, name: str) -> list[ParameterVersion]:
        with self.faults.around("parameter_history"):
            return list(self.histories.get(name, []))

    def delete_parameter(self, name: str) -> None:
        with self.faults.around("delete_parameter"):
            self.histories.pop(name, None)


def a_machine(number: int = 1, **more: Any) -> PlannedMachine:
    starts = START + timedelta(minutes=30 * number)
    planned = {
        "instanceId": f"i-{number:017x}",
        "name": f"web-{number}",
        "platform": "Linux",
        "patchGroup": "web",
        "power": "running",
        "managed": "yes",
        "order": None,
        "wave": 0 if number == 1 else 1,
        "seconds": 1800,
        "basis": "own history",
        "samples": 4,
        "startsAt": to_text(starts),
        "endsAt": to_text(starts + timedelta(minutes=30)),
        "fits": True,
        **more,
    }
    return cast(PlannedMachine, planned)


def a_plan(count: int = 3, **more: Any) -> Plan:
    """A canary and the rest, two machines left out."""
    planned = [a_machine(number) for number in range(1, count + 1)]
    plan = {
        "schema": 1,
        "runId": RUN,
        "createdAt": to_text(START),
        "operation": "Install",
        "policy": deepcopy(DEFAULTS),
        "snapshotId": "11111111-2222-3333-4444-555555555555",
        "window": None,
        "targets": [{"key": "tag:Patch Group", "values": ["web"]}],
        "follows": "",
        "resumes": "",
        "end": to_text(START + timedelta(hours=4)),
        "lastAdmission": to_text(START + timedelta(hours=3)),
        "predictedEnd": to_text(START + timedelta(hours=2)),
        "machines": planned,
        "waves": [
            {"key": f"runs/{RUN}/wave-000.json", "count": 1, "isCanary": True},
            {"key": f"runs/{RUN}/wave-001.json", "count": count - 1, "isCanary": False},
        ],
        "guesses": [],
        "leftOut": [
            {
                "instanceId": "i-0f",
                "name": "db-1",
                "error": "InstanceExcludedError",
                "reason": "carries DrydockExclude",
            },
            {"instanceId": "i-0e", "name": "", "error": "InstanceUnmanagedError", "reason": "its agent is offline"},
        ],
        "warnings": [],
        "tooLong": [],
        **more,
    }
    return cast(Plan, plan)


class Asking:
    """A run, and all who have a say in it."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.clock, self.clients = world, world.clock, world.clients
        self.services = world.services
        self.ssm = FakeParameterStore(world.clock)
        self.objects = FakeObjects()
        self.services.ssm, self.services.objects = self.ssm, self.objects
        self.ways = IAM
        self.kms_calls: list[Mapping[str, Any]] = []
        kms = SimpleNamespace(generate_mac=self._generate_mac)
        monkeypatch.setattr("drydock.telling.links.client", lambda service: {"kms": kms}[service])
        self.approvers(ANNA, BEN, ROLE, SSO_ROLE)

    def _generate_mac(self, **request: Any) -> dict[str, Any]:
        self.kms_calls.append(request)
        return {"Mac": hmac.digest(request["KeyId"].encode(), request["Message"], hashlib.sha256)}

    def approvers(self, *arns: str) -> None:
        """An operator says who may approve."""
        self.ssm.parameters[SETTING] = json.dumps(arns)

    def plan(self, plan: Plan | None = None, *, started_by: str = "", is_only: bool = False, **approval: Any) -> Plan:
        """The run is planned, or nothing but a plan is made; `approval` is the policy of that name."""
        plan = plan or a_plan()
        self.objects.stored[f"runs/{RUN}/plan.json"] = plan
        recorded = recorded_plan(
            key=f"runs/{RUN}/plan.json",
            hash=plan_hash(plan),
            machines=len(plan["machines"]),
            policy=merge(DEFAULTS, {"approval": approval}),
            started_by=started_by,
            is_only=is_only,
            window=plan["window"] or {},
        )
        record_plan(self.world.table, open_run(self.world.table, HOLDER, START), recorded)
        return plan

    def end(self, outcome: str) -> None:
        """The run is summarised."""
        end_run(self.world.table, self.run, recorded_end(at=self.clock(), outcome=outcome))

    def ask(self, **more: Any) -> None:
        """The state is entered."""
        ask_for_approval(self.services, self.ways, self.world.step("Ask For Approval", holder=HOLDER, **more))

    @property
    def run(self) -> Run:
        return require_run(self.world.table, RUN)

    @property
    def approval(self) -> Approval:
        approval = approval_of(self.run)
        assert approval is not None
        return approval

    @property
    def hash(self) -> str:
        return self.run.require_plan().hash

    @property
    def answers(self) -> list[tuple[str, Mapping[str, Any]]]:
        return self.world.executions.answers

    @property
    def refusals(self) -> list[tuple[str, str, str]]:
        return [(token, type(error).__name__, str(error)) for token, error in self.world.executions.refusals]

    @property
    def mails(self) -> list[dict[str, Any]]:
        return self.clients.published

    @property
    def mail(self) -> str:
        """The text of the one mail that was sent."""
        (mail,) = self.mails
        return str(json.loads(mail["Message"])["email"])

    @property
    def link(self) -> str:
        found = re.search(r"https://abc\S+", self.mail)
        assert found is not None
        return found[0]

    @property
    def key(self) -> str:
        return parse_qs(urlsplit(self.link).query)["key"][0]

    def write(self, text: str, by: str, *, tell: bool = True) -> None:
        """Somebody writes a decision into the run's parameter; `tell` says whether the event arrives."""
        self.ssm.write(PARAMETER, text, by)
        if tell:
            self.tell_of_parameter()

    def tell_of_parameter(self, name: str = PARAMETER) -> None:
        detail = {"operation": "Update", "name": name, "type": "String"}
        assert decide_run(self.services, self.ways, {"detail-type": "Parameter Store Change", "detail": detail}) is None

    def send(
        self,
        method: str = "POST",
        path: str = "/",
        *,
        body: str | bytes = "",
        content_type: str = "",
        query: Mapping[str, str] | None = None,
        caller: str = "",
    ) -> dict[str, Any]:
        """A request through the function URL."""
        context: dict[str, Any] = {"http": {"method": method, "path": path}}
        if caller:
            context["authorizer"] = {"iam": {"userArn": caller}}
        content = body.encode() if isinstance(body, str) else body
        event = {
            "version": "2.0",
            "rawPath": path,
            "headers": {"content-type": content_type} if content_type else {},
            "requestContext": context,
            "body": base64.b64encode(content).decode(),
            "isBase64Encoded": True,
            **({"queryStringParameters": dict(query)} if query else {}),
        }
        response = decide_run(self.services, self.ways, event)
        assert response is not None
        return response

    def decide(self, caller: str, decision: str = "approve", **more: Any) -> tuple[int, dict[str, Any]]:
        """A signed request, as `drydock approve` sends it."""
        content = {"runId": RUN, "hash": self.hash, "decision": decision, "reason": "looks good", **more}
        response = self.send(path="/decide", body=json.dumps(content), content_type="application/json", caller=caller)
        return int(response["statusCode"]), json.loads(response["body"])

    def open_link(self, method: str = "GET", **query: str) -> dict[str, Any]:
        return self.send(method, query={"run": RUN, "key": self.key, **query})

    def fill_in(self, **fields: str) -> dict[str, Any]:
        """The page's form is sent."""
        given = {"run": RUN, "key": self.key, "hash": self.hash, "name": "Anna", "reason": "", "decision": "approve"}
        return self.send(body=urlencode({**given, **fields}), content_type="application/x-www-form-urlencoded")


@pytest.fixture
def asking(world: World, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(world, monkeypatch)
