"""Messages are for people: what, which machine, which state, what next, where; no JSON, a short subject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drydock import errors
from drydock.catalogue.english.language import ENGLISH
from drydock.catalogue.saying import say
from drydock.machine.messages import failure_message, not_given_back_message, success_message
from drydock.records.results import Work
from drydock.telling.envelope import wrap_for_protocols
from drydock.telling.tell_once import tell_once
from drydock.telling.text import NEXT_STEPS, Location, advice_for, console_link, machine_text, object_link, windows_link
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result, some_findings, some_patches, some_work
from tests.unit.world import EXECUTION, HOLDER, INSTANCE, TOPIC, World

VERDICTS = [key.removeprefix("verdict.") for key in ENGLISH.sentences if key.startswith("verdict.")]
LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
WORK = some_work(problems=["the tag could not be written"], findings=some_findings(hooks={"onExit": "ran"}))


def failure(**more: Any) -> tuple[str, str]:
    given: dict[str, Any] = {
        "instance_id": INSTANCE,
        "name": "web-1",
        "execution": EXECUTION,
        "failure": {"error": "ImageFailedError", "cause": "image ami-1 is failed"},
        "ended": START + timedelta(hours=1),
        "power": "running",
        "state": "It was given back as it was found.",
        "result": a_result("failed", work=replace(WORK, verdict="not_patched")),
        "location": LOCATION,
    }
    return failure_message(**{**given, **more})


def success(work: Work = WORK, location: Location = LOCATION) -> tuple[str, str]:
    return success_message(a_result(work=work), work, location)


def test_a_success_tells_all_that_people_ask() -> None:
    subject, text = success()

    assert subject == f"Drydock: web-1 ({INSTANCE}) was patched"
    for part in (
        "nothing is missing",
        "Account 123456789012, Region ap-northeast-1",
        "2026-01-13 10:00 +09:00 (Asia/Tokyo)",
        "Power: stopped before, stopped now",
        "Rebooted: yes",
        "Missing patches: 2 before, 0 after",
        "Installed: KB1, KB2",
        "Hook onExit: ran",
        "Image before: ami-1",
        "Note: the tag could not be written",
        console_link(EXECUTION, LOCATION),
    ):
        assert part in text
    assert "Image after" not in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws", "ap-northeast-1", "https://ap-northeast-1.console.aws.amazon.com/"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn/"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/"),
    ],
)
def test_people_are_led_to_the_console_of_their_partition(partition: str, region: str, console: str) -> None:
    link = console_link(EXECUTION, Location(partition, "123456789012", region, "UTC"))

    assert link.startswith(console) and link.endswith(EXECUTION)


def test_a_zone_that_is_not_known_keeps_no_message_back() -> None:
    _, text = success(location=replace(LOCATION, time_zone="Asia/Tokio"))

    assert "2026-01-13 01:00 +00:00 (UTC)" in text


def test_a_scan_is_not_called_patched() -> None:
    subject, _ = success(replace(WORK, verdict="scanned"))

    assert subject.endswith("was scanned")


AGENTS = [
    {"agent": "AmazonSSMAgent", "name": "SSM Agent", "before": "3.2.1", "after": "3.3.2", "verdict": "updated"},
    {
        "agent": "AmazonCloudWatchAgent",
        "name": "CloudWatch Agent",
        "before": "1.3",
        "after": "1.3",
        "verdict": "failed",
    },
]
OF_AGENTS = some_findings(agents=AGENTS, patches_before=None, patches_after=None, installed=[])
UPDATED = some_work(operation="UpdateAgents", verdict="updated", findings=OF_AGENTS)


def test_updated_agents_are_told_with_their_versions_and_nothing_is_said_of_patches() -> None:
    subject, text = success(UPDATED)

    assert subject == f"Drydock: web-1 ({INSTANCE}): agents were updated"
    assert text.startswith(f"web-1 ({INSTANCE}): agents were updated: SSM Agent 3.2.1 → 3.3.2, CloudWatch Agent 1.3.\n")
    assert "patch" not in text.replace("PatchInstance", "")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", "1.3", "CloudWatch Agent not installed → 1.3"),
        ("1.3", "", "CloudWatch Agent 1.3 → not known"),
        ("", "", "CloudWatch Agent not installed"),
    ],
)
def test_an_agent_that_has_no_version_is_told_so(before: str, after: str, said: str) -> None:
    agents: Any = [{**AGENTS[1], "before": before, "after": after}]

    _, text = success(replace(UPDATED, findings=replace(OF_AGENTS, agents=agents)))

    assert f": {said}.\n" in text


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("failed", "an agent could not be updated"),
        ("not_patched", "no agent was updated"),
        ("unknown", "it is not known which agents are installed"),
    ],
)
def test_an_update_that_failed_says_nothing_of_patches(verdict: str, said: str) -> None:
    subject, text = failure(
        result=a_result("failed", work=replace(UPDATED, verdict=verdict)),
        failure={"error": "AgentUpdateFailedError", "cause": "SSM Agent: the update failed"},
    )

    assert subject == f"Drydock: web-1 ({INSTANCE}) was not updated well: AgentUpdateFailedError"
    for part in (f"Verdict: {said}", "  SSM Agent 3.2.1 → 3.3.2", "  CloudWatch Agent 1.3", "the update's output"):
        assert part in text


def test_counts_that_are_not_known_are_not_called_zero_or_minus_one() -> None:
    counted = some_findings(patches_before=some_patches(missing=-1), patches_after=some_patches(missing=3))

    _, text = success(replace(WORK, findings=counted))

    assert "Missing patches: unknown before, 3 after" in text


def test_a_failure_tells_the_cause_the_state_and_what_to_do() -> None:
    subject, text = failure()

    assert subject == f"Drydock: web-1 ({INSTANCE}) was not patched well: ImageFailedError"
    for part in (
        "image ami-1 is failed",
        "Reason: ImageFailedError",
        "At 2026-01-13 11:00 +09:00 (Asia/Tokyo)",
        "The machine is running now. It was given back as it was found.",
        "Verdict: nothing was installed",
        "What to do next",
        "No patch without a good backup",
        console_link(EXECUTION, LOCATION),
    ):
        assert part in text
    assert "{" not in text


def test_a_refusal_tells_no_verdict() -> None:
    subject, text = failure(result=a_result("refused"), name="", power="")

    assert subject.startswith(f"Drydock: {INSTANCE} was refused")
    assert "Verdict" not in text
    assert "The machine is not known now." in text


def test_a_failure_without_a_result_or_a_cause_is_still_told() -> None:
    subject, text = failure(result=None, failure={"error": "States.Timeout", "cause": ""})

    assert "States.Timeout" in subject
    assert text.startswith(f"web-1 ({INSTANCE}) was not patched well: States.Timeout")
    assert "Read the reason above" in text


def test_a_machine_that_cannot_be_given_back_is_told_with_the_hindrance() -> None:
    subject, text = not_given_back_message(
        instance_id=INSTANCE,
        name="web-1",
        execution=EXECUTION,
        hindrance="stop-protected",
        power="running",
        group="",
        may_install=False,
        location=LOCATION,
    )

    assert subject == f"Drydock: web-1 ({INSTANCE}) could not be given back yet"
    assert "stop-protected" in text and "What to do next" in text


@pytest.mark.parametrize(
    ("group", "said"),
    [("", "goes on trying.\n"), ("web", "a member of group web, and stays out of service until then.")],
)
def test_of_a_machine_on_which_something_may_install_people_are_told_what_and_to_let_it_end(
    group: str, said: str
) -> None:
    _, text = not_given_back_message(
        instance_id=INSTANCE,
        name="web-1",
        execution=EXECUTION,
        hindrance="install (command c-1) was cut short and may go on: dnf (812) holds /var/lib/rpm/.rpm.lock",
        power="running",
        group=group,
        may_install=True,
        location=LOCATION,
    )

    assert f"web-1 ({INSTANCE}) could not be given back yet" in text
    assert "dnf (812) holds /var/lib/rpm/.rpm.lock" in text
    assert said in text
    assert "Do not stop, reboot or restore the machine while something installs" in text
    assert "you may set its power yourself" not in text


@pytest.mark.parametrize(
    "name", ["x" * 256, "a\nb\tc\x00d", "夜間バッチ" * 30, ""], ids=["long", "control characters", "kanji", "none"]
)
def test_a_subject_is_one_line_that_sns_accepts(name: str) -> None:
    subjects = [
        success(replace(WORK, name=name))[0],
        failure(name=name)[0],
        not_given_back_message(
            instance_id=INSTANCE,
            name=name,
            execution=EXECUTION,
            hindrance="",
            power="",
            group="",
            may_install=False,
            location=LOCATION,
        )[0],
    ]

    for subject in subjects:
        assert 0 < len(subject) < 100
        assert subject.isprintable()


@pytest.mark.parametrize(("name", "text"), [("web-1", f"web-1 ({INSTANCE})"), ("", INSTANCE)])
def test_a_machine_has_its_name_where_it_has_one(name: str, text: str) -> None:
    assert machine_text(INSTANCE, name) == text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_can_be_told(verdict: str) -> None:
    assert say(f"verdict.{verdict}") in failure(result=a_result("failed", work=replace(WORK, verdict=verdict)))[1]


FINAL = [
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.DrydockError) and "NotReady" not in name
]


@pytest.mark.parametrize("error", FINAL)
def test_every_error_is_told_with_something_to_do(error: str) -> None:
    _, text = failure(failure={"error": error, "cause": "the cause"})

    advice = text.split("What to do next\n")[1].splitlines()[0].strip()
    assert advice == advice_for(error)


def test_links_lead_to_reports_and_windows_in_the_console_of_their_partition() -> None:
    china = Location("aws-cn", "123456789012", "cn-north-1", "UTC")

    report = object_link("drydock-logs", "runs/night-7/report.json", china)
    assert report == "https://cn-north-1.console.amazonaws.cn/s3/object/drydock-logs?prefix=runs/night-7/report.json"
    assert windows_link(china).startswith("https://cn-north-1.console.amazonaws.cn/systems-manager/")


def wrapped(subject: str = "Drydock: a subject", text: str = "a text") -> dict[str, str]:
    message = wrap_for_protocols(subject, text, thread="night-7", event="drydock.run.failed", resources=[EXECUTION])
    assert len(message.encode()) < 260_000, "SNS takes 262,144 bytes, attributes included"
    texts = json.loads(message)
    assert {type(text) for text in texts.values()} == {str}, "SNS ignores what is no string"
    return dict(texts)


def chat(text: str, subject: str = "Drydock: a subject") -> Mapping[str, Any]:
    """The content as AWS Chatbot gets it, within its limits."""
    notification = json.loads(wrapped(subject, text)["https"])
    content: Mapping[str, Any] = notification["content"]
    assert len(content["title"]) <= 250
    assert len(content["description"]) <= 8_000
    assert all(len(step) <= 350 for step in content.get("nextSteps", []))
    return content


def test_a_mail_reader_gets_text_and_a_chat_room_aws_chatbots_schema() -> None:
    subject, text = failure()

    texts = wrapped(subject, text)

    assert set(texts) == {"default", "email", "https"}
    assert texts["default"] == texts["email"] == text
    notification = json.loads(texts["https"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    assert notification["content"]["textType"] == "client-markdown"
    assert notification["content"]["title"] == notification["metadata"]["summary"] == subject
    assert notification["metadata"]["threadId"] == "night-7"
    assert notification["metadata"]["eventType"] == "drydock.run.failed"
    assert notification["metadata"]["relatedResources"] == [EXECUTION]


def test_a_chat_room_sees_what_to_do_next_as_a_list_and_only_there() -> None:
    content = chat(failure()[1])

    assert content["nextSteps"] == ["No patch without a good backup: see why EC2 could not make the image."]
    assert "No patch without" not in content["description"] and NEXT_STEPS not in content["description"]
    assert "image ami-1 is failed" in content["description"] and "Where to look" in content["description"]


@pytest.mark.parametrize("steps", [["x" * 351], ["<" * 90], ["step"] * 11], ids=["long", "long once escaped", "many"])
def test_steps_that_chat_would_cut_stay_whole_in_the_text(steps: list[str]) -> None:
    text = "\n".join(["headline", "", NEXT_STEPS, *(f"  {step}" for step in steps), "", "Where to look"])

    content = chat(text)

    assert "nextSteps" not in content
    assert content["description"].count("\n") == text.count("\n")


def test_a_message_without_steps_has_none_in_chat() -> None:
    assert "nextSteps" not in chat(success()[1])


@pytest.mark.parametrize("name", ["<!channel>", "<@U123>", "<https://evil.example|click>", "a <& b"])
def test_the_name_of_a_machine_calls_nobody_and_makes_no_link_in_chat(name: str) -> None:
    subject, text = failure(name=name)

    content = chat(text, subject)

    shown = content["title"] + content["description"]
    assert "<" not in shown and ">" not in shown
    assert "&lt;" in shown
    assert name in wrapped(subject, text)["email"]


def test_a_title_full_of_escapes_ends_between_two_of_them() -> None:
    title = chat("text", "<" * 99)["title"]

    assert title.replace("&lt;", "") == "…"


def test_a_link_is_the_same_in_chat() -> None:
    link = "https://abc.lambda-url.ap-northeast-1.on.aws/?run=night-7&key=k-1_2"

    content = chat(f"headline\n\n{NEXT_STEPS}\n  {link}\n\nor {link}")

    assert content["nextSteps"] == [link]
    assert f"or {link}" in content["description"]


@pytest.mark.parametrize(
    "text",
    ["x" * 300_000, "line\n" * 100_000, '"\\' * 200_000, "🛳" * 100_000, "\x00\x1b" * 100_000, "<&>\n" * 50_000],
    ids=["one line", "many lines", "quotes", "emoji", "control characters", "escapes"],
)
def test_no_text_is_too_long_or_too_strange_to_be_told(text: str) -> None:
    assert len(wrapped(text=text)["email"]) > 10_000
    assert len(chat(text)["description"]) > 3_000


def test_a_text_that_is_cut_says_so_and_is_cut_at_the_end_of_a_line() -> None:
    text = "\n".join(f"line {number:05d}" for number in range(10_000))

    mail, description = wrapped(text=text)["email"].splitlines(), chat(text)["description"].splitlines()

    for lines in (mail, description):
        assert "cut" in lines[-1]
        assert {len(line) for line in lines[:-2]} == {10}
    assert {len(line) for line in description[:-1]} == {10}


def test_characters_that_are_no_text_reach_nobody() -> None:
    mail = wrapped(text="tab\tkept\nbell\x07 half \ud83d")["email"]

    assert mail == "tab\tkept\nbell  half ?"


def test_a_chat_message_of_machines_in_a_run_stands_in_the_runs_thread(world: World) -> None:
    tell_once(world.services, HOLDER, "outcome", "subject", "text", {"kind": "machine", "run": "night-7"})
    tell_once(world.services, HOLDER, "other", "subject", "text", {"kind": "machine", "outcome": "failed", "run": ""})

    in_run, by_hand = (json.loads(json.loads(one["Message"])["https"]) for one in world.clients.published)
    assert {one["MessageStructure"] for one in world.clients.published} == {"json"}
    assert (in_run["metadata"]["threadId"], in_run["metadata"]["eventType"]) == ("night-7", "drydock.machine")
    assert (by_hand["metadata"]["threadId"], by_hand["metadata"]["eventType"]) == (
        HOLDER.name,
        "drydock.machine.failed",
    )


def test_a_message_goes_to_the_topic_that_is_asked_for_whatever_the_settings_say(world: World) -> None:
    world.ssm.parameters["/drydock/topic"] = "arn:aws:sns:ap-northeast-1:123456789012:others"
    asked = TOPIC.replace("Results", "Approvals")

    tell_once(world.services, HOLDER, "approval", "subject", "text", {"kind": "approval"}, topic=asked)

    (message,) = world.clients.published
    assert message["TopicArn"] == asked
