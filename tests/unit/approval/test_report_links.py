"""The link to a report: opens this one page for two weeks, by a key that no other link has and nothing stores."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from drydock.approval.report_links import hash_of_report_key, report_link
from drydock.aws.objects import Objects
from drydock.errors import AwsCallFailedError
from drydock.records.runs import end_run
from tests.unit.approval.approving import IAM, LINK, RUN, Asking, asking
from tests.unit.records.recorded import recorded_end

__all__ = ["asking"]


@pytest.fixture
def ended(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A run that has ended, in a stack with links."""
    asking.ways = LINK
    asking.plan(required=True)
    asking.ask()
    end = recorded_end(at=asking.clock(), report_link_hash=hash_of_report_key(LINK, asking.run))
    end_run(asking.world.table, asking.run, end)
    asking.services.objects = Objects("drydock-logs")
    return asking


def query_of(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def test_the_link_leads_to_the_page_of_this_run_signed_for_five_minutes(ended: Asking) -> None:
    link = report_link(LINK, ended.run)

    answer = ended.send("GET", "/report", query=query_of(link))

    assert link.startswith("https://abc.lambda-url.ap-northeast-1.on.aws/report?run=night-1&key=")
    assert answer["statusCode"] == 303
    there = urlsplit(answer["headers"]["Location"])
    assert there.scheme == "https"
    assert f"{there.netloc}{there.path}".endswith(f"/runs/{RUN}/report.html")
    signed = parse_qs(there.query)
    assert signed["X-Amz-Expires"] == ["300"]
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert answer["headers"]["Referrer-Policy"] == "no-referrer"
    assert answer["body"] == ""


def test_its_key_is_not_that_of_the_approval(ended: Asking) -> None:
    key = query_of(report_link(LINK, ended.run))["key"]

    assert key != ended.key
    assert ended.send("GET", "/report", query={"run": RUN, "key": ended.key})["statusCode"] == 404
    assert ended.send("GET", "/", query={"run": RUN, "key": key})["statusCode"] == 404


@pytest.mark.parametrize("query", [{}, {"run": RUN}, {"run": RUN, "key": "x"}, {"run": "other", "key": "x"}])
def test_without_its_key_there_is_nothing(ended: Asking, query: dict[str, str]) -> None:
    answer = ended.send("GET", "/report", query=query)

    assert answer["statusCode"] == 404
    assert "Location" not in answer["headers"]


def test_a_run_without_a_link_cannot_be_opened_with_any_key(asking: Asking) -> None:
    asking.ways = LINK
    asking.plan()
    asking.end("succeeded")

    assert asking.send("GET", "/report", query={"run": RUN, "key": ""})["statusCode"] == 404


def test_after_two_weeks_it_is_over(ended: Asking) -> None:
    query = query_of(report_link(LINK, ended.run))

    ended.clock.move(days=14, seconds=-1)
    assert ended.send("GET", "/report", query=query)["statusCode"] == 303
    ended.clock.move(seconds=1)
    answer = ended.send("GET", "/report", query=query)

    assert answer["statusCode"] == 410
    assert "Location" not in answer["headers"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 404), ("PUT", 404)])
def test_only_reading_is_signed(ended: Asking, method: str, status: int) -> None:
    answer = ended.send(method, "/report", query=query_of(report_link(LINK, ended.run)))

    assert answer["statusCode"] == status
    assert "Location" not in answer["headers"]


def test_key_and_address_are_in_no_log_and_not_in_the_table(ended: Asking, capfd: pytest.CaptureFixture[str]) -> None:
    link = report_link(LINK, ended.run)
    answer = ended.send("GET", "/report", query=query_of(link))

    signature = parse_qs(urlsplit(answer["headers"]["Location"]).query)["X-Amz-Signature"][0]
    written = "".join(capfd.readouterr())
    item = json.dumps(ended.run.require_end().to_item(), default=str)
    for secret in (query_of(link)["key"], signature):
        assert secret not in written
        assert secret not in item


def test_where_people_have_credentials_there_is_no_link(ended: Asking) -> None:
    assert hash_of_report_key(IAM, ended.run) == ""
    assert report_link(IAM, ended.run) == ""
    ended.ways = IAM
    query = query_of(report_link(LINK, ended.run))
    assert ended.send("GET", "/report", query=query)["statusCode"] == 404


def test_without_the_secret_people_hear_of_the_run_all_the_same(ended: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*about: str) -> str:
        raise AwsCallFailedError("GenerateMac: AccessDeniedException")

    monkeypatch.setattr("drydock.approval.report_links.make_key", refuse)

    assert report_link(LINK, ended.run) == ""
