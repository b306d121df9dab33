"""The function URL: signed requests, and the page behind a link."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from drydock.approval.approvals import Ways
from drydock.approval.deciding import decide_run
from drydock.aws.table import Item, Key, Table
from drydock.errors import AwsCallFailedError, RunStoppedError, ServiceUnavailableError
from drydock.records.runs import close_run, update_run
from drydock.times import to_text
from tests.unit.approval.approving import ANNA, BEN, LINK, RUN, Asking, a_machine, a_plan, asking
from tests.unit.fakes import START
from tests.unit.world import World, load_function

__all__ = ["asking"]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def asked(asking: Asking) -> Asking:
    """A run that waits, with signed requests."""
    asking.plan()
    asking.ask(token="t")
    return asking


@pytest.fixture
def linked(asking: Asking) -> Asking:
    """A run that waits, with a link in the mail."""
    asking.ways = LINK
    asking.plan()
    asking.ask(token="t")
    return asking


def body(response: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response["body"])
    return found


# Signed requests.


def test_a_signed_request_of_an_approver_approves(asked: Asking) -> None:
    status, said = asked.decide(ANNA)

    assert status == 200
    assert said == {
        "runId": RUN,
        "result": "approved",
        "message": f"Run {RUN} is approved, and goes on.",
        "by": ANNA,
    }
    assert asked.answers == [("t", {"decision": "approved", "by": "anna", "reason": "looks good"})]


def test_the_same_request_twice_decides_once_and_is_told_so(asked: Asking) -> None:
    asked.decide(ANNA)

    status, said = asked.decide(ANNA)

    assert (status, said["message"]) == (409, f"Run {RUN} was approved by anna already.")
    assert len(asked.approval.decisions) == 1


def test_a_repeated_request_wakes_a_run_that_the_first_one_could_not(asked: Asking) -> None:
    asked.world.executions.faults.before["answer"] = ServiceUnavailableError("down")
    asked.decide(ANNA)

    asked.decide(ANNA)

    assert [token for token, _ in asked.answers] == ["t"]


@pytest.mark.parametrize("caller", ["arn:aws:iam::123456789012:user/mallory", ""], ids=["a stranger", "nobody"])
def test_only_approvers_may_decide(asked: Asking, caller: str) -> None:
    for decision in ("approve", "reject"):
        status, said = asked.decide(caller, decision)

        assert status == 403
        assert "is not among the approvers in /drydock/approvers" in said["message"]
    assert asked.approval.decisions == ()


def test_without_approvers_nobody_may_decide(asked: Asking) -> None:
    asked.approvers()

    status, said = asked.decide(ANNA)

    assert (status, said["message"]) == (403, "Nobody may approve: /drydock/approvers names no approvers.")


def test_a_decision_about_another_plan_does_not_count(asked: Asking) -> None:
    assert asked.decide(ANNA, hash="0" * 64)[0] == 409
    assert asked.approval.decisions == ()


def test_an_unknown_run_is_not_found(asked: Asking) -> None:
    for run_id in ("another", "", "x" * 3000):
        assert asked.decide(ANNA, runId=run_id)[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "content", "content_type", "status"),
    [
        ("POST", "/decide", "{", JSON, 400),
        ("POST", "/decide", "[]", JSON, 400),
        ("POST", "/decide", '{"decision": "approve", "runId": 7}', JSON, 400),
        ("POST", "/decide", '{"decision": "approve", "more": ""}', JSON, 400),
        ("POST", "/decide", '{"decision": "perhaps"}', JSON, 400),
        ("POST", "/decide", b"\xff", JSON, 400),
        ("POST", "/decide", "{}", FORM, 415),
        ("POST", "/decide", "{}", "", 415),
        ("POST", "/decide", "x" * 9000, JSON, 413),
        ("GET", "/decide", "", "", 405),
        ("GET", "/", "", "", 404),
        ("POST", "/", "", "", 404),
    ],
)
def test_a_wrong_request_is_refused_with_one_sentence(
    asked: Asking, method: str, path: str, content: str | bytes, content_type: str, status: int
) -> None:
    response = asked.send(method, path, body=content, content_type=content_type, caller=ANNA)

    assert response["statusCode"] == status
    assert body(response)["message"].endswith(".")
    assert asked.approval.decisions == ()


def test_a_body_that_is_not_what_it_says_is_refused(asked: Asking) -> None:
    event = {
        "rawPath": "/decide",
        "requestContext": {"http": {"method": "POST"}},
        "body": "%%%",
        "isBase64Encoded": True,
    }

    response = decide_run(asked.services, asked.ways, event)

    assert response is not None
    assert response["statusCode"] == 400


@pytest.mark.parametrize(("error", "status"), [(ServiceUnavailableError("down"), 503), (AwsCallFailedError("no"), 500)])
def test_what_cannot_be_stored_is_said_not_to_be_decided(
    asked: Asking, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Table, "update", fail)

    assert asked.decide(ANNA) == (status, {"message": "Nothing was decided: try again in a minute."})


# The page.


def test_the_link_shows_the_plan_and_a_form(linked: Asking) -> None:
    page = linked.open_link()

    assert page["statusCode"] == 200
    assert "Patch 3 machines?" in page["body"]
    assert "<form" in page["body"]
    assert linked.hash in page["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_changes_nothing_however_often(linked: Asking, method: str) -> None:
    before = linked.run

    for _ in range(10):
        response = linked.open_link(method)

    assert linked.run == before
    assert (linked.answers, linked.refusals) == ([], [])
    assert (response["body"] == "") is (method == "HEAD")


@pytest.mark.parametrize(("decision", "title"), [("approve", "Approved"), ("reject", "Rejected")])
def test_the_form_decides_once(linked: Asking, decision: str, title: str) -> None:
    first = linked.fill_in(decision=decision, reason="why not")
    second = linked.fill_in(decision="reject" if decision == "approve" else "approve")

    assert first["statusCode"] == 200
    assert f"<h1>{title}</h1>" in first["body"]
    assert second["statusCode"] == 409
    assert "already" in second["body"]
    (stored,) = linked.approval.decisions
    assert (stored.via, stored.name, stored.reason) == ("link", "Anna", "why not")
    assert bool(linked.answers) is (decision == "approve")
    assert bool(linked.refusals) is (decision == "reject")


def test_after_the_decision_the_link_shows_who_decided_and_no_form(linked: Asking) -> None:
    linked.fill_in()

    page = linked.open_link()["body"]

    assert "This run was approved by Anna at 2026-01-13 10:00 +09:00 (Asia/Tokyo)." in page
    assert "<form" not in page


def test_a_late_form_is_told_and_ends_the_waiting(linked: Asking) -> None:
    linked.clock.move(seconds=1200)

    shown, answered = linked.open_link(), linked.fill_in()

    assert "<form" not in shown["body"] and "Too late" in shown["body"]
    assert answered["statusCode"] == 410
    assert "until 2026-01-13 10:20 +09:00 (Asia/Tokyo)" in answered["body"]
    assert [error for _, error, _ in linked.refusals] == ["ApprovalTimedOutError"]


def test_a_run_that_was_stopped_shows_no_form(linked: Asking) -> None:
    close_run(linked.world.table, linked.run, RunStoppedError("stopped"), linked.clock())

    assert "This run was stopped before it was decided." in linked.open_link()["body"]
    assert linked.fill_in()["statusCode"] == 410


def test_a_form_for_another_plan_does_not_count(linked: Asking) -> None:
    assert linked.fill_in(hash="0" * 64)["statusCode"] == 409
    assert linked.approval.decisions == ()


def test_without_a_name_nothing_is_decided_and_the_form_comes_back(linked: Asking) -> None:
    page = linked.fill_in(name=" \n ", reason="a <reason>")

    assert page["statusCode"] == 400
    assert "please give your name" in page["body"]
    assert "a &lt;reason&gt;" in page["body"]
    assert linked.approval.decisions == ()


def test_the_same_name_counts_once_however_it_is_written(linked: Asking) -> None:
    linked.world.table.update(
        {"pk": f"RUN#{RUN}", "sk": "RUN"},
        "SET #policy.approval.minApprovals = :two",
        "attribute_exists(pk)",
        {"#policy": "policy"},
        {":two": 2},
    )
    linked.fill_in(name="Anna B")

    again = linked.fill_in(name="  anna   b ")
    assert "Your approval counted already. 1 more of different people is needed." in again["body"]
    assert "approved by Anna B" in linked.open_link()["body"]

    assert "<h1>Approved</h1>" in linked.fill_in(name="Ben")["body"]


def test_a_name_that_looks_like_an_arn_is_only_a_name(linked: Asking) -> None:
    linked.fill_in(name=ANNA)

    assert linked.approval.decisions[0].via == "link"
    assert linked.approval.decisions[0].person.startswith("name:")


def test_unknown_runs_and_wrong_keys_get_one_and_the_same_answer_and_no_log(
    linked: Asking, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    wrong = [
        linked.open_link(run="another"),
        linked.open_link(run="x" * 3000),
        linked.open_link(run=""),
        linked.open_link(key="forged"),
        linked.open_link(key=""),
        linked.send("GET"),
        linked.fill_in(run="another"),
        linked.fill_in(key="forged"),
    ]

    assert {response["statusCode"] for response in wrong} == {404}
    assert len({json.dumps(response) for response in wrong}) == 1
    assert capfd.readouterr().out == ""
    assert linked.approval.decisions == ()


def test_as_much_is_read_for_an_unknown_run_as_for_a_wrong_key(linked: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    key = linked.key
    reads: list[object] = []
    get = Table.get

    def note(table: Table, key: Key) -> Item | None:
        reads.append(key)
        return get(table, key)

    monkeypatch.setattr(Table, "get", note)

    def count(**query: str) -> int:
        reads.clear()
        linked.send("GET", query=query)
        return len(reads)

    assert count(run="another", key=key) == count(run=RUN, key="forged") == count(run="", key="") == 1


def test_a_run_without_a_link_cannot_be_opened_with_any_key(asking: Asking) -> None:
    asking.plan()
    asking.ask()
    asking.ways = LINK

    for key in ("", "0" * 64):
        assert asking.send("GET", query={"run": RUN, "key": key})["statusCode"] == 404


@pytest.mark.parametrize(
    ("method", "path", "content", "content_type", "status"),
    [
        ("PUT", "/", "", FORM, 405),
        ("DELETE", "/", "", FORM, 405),
        ("OPTIONS", "/", "", FORM, 405),
        ("GET", "/favicon.ico", "", "", 404),
        ("POST", "/decide", "{}", JSON, 404),
        ("POST", "/", "{}", JSON, 415),
        ("POST", "/", "", "multipart/form-data; boundary=x", 415),
        ("POST", "/", "a" * 9000, FORM, 413),
        ("POST", "/", b"\xff", FORM, 400),
        ("POST", "/", "name=%ff", FORM, 400),
        ("POST", "/", "&".join(f"a{number}=1" for number in range(30)), FORM, 400),
    ],
)
def test_what_a_browser_would_not_send_is_refused(
    linked: Asking, method: str, path: str, content: str | bytes, content_type: str, status: int
) -> None:
    response = linked.send(method, path, body=content, content_type=content_type)

    assert response["statusCode"] == status
    assert response["body"].startswith("<!doctype html>")
    assert linked.approval.decisions == ()


def test_a_form_without_a_decision_or_with_two_decides_nothing(linked: Asking) -> None:
    assert linked.fill_in(decision="")["statusCode"] == 400
    both = f"run={RUN}&key={linked.key}&hash={linked.hash}&name=A&decision=approve&decision=reject"
    assert linked.send(body=both, content_type=FORM)["statusCode"] == 400
    assert linked.approval.decisions == ()


def test_asking_for_the_headers_alone_brings_no_body_whatever_is_there(linked: Asking) -> None:
    missing = linked.send("HEAD", "/favicon.ico")

    assert (missing["statusCode"], missing["body"]) == (404, "")


def test_a_method_that_is_not_allowed_says_which_are(linked: Asking) -> None:
    assert linked.send("PUT")["headers"]["Allow"] == "GET, HEAD, POST"


def test_every_page_forbids_scripts_framing_keeping_and_telling_where_one_came_from(linked: Asking) -> None:
    for response in (linked.open_link(), linked.fill_in(), linked.send("GET"), linked.send("PUT")):
        headers = response["headers"]
        policy = headers["Content-Security-Policy"].split("; ")
        assert policy[0] == "default-src 'none'"
        assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "noindex" in headers["X-Robots-Tag"]


def test_a_plan_that_was_changed_in_the_bucket_is_not_shown(linked: Asking) -> None:
    linked.objects.stored[f"runs/{RUN}/plan.json"]["machines"].append(a_machine(9))

    page = linked.open_link()

    assert page["statusCode"] == 409
    assert "<form" not in page["body"]


def test_trouble_is_shown_as_a_page_that_gives_nothing_away(linked: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ServiceUnavailableError("table drydock-State: secret details")

    monkeypatch.setattr(Table, "update", fail)

    page = linked.fill_in()

    assert page["statusCode"] == 503
    assert "try again in a minute" in page["body"]
    assert "secret details" not in page["body"]


def test_with_links_too_the_plain_command_line_is_good_for_approvers(linked: Asking) -> None:
    assert f"approve {linked.hash}" in linked.mail

    linked.write(f"approve {linked.hash}", BEN)

    assert [token for token, _ in linked.answers] == ["t"]


# The handlers.


def test_the_handlers_read_how_people_can_answer_from_the_environment(
    asking: Asking, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.plan()
    for name, value in {"AUTH": "IAM", "URL": "", "KEY": ""}.items():
        monkeypatch.setenv(f"APPROVAL_{name}", value)
    monkeypatch.setenv("APPROVALS_TOPIC", "arn:aws:sns:ap-northeast-1:123456789012:drydock-Approvals")
    monkeypatch.setattr(world, "services", asking.services)

    world.run("ask_for_approval", world.event("Ask For Approval", holder=asking.run.holder))

    assert len(asking.mails) == 1
    content = json.dumps({"runId": RUN, "hash": asking.hash, "decision": "approve"})
    event = {
        "rawPath": "/decide",
        "headers": {"Content-Type": JSON},
        "requestContext": {"http": {"method": "POST"}, "authorizer": {"iam": {"userArn": ANNA}}},
        "body": base64.b64encode(content.encode()).decode(),
        "isBase64Encoded": True,
    }
    assert world.run("decide_run", event)["statusCode"] == 200
    assert load_function("decide_run").handler.__name__ == "handler"


def test_what_is_not_said_to_be_links_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_AUTH", "anything")

    assert Ways.read().auth == "IAM"


@pytest.fixture
def ahead(asking: Asking) -> Asking:
    """A plan for a window that opens in twelve hours, approved with its link."""
    asking.ways = LINK
    opens = START + timedelta(hours=12)
    window = {"windowId": "mw-1", "executionId": "", "name": "night", "start": to_text(opens), "end": to_text(opens)}
    asking.plan(a_plan(window=window), is_only=True, required=True, ahead=2)
    asking.ask()
    asking.end("planned")
    assert asking.fill_in()["statusCode"] == 200
    assert asking.approval.decision == "approved"
    return asking


def test_an_approved_plan_that_is_not_carried_out_shows_a_form_that_only_rejects(ahead: Asking) -> None:
    page = ahead.open_link()["body"]

    assert "Withdraw the approval" in page and 'value="reject"' in page
    assert 'value="approve"' not in page and "was approved by Anna" in page
    assert ahead.approval.decision == "approved", "to look changes nothing"


def test_an_approval_is_withdrawn_once_and_not_given_again(ahead: Asking) -> None:
    first = ahead.fill_in(decision="reject", name="Ben", reason="quarter end")
    again = [ahead.fill_in(decision=decision, name="Cleo") for decision in ("approve", "reject")]

    assert (first["statusCode"], [page["statusCode"] for page in again]) == (200, [409, 409])
    assert ahead.approval.decision == "rejected"
    assert [one.name for one in ahead.approval.decisions] == ["Anna", "Ben"]
    assert "<form" not in ahead.open_link()["body"]


@pytest.mark.parametrize("wrong", [{"hash": "0" * 64}, {"key": "x"}, {"name": " "}], ids=["plan", "key", "nobody"])
def test_an_approval_is_not_withdrawn_by_what_would_not_have_given_it(ahead: Asking, wrong: dict[str, str]) -> None:
    assert ahead.fill_in(**{"decision": "reject", "name": "Ben", **wrong})["statusCode"] >= 400
    assert ahead.approval.decision == "approved"


def test_an_approval_cannot_be_withdrawn_by_reading(ahead: Asking) -> None:
    ahead.open_link(decision="reject", name="Ben", hash=ahead.hash)

    assert ahead.approval.decision == "approved"


def test_what_is_carried_out_shows_no_form_and_is_stopped_instead(ahead: Asking) -> None:
    update_run(ahead.world.table, ahead.run, {"carriedOutBy": "night-2"}, "attribute_exists(pk)", {})

    assert "<form" not in ahead.open_link()["body"]
    page = ahead.fill_in(decision="reject", name="Ben")
    assert page["statusCode"] == 409
    assert "drydock stop night-2 --stack drydock --region ap-northeast-1" in page["body"]
