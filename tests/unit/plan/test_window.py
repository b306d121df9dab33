"""A maintenance window as a run needs to know it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.windows import Windows
from drydock.errors import InvalidInputError, ServiceUnavailableError
from drydock.plan.window import WindowFacts, read_window

WINDOW = "mw-0123456789abcdef0"
EXECUTION = "11111111-2222-3333-4444-555555555555"
MACHINE = "drydock-MaintenanceRun"
ARN = f"arn:aws:states:ap-northeast-1:123456789012:stateMachine:{MACHINE}"
OPENS = datetime(2026, 1, 14, 2, 0, tzinfo=timezone(timedelta(hours=9)))


class Account:
    """The maintenance windows of an account, listed two at a time."""

    def __init__(self) -> None:
        self.window: dict[str, Any] = {"Name": "second-tuesday", "Duration": 3, "Cutoff": 1}
        self.registered: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = [task("wt-1", "STEP_FUNCTIONS", ARN)]
        self.refusals: dict[str, str] = {}

    def get_maintenance_window_execution(self, *, WindowExecutionId: str) -> dict[str, Any]:
        self._refuse("execution")
        assert WindowExecutionId == EXECUTION
        return {"WindowExecutionId": EXECUTION, "Status": "IN_PROGRESS", "StartTime": OPENS}

    def get_maintenance_window(self, *, WindowId: str) -> dict[str, Any]:
        self._refuse("window")
        return {"WindowId": WindowId, **self.window}

    def describe_maintenance_window_targets(self, **request: Any) -> dict[str, Any]:
        self._refuse("targets")
        return _page("Targets", self.registered, request)

    def describe_maintenance_window_tasks(self, **request: Any) -> dict[str, Any]:
        self._refuse("tasks")
        return _page("Tasks", self.tasks, request)

    def _refuse(self, what: str) -> None:
        if what in self.refusals:
            raise ClientError({"Error": {"Code": self.refusals[what], "Message": "said AWS"}}, "Call")


def _page(key: str, found: list[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    assert request["WindowId"] == WINDOW
    assert 10 <= request["MaxResults"] <= 100
    first = int(request.get("NextToken", 0))
    more = {"NextToken": str(first + 2)} if first + 2 < len(found) else {}
    return {key: found[first : first + 2], **more}


def task(task_id: str, kind: str, arn: str, **more: Any) -> dict[str, Any]:
    return {"WindowTaskId": task_id, "Type": kind, "TaskArn": arn, **more}


def registered(target_id: str, *conditions: tuple[str, list[str]], **more: Any) -> dict[str, Any]:
    targets = [{"Key": key, "Values": values} for key, values in conditions]
    return {"WindowTargetId": target_id, "ResourceType": "INSTANCE", "Targets": targets, **more}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    names = (
        "get_maintenance_window_execution",
        "get_maintenance_window",
        "describe_maintenance_window_targets",
        "describe_maintenance_window_tasks",
    )
    client = SimpleNamespace(**{name: getattr(account, name) for name in names})
    monkeypatch.setattr("drydock.aws.windows.client", lambda service: client)
    account.registered.append(registered("t-1", ("tag:Patch Group", ["web"])))
    return account


def read(execution: str = EXECUTION) -> WindowFacts:
    return read_window(Windows(), WINDOW, execution, MACHINE)


@pytest.mark.usefixtures("account")
def test_the_window_ends_its_duration_after_it_opened_and_admits_until_its_cutoff() -> None:
    facts = read()

    assert (facts.window_id, facts.execution_id, facts.name) == (WINDOW, EXECUTION, "second-tuesday")
    assert facts.start == datetime(2026, 1, 13, 17, 0, tzinfo=UTC)
    assert facts.start.tzinfo is UTC
    assert facts.end == datetime(2026, 1, 13, 20, 0, tzinfo=UTC)
    assert facts.last_admission == datetime(2026, 1, 13, 19, 0, tzinfo=UTC)
    assert facts.warnings == []


@pytest.mark.parametrize("opens", ["2026-01-20T02:00+09:00", "2026-01-19T17:00:00Z", "2026-01-19T17:00Z"])
def test_without_an_execution_it_is_about_the_next_opening_in_whatever_zone_that_is_written(
    account: Account, opens: str
) -> None:
    account.window["NextExecutionTime"] = opens

    facts = read(execution="")

    assert (facts.execution_id, facts.start) == ("", datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
    assert (facts.end - facts.start, facts.end - facts.last_admission) == (timedelta(hours=3), timedelta(hours=1))
    assert facts.next_start is None


@pytest.mark.parametrize("opens", ["", "soon", "2026-01-20T02:00"], ids=["never", "unreadable", "without a zone"])
def test_a_window_that_does_not_open_again_cannot_be_planned_for(account: Account, opens: str) -> None:
    account.window["NextExecutionTime"] = opens

    with pytest.raises(InvalidInputError, match="does not open again"):
        read(execution="")


def test_a_window_has_its_own_time_zone_or_none(account: Account) -> None:
    assert read().time_zone == ""

    account.window["ScheduleTimezone"] = "Asia/Tokyo"

    assert read().time_zone == "Asia/Tokyo"


def test_each_registered_target_is_a_group_of_its_own_in_the_order_of_their_ids(account: Account) -> None:
    account.registered = [
        registered("t-3", ("resource-groups:Name", ["web"]), ResourceType="RESOURCE_GROUP"),
        registered("t-1", ("tag:Patch Group", ["web", "database"]), ("tag:Stage", ["production"])),
        registered("t-2", ("instanceids", ["i-0123456789abcdef0"])),
        registered(
            "t-5", ("resource-groups:name", ["all"]), ("resource-groups:ResourceTypeFilters", ["AWS::EC2::VPC"])
        ),
        registered("t-4", ("tag-key", ["PatchGroup"])),
    ]

    facts = read()

    assert facts.targets == [
        [{"key": "tag:Patch Group", "values": ["web", "database"]}, {"key": "tag:Stage", "values": ["production"]}],
        [{"key": "InstanceIds", "values": ["i-0123456789abcdef0"]}],
        [{"key": "resource-groups:Name", "values": ["web"]}],
        [{"key": "tag-key", "values": ["PatchGroup"]}],
        [
            {"key": "resource-groups:Name", "values": ["all"]},
            {"key": "resource-groups:ResourceTypeFilters", "values": ["AWS::EC2::VPC"]},
        ],
    ]
    assert facts.warnings == []


def test_a_target_that_means_no_machines_is_left_aside_with_a_warning(account: Account) -> None:
    account.registered.append(registered("t-2", ("AWS::S3::Bucket", ["logs"]), Name="buckets"))

    facts = read()

    assert facts.targets == [[{"key": "tag:Patch Group", "values": ["web"]}]]
    [warning] = facts.warnings
    assert warning.startswith("target buckets of the window is left aside: targets[0].key: 'AWS::S3::Bucket'")


def test_a_window_without_targets_has_a_warning(account: Account) -> None:
    account.registered = []

    facts = read()

    assert (facts.targets, facts.warnings) == ([], ["no targets are registered with the window"])


@pytest.mark.parametrize(
    "document",
    [
        "AWS-RunPatchBaseline",
        "AWS-RunPatchBaselineWithHooks",
        "AWS-InstallWindowsUpdates",
        "arn:aws:ssm:ap-northeast-1::document/AWS-RunPatchBaseline",
    ],
)
def test_a_task_that_patches_by_itself_has_a_warning(account: Account, document: str) -> None:
    account.tasks.append(task("wt-2", "RUN_COMMAND", document, Name="old-patching"))

    [warning] = read().warnings

    assert warning.startswith(f"task old-patching of the window runs {document.rpartition('/')[2]} itself")


def test_other_tasks_have_none(account: Account) -> None:
    account.tasks += [
        task("wt-2", "RUN_COMMAND", "AWS-RunShellScript"),
        task("wt-3", "LAMBDA", "arn:aws:lambda:ap-northeast-1:123456789012:function:AWS-RunPatchBaseline"),
        task("wt-4", "STEP_FUNCTIONS", ARN.replace("MaintenanceRun", "PatchInstance")),
        task("wt-5", "STEP_FUNCTIONS", "not-an-arn"),
    ]

    assert read().warnings == []


def test_several_tasks_that_start_drydock_have_a_warning(account: Account) -> None:
    account.tasks += [
        task("wt-3", "AUTOMATION", "AWS-StopEC2Instance"),
        task("wt-2", "STEP_FUNCTIONS", f"{ARN}:live", Name="drydock-again"),
    ]

    assert read().warnings == ["2 tasks of the window start Drydock (wt-1, drydock-again): one is enough"]


def test_a_task_with_targets_has_a_warning_since_it_starts_a_run_for_each_machine(account: Account) -> None:
    account.tasks = [task("wt-1", "STEP_FUNCTIONS", ARN, Targets=[{"Key": "WindowTargetIds", "Values": ["t-1"]}])]

    [warning] = read().warnings

    assert warning.startswith("task wt-1 of the window has targets: Systems Manager starts one run for each")


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        ("execution", f"window execution {EXECUTION}: "),
        ("window", f"window {WINDOW}: "),
        ("targets", f"window {WINDOW}: "),
        ("tasks", f"window {WINDOW}: "),
    ],
)
def test_a_window_or_execution_that_is_not_there_is_named(account: Account, refused: str, named: str) -> None:
    account.refusals[refused] = "DoesNotExistException"

    with pytest.raises(InvalidInputError, match=named):
        read()


def test_a_call_that_fails_in_passing_is_not_taken_for_a_window_that_is_gone(account: Account) -> None:
    account.refusals["targets"] = "ThrottlingException"

    with pytest.raises(ServiceUnavailableError):
        read()
