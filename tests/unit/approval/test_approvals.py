"""Asking for approval: once, with one link, until the time is over; and what the decisions of people amount to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from drydock.approval.approvals import count_approvals
from drydock.approval.approvers import may_approve, person_of, read_approvers
from drydock.aws.ssm import Ssm
from drydock.aws.table import Table
from drydock.errors import AwsCallFailedError, PlanChangedError, RunOverError, RunStoppedError, ServiceUnavailableError
from drydock.records.leases import FUNCTION_LIFETIME
from drydock.records.runs import AWAITING_APPROVAL, close_run
from drydock.times import to_text
from tests.unit.approval.approving import (
    ANNA,
    BEN,
    HOLDER,
    LINK,
    PARAMETER,
    ROLE,
    RUN,
    SETTING,
    SSO_ROLE,
    TOPIC,
    Asking,
    a_machine,
    a_plan,
    asking,
    session,
)
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.world import dynamodb

__all__ = ["asking"]


def unwrapped(mail: str) -> str:
    """A mail without the breaks of its lines, those of its commands included."""
    return " ".join(mail.replace("\\\n", " ").split())


def test_the_approvers_are_asked_once_however_often_the_state_is_entered(asking: Asking) -> None:
    asking.plan()

    for _ in range(4):
        asking.ask()
        asking.clock.move(minutes=5)

    assert len(asking.mails) == 1
    assert asking.mails[0]["TopicArn"] == TOPIC
    assert asking.run.phase == AWAITING_APPROVAL


def test_the_mail_says_what_who_how_much_until_when_and_how_to_answer(asking: Asking) -> None:
    asking.plan(started_by=ANNA)

    asking.ask()

    assert asking.mails[0]["Subject"] == "Drydock: answer until 2026-01-13 10:20: patch 3 machines, night-1"
    assert asking.mail.startswith("Act now: answer until 2026-01-13 10:20 whether Drydock may patch 3\nmachines.\n")
    assert max(len(line) for line in asking.mail.splitlines() if " " in line.strip() and asking.hash not in line) <= 72
    for said in (
        f"asked for by {ANNA}",
        "times in Asia/Tokyo",
        "Without an answer by then nothing is touched",
        "Wave 1 of 2, the canary: 1 machine",
        "Wave 2 of 2: 2 machines",
        "Predicted end, if it is approved at once: 2026-01-13 12:00",
        "Left out of the plan (2)",
        "db-1 (i-0f): carries DrydockExclude",
        f"drydock approve {RUN} --stack drydock --region ap-northeast-1",
        f"drydock reject {RUN} --stack drydock --region ap-northeast-1",
        f"aws ssm put-parameter --overwrite --type String --name {PARAMETER} --value 'approve {asking.hash}'",
    ):
        assert said in unwrapped(asking.mail)


def test_the_mail_of_a_long_plan_stays_readable(asking: Asking) -> None:
    left_out = [{"instanceId": f"i-{number}", "name": "", "error": "E", "reason": "is gone"} for number in range(500)]
    waves = [{"key": "", "count": 1, "isCanary": False} for _ in range(40)]
    machines = [a_machine(number, wave=number - 1, fits=number < 30) for number in range(1, 41)]
    asking.plan(a_plan(machines=machines, waves=waves, leftOut=left_out))

    asking.ask()

    assert "and 480 more in the plan" in asking.mail
    assert "And 30 more in the plan" in asking.mail
    assert "11 machines not expected to fit" in asking.mail
    assert len(asking.mail.splitlines()) < 105


def test_a_mail_about_a_window_names_it(asking: Asking) -> None:
    window = {"windowId": "mw-1", "executionId": "e", "name": "Patch\nTuesday", "start": "", "end": ""}
    asking.plan(a_plan(window=window))

    asking.ask()

    assert "asked for by maintenance window Patch Tuesday (mw-1)" in asking.mail


def test_when_nobody_may_approve_the_mail_and_the_error_say_so(asking: Asking) -> None:
    asking.approvers()
    asking.plan()

    asking.ask()
    asking.clock.move(seconds=1200)
    asking.ask()

    assert f"Nobody may approve now: write the approvers' ARNs into the setting {SETTING}" in unwrapped(asking.mail)
    ((_, error, cause),) = asking.refusals
    assert error == "ApprovalTimedOutError"
    assert "nobody may approve" in cause


def test_a_newer_entry_brings_its_token_and_no_older_one_takes_its_place(asking: Asking) -> None:
    asking.plan()
    asking.ask(token="first")
    asking.clock.move(minutes=5)
    asking.ask(token="second")

    asking.ask(token="late", entered=START)

    assert asking.approval.token == "second"
    asking.decide(ANNA)
    assert asking.answers == [("second", {"decision": "approved", "by": "anna", "reason": "looks good"})]


def test_a_decision_that_was_stored_but_woke_nobody_is_found_by_the_next_entry(asking: Asking) -> None:
    asking.plan()
    asking.ask(token="first")
    asking.world.executions.faults.before["answer"] = ServiceUnavailableError("down")

    status, _ = asking.decide(ANNA)
    assert status == 200
    assert asking.answers == []

    asking.ask(token="second")
    assert [token for token, _ in asking.answers] == ["second"]
    assert len(asking.mails) == 1


def test_without_an_answer_in_time_the_run_is_told_and_nothing_counts_any_more(asking: Asking) -> None:
    asking.plan(minApprovals=2)
    asking.ask()
    asking.decide(ANNA)
    asking.clock.move(seconds=1200)

    asking.ask(token="last")

    assert asking.refusals == [
        (
            "last",
            "ApprovalTimedOutError",
            "1 of 2 approvals were given until 2026-01-13 10:20 +09:00 (Asia/Tokyo)",
        )
    ]
    assert asking.approval.decision == "not_answered"
    assert asking.decide(BEN)[0] == 410


def test_nobody_is_asked_about_what_may_no_longer_begin(asking: Asking) -> None:
    asking.plan(seconds=7200)
    soon = START + timedelta(minutes=10)
    dynamodb().update_item(
        TableName=asking.world.table.name,
        Key={"pk": {"S": f"RUN#{RUN}"}, "sk": {"S": "RUN"}},
        UpdateExpression="SET lastAdmission = :soon",
        ExpressionAttributeValues={":soon": {"S": to_text(soon)}},
    )

    asking.ask()

    assert asking.approval.until == soon


def test_a_run_that_is_over_or_anothers_asks_nobody(asking: Asking) -> None:
    asking.plan()
    asking.end("failed")

    with pytest.raises(RunOverError):
        asking.ask()

    assert asking.mails == []


def test_a_run_that_was_stopped_asks_nobody(asking: Asking) -> None:
    asking.plan()
    close_run(asking.world.table, asking.run, RunStoppedError("Anna stopped it"), asking.clock())

    with pytest.raises(RunStoppedError, match="Anna stopped it"):
        asking.ask()

    assert asking.mails == []


def test_a_plan_that_was_changed_in_the_bucket_is_not_shown_to_anybody(asking: Asking) -> None:
    asking.plan()
    asking.objects.stored[f"runs/{RUN}/plan.json"]["machines"].append(a_machine(9))

    with pytest.raises(PlanChangedError):
        asking.ask()

    assert asking.mails == []


# The link.


def test_the_link_is_in_the_mail_and_nowhere_else(asking: Asking, caplog: pytest.LogCaptureFixture) -> None:
    asking.ways = LINK
    asking.plan()

    asking.ask()
    asking.open_link()
    asking.fill_in()

    assert len(asking.key) == 43
    assert asking.approval.link_hash == hashlib.sha256(asking.key.encode()).hexdigest()
    assert asking.key not in json.dumps(dynamodb().scan(TableName=asking.world.table.name)["Items"])
    assert asking.key not in json.dumps(asking.answers)
    assert asking.key not in caplog.text


@pytest.mark.parametrize("died", ["before", "after"])
def test_a_mail_whose_sender_died_goes_out_again_with_the_same_link(asking: Asking, died: str) -> None:
    asking.ways = LINK
    asking.plan()
    getattr(asking.clients.faults, died)["publish"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        asking.ask()
    stored = asking.approval.link_hash

    with pytest.raises(ServiceUnavailableError):
        asking.ask()
    asking.clock.move(seconds=FUNCTION_LIFETIME.total_seconds() + 1)
    asking.ask()

    assert len(asking.mails) == (1 if died == "before" else 2)
    assert len({mail["Message"] for mail in asking.mails}) == 1
    assert asking.approval.link_hash == stored
    asking.clients.published[1:] = []
    assert asking.open_link()["statusCode"] == 200


def test_a_sender_that_dies_before_it_notes_the_mail_does_not_send_it_twice(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.plan()
    update = Table.update
    broken = [True]

    def die_once(table: Table, key: object, change: str, *more: object) -> object:
        if "mailed" in str(more) and "'mailed': True" in str(more) and broken:
            broken.clear()
            raise FunctionDiedError
        return update(table, key, change, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "update", die_once)
    with pytest.raises(FunctionDiedError):
        asking.ask()

    asking.ask()

    assert len(asking.mails) == 1
    assert asking.approval.is_mailed


def test_another_run_or_plan_has_another_link(asking: Asking) -> None:
    asking.ways = LINK
    asking.plan()
    asking.ask()

    about = {request["Message"] for request in asking.kms_calls}

    (message,) = about
    assert HOLDER.execution.encode() in message
    assert asking.hash.encode() in message


def test_a_mail_that_cannot_be_sent_fails_the_step_and_is_sent_by_the_next(asking: Asking) -> None:
    asking.plan()
    asking.clients.faults.before["publish"] = AwsCallFailedError("no such topic")
    with pytest.raises(AwsCallFailedError):
        asking.ask()

    asking.ask()

    assert len(asking.mails) == 1


# Decisions.


def test_as_many_different_people_as_the_policy_says_have_to_approve(asking: Asking) -> None:
    asking.plan(minApprovals=2)
    asking.ask(token="t")

    assert asking.decide(ANNA)[1]["result"] == "counted"
    assert asking.decide(ANNA)[1]["message"].startswith("Your approval counted already.")
    assert asking.answers == []
    assert asking.decide(BEN)[1]["result"] == "approved"

    assert asking.answers == [("t", {"decision": "approved", "by": "anna, ben", "reason": "looks good; looks good"})]
    assert [(one.by, one.via) for one in asking.approval.decisions] == [(ANNA, "url"), (BEN, "url")]


def test_one_rejection_is_enough_and_final(asking: Asking) -> None:
    asking.plan(minApprovals=2)
    asking.ask(token="t")
    asking.decide(ANNA)

    assert asking.decide(BEN, "reject", reason="not tonight")[1]["result"] == "rejected"

    assert asking.refusals == [("t", "ApprovalRejectedError", "ben rejected the plan: not tonight")]
    assert asking.decide(ANNA)[0] == 409


def test_somebody_may_still_reject_what_he_approved(asking: Asking) -> None:
    asking.plan(minApprovals=2)
    asking.ask()
    asking.decide(ANNA)

    assert asking.decide(ANNA, "reject")[1]["result"] == "rejected"


def test_who_started_a_run_may_reject_but_not_approve_it(asking: Asking) -> None:
    asking.plan(started_by=session(ROLE, "carla"))
    asking.ask()

    status, said = asking.decide(session(ROLE, "somebody-else"))
    assert status == 403
    assert "somebody else has to approve it" in said["message"]

    assert asking.decide(session(ROLE, "carla"), "reject")[0] == 200


def test_two_who_decide_at_the_same_time_both_count(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.plan(minApprovals=2)
    asking.ask()
    update = Table.update
    waiting = [BEN]

    def let_ben_be_quicker(table: Table, key: object, change: str, *more: object) -> object:
        if waiting and "approval" in change:
            asking.decide(waiting.pop())
        return update(table, key, change, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "update", let_ben_be_quicker)
    asking.decide(ANNA)

    assert asking.approval.decision == "approved"
    assert {one.by for one in asking.approval.decisions} == {ANNA, BEN}


def test_the_end_of_the_time_and_a_decision_cannot_both_win(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.plan()
    asking.ask()
    update = Table.update
    late = [True]

    def be_overtaken(table: Table, key: object, change: str, *more: object) -> object:
        if late and "approval" in change:
            late.clear()
            asking.clock.move(seconds=1200)
            asking.ask()
        return update(table, key, change, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "update", be_overtaken)
    status, _ = asking.decide(ANNA)

    assert status == 410
    assert asking.answers == []
    assert {error for _, error, _ in asking.refusals} == {"ApprovalTimedOutError"}


# What was written in the parameter.


def test_the_plain_command_line_is_as_good_as_any(asking: Asking) -> None:
    asking.plan()
    asking.ask(token="t")

    asking.write(f"approve {asking.hash}", session(SSO_ROLE, "anna@example.com"))

    assert asking.answers == [("t", {"decision": "approved", "by": "anna@example.com", "reason": ""})]
    assert asking.approval.decisions[0].via == "parameter"
    assert asking.ssm.histories == {}, "what is decided is tidied up"


def test_a_written_decision_counts_when_its_event_is_lost(asking: Asking) -> None:
    asking.plan()
    asking.ask()
    asking.write(f"reject {asking.hash}  the shop\n is busy", ANNA, tell=False)

    asking.ask(token="next")

    assert asking.refusals == [("next", "ApprovalRejectedError", "anna rejected the plan: the shop is busy")]


def test_a_written_decision_that_was_in_time_counts_although_it_is_found_later(asking: Asking) -> None:
    asking.plan()
    asking.ask()
    asking.write(f"approve {asking.hash}", ANNA, tell=False)
    asking.clock.move(seconds=1300)

    asking.ask()

    assert asking.approval.decision == "approved"


def test_every_value_counts_for_who_wrote_it(asking: Asking) -> None:
    asking.plan(minApprovals=2)
    asking.ask()
    asking.write(f"approve {asking.hash}", ANNA, tell=False)
    asking.write(f"approve {asking.hash}", BEN, tell=False)

    asking.tell_of_parameter()

    assert asking.approval.decision == "approved"


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("yes please", ANNA),
        ("approve", ANNA),
        (f"approve {'0' * 64}", ANNA),
        ("approve {hash}", "arn:aws:iam::123456789012:user/mallory"),
        ("approve {hash}", ""),
    ],
    ids=["no decision", "no plan", "another plan", "a stranger", "nobody"],
)
def test_what_is_written_wrongly_decides_nothing(asking: Asking, text: str, by: str) -> None:
    asking.plan()
    asking.ask()

    asking.write(text.replace("{hash}", asking.hash), by)

    assert asking.approval.decisions == ()
    assert (asking.answers, asking.refusals) == ([], [])


def test_what_is_written_late_wakes_nobody_up_for_an_approval(asking: Asking) -> None:
    asking.plan()
    asking.ask()
    asking.clock.move(seconds=1200)

    asking.write(f"approve {asking.hash}", ANNA)

    assert asking.approval.decision == "not_answered"
    assert [error for _, error, _ in asking.refusals] == ["ApprovalTimedOutError"], "the run need not wait any longer"


@pytest.mark.parametrize("name", ["/drydock/decisions/unknown", "/drydock/policy", "", "drydock/decisions/night-1"])
def test_an_event_about_another_parameter_is_harmless(asking: Asking, name: str) -> None:
    asking.plan()
    asking.ask()

    asking.tell_of_parameter(name)

    assert asking.approval.decision == ""


def test_a_parameter_that_cannot_be_deleted_fails_nothing(asking: Asking) -> None:
    asking.plan()
    asking.ask(token="t")
    asking.ssm.faults.before["delete_parameter"] = AwsCallFailedError("denied")

    asking.write(f"approve {asking.hash}", ANNA)

    assert [token for token, _ in asking.answers] == ["t"]


@pytest.fixture
def parameter_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssm]:
    """Systems Manager, as moto has it."""
    with mock_aws():
        client = boto3.client("ssm", region_name="ap-northeast-1")
        monkeypatch.setattr("drydock.aws.ssm.client", lambda service, attempts=4: client)
        yield Ssm()


def test_the_history_of_a_parameter_has_all_pages_the_oldest_first(parameter_store: Ssm) -> None:
    store: Any = parameter_store._client
    for number in range(60):
        store.put_parameter(Name=PARAMETER, Value=f"approve {number}", Type="String", Overwrite=True)

    history = parameter_store.parameter_history(PARAMETER)

    assert [version.value for version in history] == [f"approve {number}" for number in range(60)]
    assert history[0].at.tzinfo is not None


def test_the_history_says_who_wrote_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [
        {"Value": "reject", "LastModifiedUser": session(ROLE, "ben"), "LastModifiedDate": START, "Version": 2},
        {"Value": "approve", "LastModifiedUser": ANNA, "LastModifiedDate": START, "Version": 1},
    ]
    answering = SimpleNamespace(get_parameter_history=lambda **request: {"Parameters": versions})
    monkeypatch.setattr("drydock.aws.ssm.client", lambda service, attempts=4: answering)

    assert [(one.value, one.by) for one in Ssm().parameter_history(PARAMETER)] == [
        ("approve", ANNA),
        ("reject", session(ROLE, "ben")),
    ]


def test_a_parameter_that_is_not_there_has_no_history_and_is_deleted_already(parameter_store: Ssm) -> None:
    parameter_store.delete_parameter(PARAMETER)

    assert parameter_store.parameter_history(PARAMETER) == []


# A plan that was only made.


def test_a_plan_that_was_only_made_can_be_approved_and_carried_out_for_three_days(asking: Asking) -> None:
    asking.plan()
    asking.end("planned")
    asking.clock.move(hours=60)

    status, said = asking.decide(ANNA)

    assert (status, said["message"]) == (200, f"Plan {RUN} is approved.")
    assert asking.answers == []
    assert count_approvals(asking.run, [ANNA], "IAM", "") == 1
    assert count_approvals(asking.run, [BEN], "IAM", "") == 0, "she may not approve any more"
    assert count_approvals(asking.run, [ANNA], "IAM", ANNA) == 0, "who carries it out does not approve it"


def test_a_plan_that_was_only_made_can_be_approved_with_the_plain_command_line(asking: Asking) -> None:
    asking.plan()
    asking.end("planned")

    asking.write(f"approve {asking.hash}", ANNA)

    assert count_approvals(asking.run, [ANNA], "IAM", "") == 1
    assert asking.run.outcome == "planned", "the run itself stays as it has ended"
    assert asking.run.is_ended


def test_a_plan_that_is_too_old_or_of_a_run_that_was_not_only_planned_cannot_be_approved(asking: Asking) -> None:
    asking.plan()
    assert asking.decide(ANNA)[0] == 409
    asking.end("planned")
    asking.clock.move(days=3)

    assert asking.decide(ANNA)[0] == 410
    assert count_approvals(asking.run, [ANNA], "IAM", "") == 0


def test_a_run_that_has_ended_otherwise_cannot_be_approved(asking: Asking) -> None:
    asking.plan()
    asking.end("refused")

    assert asking.decide(ANNA)[0] == 410


def test_a_run_that_was_stopped_while_it_waited_cannot_be_approved(asking: Asking) -> None:
    asking.plan()
    asking.ask()
    close_run(asking.world.table, asking.run, RunStoppedError("stopped"), asking.clock())

    assert asking.decide(ANNA)[0] == 410
    assert asking.answers == []


# Who is who.


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, []),
        ("  ", []),
        (f"{ANNA}, {BEN} ,", [ANNA, BEN]),
        (json.dumps([ANNA, BEN]), [ANNA, BEN]),
        (json.dumps([ANNA, 7, ""]), [ANNA]),
        ("[broken", []),
    ],
)
def test_the_setting_is_read_as_a_list_or_with_commas(setting: str | None, expected: list[str]) -> None:
    assert read_approvers(setting) == expected


@pytest.mark.parametrize(
    ("arn", "approvers", "may"),
    [
        (ANNA, [ANNA], True),
        (ANNA, [BEN], False),
        ("", [""], False),
        ("arn", ["arn:aws:iam::123456789012:role/"], False),
        (session(ROLE, "anna"), [ROLE], True),
        (session(ROLE, "anna"), [session(ROLE, "anna")], True),
        (session(ROLE, "ben"), [session(ROLE, "anna")], False),
        (session(SSO_ROLE, "anna@example.com"), [SSO_ROLE], True),
        (session("Other", "anna"), [ROLE], False),
        (session(ROLE, "anna").replace("123456789012", "210987654321"), [ROLE], False),
        ("arn:aws:iam::123456789012:user/Ops", [ROLE], False),
    ],
)
def test_a_role_stands_for_all_who_have_assumed_it(arn: str, approvers: list[str], may: bool) -> None:
    assert may_approve(arn, approvers) is may


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ANNA, ANNA, True),
        (ANNA, BEN, False),
        (session(ROLE, "anna"), session(ROLE, "ben"), True),
        (session(ROLE, "anna"), ROLE, True),
        (session(ROLE, "anna"), session("Other", "anna"), False),
        (session(SSO_ROLE, "anna@example.com"), session(SSO_ROLE, "ben@example.com"), False),
        (session(SSO_ROLE, "anna@example.com"), session(SSO_ROLE, "anna@example.com"), True),
    ],
    ids=["user", "users", "sessions of a role", "a role", "roles", "people of Identity Center", "one of them"],
)
def test_a_session_whose_name_anybody_can_choose_makes_nobody_another_person(one: str, other: str, same: bool) -> None:
    assert (person_of(one) == person_of(other)) is same
