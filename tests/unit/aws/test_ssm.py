"""What Systems Manager answers, read: statuses, plugins of other platforms, pages, documents."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.ssm import Invocation, Ssm
from drydock.documents import PinnedDocument
from drydock.errors import AwsCallFailedError, CommandNotDeliveredError, DocumentError, ServiceUnavailableError
from tests.unit.fakes import START
from tests.unit.world import INSTANCE

DEFAULT: PinnedDocument = {"version": "$DEFAULT", "hash": "", "hashType": ""}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ssm]:
    """Systems Manager that answers calls with the given functions."""

    def answer(**calls: Any) -> Ssm:
        monkeypatch.setattr("drydock.aws.ssm.client", lambda service, attempts=4: SimpleNamespace(**calls))
        return Ssm()

    return answer


def refusing(code: str) -> Callable[..., None]:
    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "said AWS"}}, "Call")

    return refuse


def an_invocation(status: str, details: str = "") -> Invocation:
    return Invocation("c-1", status, details or status, 0, "")


@pytest.mark.parametrize(
    ("status", "over", "undelivered", "succeeded"),
    [
        ("Pending", False, True, False),
        ("Delayed", False, True, False),
        ("InProgress", False, False, False),
        ("In Progress", False, False, False),
        ("Cancelling", False, False, False),
        ("Success", True, False, True),
        ("Failed", True, False, False),
        ("TimedOut", True, False, False),
        ("Timed Out", True, False, False),
        ("Cancelled", True, False, False),
    ],
)
def test_a_status_is_read_with_and_without_spaces(status: str, over: bool, undelivered: bool, succeeded: bool) -> None:
    invocation = an_invocation(status)

    assert (invocation.is_over, invocation.is_undelivered, invocation.succeeded) == (over, undelivered, succeeded)
    assert invocation.was_cancelled is (status == "Cancelled")


@pytest.mark.parametrize(
    ("details", "never_ran", "gave_up"),
    [
        ("DeliveryTimedOut", True, True),
        ("Delivery Timed Out", True, True),
        ("Undeliverable", True, False),
        ("Terminated", True, False),
        ("Invalid Platform", True, False),
        ("AccessDenied", True, False),
        ("ExecutionTimedOut", False, False),
        ("Execution Timed Out", False, False),
        ("Failed", False, False),
        ("Success", False, False),
    ],
)
def test_the_details_say_whether_a_command_ran(details: str, never_ran: bool, gave_up: bool) -> None:
    invocation = an_invocation("Failed", details)

    assert (invocation.never_ran, invocation.gave_up) == (never_ran, gave_up)


PLUGINS = [
    {"Name": "PatchWindows", "ResponseCode": 0, "Output": "skipped"},
    {"Name": "PatchLinux", "ResponseCode": 194, "Output": "installed"},
]


@pytest.mark.parametrize(
    ("plugins", "platform", "output", "code"),
    [
        (PLUGINS, "Linux", "installed", 194),
        (PLUGINS, "Windows", "skipped", 0),
        ([{"Name": "run", "ResponseCode": 1, "Output": "only"}], "Linux", "only", 1),
        ([], "Linux", "", -1),
    ],
    ids=["Linux", "Windows", "one for all", "none"],
)
def test_only_the_step_of_the_machines_own_platform_counts(
    answering: Callable[..., Ssm], plugins: Any, platform: str, output: str, code: int
) -> None:
    found = {"Status": "Success", "StatusDetails": "Success", "CommandPlugins": plugins}
    ssm = answering(list_command_invocations=lambda **request: {"CommandInvocations": [found]})

    invocation = ssm.find_invocation(INSTANCE, "c-1", platform)

    assert invocation is not None
    assert (invocation.output, invocation.response_code) == (output, code)


def test_an_invocation_that_cannot_be_seen_yet_is_none(answering: Callable[..., Ssm]) -> None:
    ssm = answering(list_command_invocations=lambda **request: {"CommandInvocations": []})

    assert ssm.find_invocation(INSTANCE, "c-1", "Linux") is None


def test_a_command_is_known_again_by_its_whole_comment_on_any_page(answering: Callable[..., Ssm]) -> None:
    pages = {
        None: {
            "Commands": [{"CommandId": "c-1", "Comment": "drydock: mine2", "ExpiresAfter": START}],
            "NextToken": "2",
        },
        "2": {"Commands": [{"CommandId": "c-2", "Comment": "drydock: mine", "ExpiresAfter": START}]},
    }
    ssm = answering(list_commands=lambda **request: pages[request.get("NextToken")])

    assert ssm.find_command(INSTANCE, "drydock: mine", START) == ("c-2", START)
    assert ssm.find_command(INSTANCE, "drydock: min", START) is None


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"DocumentType": "Command", "Status": "Active", "PlatformTypes": ["Linux"]}, None),
        ({"DocumentType": "Command"}, None),
        ({"DocumentType": "Automation"}, "its type is Automation, not Command"),
        ({"DocumentType": "Command", "Status": "Creating"}, "its status is Creating"),
        ({"DocumentType": "Command", "PlatformTypes": ["Windows"]}, "is for Windows, not for Linux"),
    ],
    ids=["good", "for all", "automation", "not active", "for another platform"],
)
def test_a_document_is_checked_before_it_is_needed(
    answering: Callable[..., Ssm], document: dict[str, Any], says: str | None
) -> None:
    ssm = answering(describe_document=lambda **request: {"Document": document})

    reason = ssm.check_command_document("My-Hook", "Linux")

    assert reason is None if says is None else says in (reason or "") and "My-Hook" in (reason or "")


def test_a_document_that_does_not_exist_is_named(answering: Callable[..., Ssm]) -> None:
    ssm = answering(describe_document=refusing("InvalidDocument"))

    assert ssm.check_command_document("My-Hook", "Linux") == (
        "document My-Hook: does not exist in this account and Region"
    )


def test_the_default_version_of_a_document_is_pinned_by_its_number_and_hash(answering: Callable[..., Ssm]) -> None:
    asked: list[dict[str, Any]] = []

    def describe(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return {"Document": {"DocumentType": "Command", "DocumentVersion": "3", "Hash": "ab", "HashType": "Sha256"}}

    found = answering(describe_document=describe).find_document("Drain")

    assert found is not None
    assert found.pinned == {"version": "3", "hash": "ab", "hashType": "Sha256"}
    assert asked == [{"Name": "Drain", "DocumentVersion": "$DEFAULT"}]
    assert answering(describe_document=refusing("InvalidDocumentVersion")).find_document("Drain", "9") is None


@pytest.mark.parametrize(
    ("pinned", "sent"),
    [
        (DEFAULT, {"DocumentVersion": "$DEFAULT"}),
        (
            {"version": "3", "hash": "ab", "hashType": "Sha256"},
            {"DocumentVersion": "3", "DocumentHash": "ab", "DocumentHashType": "Sha256"},
        ),
    ],
    ids=["not pinned", "pinned"],
)
def test_a_pinned_document_is_sent_by_version_and_hash(
    answering: Callable[..., Ssm], pinned: PinnedDocument, sent: dict[str, str]
) -> None:
    asked: list[dict[str, Any]] = []

    def send(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return {"Command": {"CommandId": "c-1", "ExpiresAfter": START}}

    answering(send_command=send).send_command(INSTANCE, "Drain", pinned, {}, "comment", "bucket", "prefix")

    assert {key: value for key, value in asked[0].items() if key[8:] in ("Version", "Hash", "HashType")} == sent


def test_what_is_missing_is_read_of_fifty_machines_at_once_and_of_none_that_was_never_scanned(
    answering: Callable[..., Ssm],
) -> None:
    asked: list[int] = []

    def describe(**request: Any) -> dict[str, Any]:
        ids = request["InstanceIds"]
        asked.append(len(ids))
        state = {"InstanceId": ids[0], "MissingCount": 3, "FailedCount": 1, "OperationEndTime": START}
        return {"InstancePatchStates": [state]}

    found = answering(describe_instance_patch_states=describe).find_missing(f"i-{number:03}" for number in range(51))

    assert sorted(asked) == [1, 50]
    assert found == {"i-000": (4, START), "i-050": (4, START)}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidInstanceId", CommandNotDeliveredError),
        ("InvalidDocument", DocumentError),
        ("InvalidParameters", DocumentError),
        ("UnsupportedPlatformType", DocumentError),
    ],
)
def test_a_command_that_is_not_taken_says_why(answering: Callable[..., Ssm], code: str, error: type[Exception]) -> None:
    ssm = answering(send_command=refusing(code))

    with pytest.raises(error, match=f"{INSTANCE}: My-Document: {code}: said AWS"):
        ssm.send_command(INSTANCE, "My-Document", DEFAULT, {}, "comment", "bucket", "prefix")


def test_a_command_is_sent_in_one_attempt_and_all_else_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: dict[str, int] = {}

    class Client:
        def __init__(self, most: int) -> None:
            self.most = most

        def send_command(self, **request: Any) -> dict[str, Any]:
            attempts["send_command"] = self.most
            return {"Command": {"CommandId": "c-1", "ExpiresAfter": START}}

        def list_commands(self, **request: Any) -> dict[str, Any]:
            attempts["list_commands"] = self.most
            return {"Commands": []}

    monkeypatch.setattr("drydock.aws.ssm.client", lambda service, attempts=4: Client(attempts))
    ssm = Ssm()

    assert ssm.send_command(INSTANCE, "My-Document", DEFAULT, {}, "comment", "bucket", "prefix") == ("c-1", START)
    ssm.find_command(INSTANCE, "comment", START)

    assert attempts["send_command"] == 1
    assert attempts["list_commands"] > 1


@pytest.mark.parametrize(("code", "was_refused"), [("ThrottlingException", True), ("InternalServerError", False)])
def test_only_of_a_throttled_command_it_is_certain_that_it_was_not_sent(
    answering: Callable[..., Ssm], code: str, was_refused: bool
) -> None:
    with pytest.raises(ServiceUnavailableError) as unavailable:
        answering(send_command=refusing(code)).send_command(INSTANCE, "D", DEFAULT, {}, "comment", "bucket", "prefix")

    assert unavailable.value.was_refused is was_refused


def test_a_parameter_that_nobody_has_made_is_none(answering: Callable[..., Ssm]) -> None:
    assert answering(get_parameter=refusing("ParameterNotFound")).parameter("/drydock/policy") is None


def test_a_parameter_that_may_not_be_read_is_not_taken_for_missing(answering: Callable[..., Ssm]) -> None:
    with pytest.raises(AwsCallFailedError):
        answering(get_parameter=refusing("AccessDeniedException")).parameter("/drydock/policy")


@pytest.mark.parametrize(
    "answer",
    [lambda **request: {"InstanceInformationList": []}, refusing("InvalidInstanceId")],
    ids=["not listed", "refused"],
)
def test_a_machine_that_systems_manager_does_not_know_has_no_agent(
    answering: Callable[..., Ssm], answer: Callable[..., Any]
) -> None:
    assert answering(describe_instance_information=answer).find_agent(INSTANCE) is None


@pytest.mark.parametrize(("ping", "online"), [("Online", True), ("ConnectionLost", False), ("Inactive", False)])
def test_an_agent_is_online_or_not(answering: Callable[..., Ssm], ping: str, online: bool) -> None:
    found = {"PingStatus": ping, "LastPingDateTime": START}
    ssm = answering(describe_instance_information=lambda **request: {"InstanceInformationList": [found]})

    agent = ssm.find_agent(INSTANCE)

    assert agent is not None and agent.online is online


def test_a_patch_state_without_counts_has_zeros(answering: Callable[..., Ssm]) -> None:
    found = {"Operation": "Scan", "OperationEndTime": START, "BaselineId": "pb-1", "PatchGroup": ""}
    ssm = answering(describe_instance_patch_states=lambda **request: {"InstancePatchStates": [found]})

    state = ssm.find_patch_state(INSTANCE)

    assert state is not None
    assert (state.missing, state.failed, state.snapshot_id) == (0, 0, "")


def test_patches_are_named_by_their_kb_or_their_title(answering: Callable[..., Ssm]) -> None:
    patches = [{"KBId": "KB1", "Title": "t"}, {"KBId": "", "Title": "kernel-6.1"}, {"Title": "openssl"}]
    ssm = answering(describe_instance_patches=lambda **request: {"Patches": patches})

    assert [patch.name for patch in ssm.list_patches(INSTANCE, "Missing")] == ["KB1", "kernel-6.1", "openssl"]


def test_the_most_severe_patches_come_first_whatever_a_distribution_calls_them(answering: Callable[..., Ssm]) -> None:
    told = ["Low", "", "Medium", "Extra", "Important", "CRITICAL", "Required", "None", "Moderate"]
    patches = [{"Title": f"{number}-{severity}", "Severity": severity} for number, severity in enumerate(told)]
    ssm = answering(describe_instance_patches=lambda **request: {"Patches": patches})

    listed = ssm.list_patches(INSTANCE, "Missing")

    assert [(patch.name, patch.severity) for patch in listed] == [
        ("5-CRITICAL", "Critical"),
        ("6-Required", "Critical"),
        ("4-Important", "Important"),
        ("2-Medium", "Moderate"),
        ("8-Moderate", "Moderate"),
        ("0-Low", "Low"),
        ("3-Extra", "Low"),
        ("1-", "Unspecified"),
        ("7-None", "Unspecified"),
    ]


def test_patches_are_read_page_by_page_up_to_500(answering: Callable[..., Ssm]) -> None:
    def describe_instance_patches(**request: Any) -> dict[str, Any]:
        page = int(request.get("NextToken", "0"))
        asked.append(page)
        titles = [{"Title": f"p{page}-{number}"} for number in range(100)] if page != 1 else []
        return {"Patches": titles, "NextToken": str(page + 1)}

    asked: list[int] = []
    ssm = answering(describe_instance_patches=describe_instance_patches)

    listed = ssm.list_patches(INSTANCE, "Missing")

    assert (len(listed), listed[100].name) == (500, "p2-0"), "an empty page is not the last one"
    assert asked == [0, 1, 2, 3, 4, 5]
