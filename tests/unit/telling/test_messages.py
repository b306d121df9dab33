"""Messages are for people: what, which machine, which state, what next, where; no JSON, a short subject."""

from __future__ import annotations

import json
import shlex
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
from drydock.telling.message import WIDTH, Command, Link, Message, Section, steps
from drydock.telling.tell_once import tell_once
from drydock.telling.text import Location, advice_for, console_link, machine_text, object_link, windows_link
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result, some_findings, some_patches, some_work
from tests.unit.telling.reading import STEPS, flat, rows_of
from tests.unit.world import EXECUTION, HOLDER, INSTANCE, TOPIC, World

VERDICTS = [key.removeprefix("verdict.") for key in ENGLISH.sentences if key.startswith("verdict.")]
LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
WORK = some_work(problems=["the tag could not be written"], findings=some_findings(hooks={"onExit": "ran"}))


BUCKET = "drydock-logs"


def failure(**more: Any) -> Message:
    given: dict[str, Any] = {
        "instance_id": INSTANCE,
        "name": "web-1",
        "execution": EXECUTION,
        "failure": {"error": "ImageFailedError", "cause": "image ami-1 is failed"},
        "ended": START + timedelta(hours=1),
        "power": "running",
        "power_before": "running",
        "state": "It was given back as it was found.",
        "result": a_result("failed", work=replace(WORK, verdict="not_patched")),
        "location": LOCATION,
        "bucket": BUCKET,
    }
    return failure_message(**{**given, **more})


def success(work: Work = WORK, location: Location = LOCATION) -> Message:
    return success_message(a_result(work=work), work, location, BUCKET)


def test_a_success_tells_all_that_people_ask() -> None:
    message = success()

    assert message.subject == f"Drydock, look tomorrow: web-1 ({INSTANCE}) was patched, with something to look at"
    for part in (
        "Account 123456789012, Region ap-northeast-1; times in Asia/Tokyo",
        "From 2026-01-13 10:00 to 2026-01-13",
        "Power: stopped before, stopped now",
        "Rebooted: yes",
        "Missing patches: 2 before, 0 now",
        "Installed: KB1, KB2",
        "Hook onExit: ran",
        "Image before: ami-1",
        "Note: the tag could not be written",
        console_link(EXECUTION, LOCATION),
    ):
        assert part in flat(message.text)
    assert "Image after" not in message.text
    assert "{" not in message.text


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


def test_a_machine_that_went_well_asks_for_nothing() -> None:
    message = success(replace(WORK, problems=[]))

    assert message.subject == f"Drydock: web-1 ({INSTANCE}) was patched"
    assert message.text.startswith(f"Nothing to do: web-1 ({INSTANCE}) was patched.\n")


def test_a_zone_that_is_not_known_keeps_no_message_back() -> None:
    assert "From 2026-01-13 01:00 to" in success(location=replace(LOCATION, time_zone="Asia/Tokio")).text


def test_the_zone_is_named_once_and_the_times_of_others_are_read_in_it() -> None:
    cause = "the agent is silent since 2026-01-12T17:40:44.633Z; last ping 2026-01-11 15:56:54 UTC"

    text = flat(failure(failure={"error": "AgentUnreachableError", "cause": cause}).text)

    assert "silent since 2026-01-13 02:40; last ping 2026-01-12 00:56" in text
    assert text.count("Asia/Tokyo") == 1 and "UTC" not in text and "Z;" not in text


def test_a_scan_is_not_called_patched_and_says_what_is_missing() -> None:
    scanned = replace(WORK, operation="Scan", verdict="scanned")
    found = some_findings(patches_after=some_patches(missing=2, missingPatches=["KB9", "KB8"]))

    nothing, two = success(scanned), success(replace(scanned, findings=found))

    assert nothing.first.startswith(f"Nothing to do: web-1 ({INSTANCE}) was scanned, and nothing is missing.")
    assert two.subject == f"Drydock, look tomorrow: web-1 ({INSTANCE}) was scanned: 2 patches are missing"
    assert "Missing, worst first: KB9, KB8" in two.text


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
    message = success(UPDATED)

    assert message.subject == f"Drydock: web-1 ({INSTANCE}): agents were updated"
    assert {"SSM Agent 3.2.1 → 3.3.2", "CloudWatch Agent 1.3"} <= set(message.facts)
    assert "patch" not in message.text.replace("PatchInstance", "")


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

    assert said in success(replace(UPDATED, findings=replace(OF_AGENTS, agents=agents))).facts


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("failed", "an agent could not be updated"),
        ("not_patched", "no agent was updated"),
        ("unknown", "it is not known which agents are installed"),
    ],
)
def test_an_update_that_failed_says_nothing_of_patches(verdict: str, said: str) -> None:
    message = failure(
        result=a_result("failed", work=replace(UPDATED, verdict=verdict)),
        failure={"error": "AgentUpdateFailedError", "cause": "SSM Agent: the update failed"},
    )

    assert message.subject == f"Drydock, look tomorrow: web-1 ({INSTANCE}): an agent could not be updated"
    for part in (said, "SSM Agent 3.2.1 → 3.3.2", "CloudWatch Agent 1.3", "the update's output"):
        assert part in message.text


def test_counts_that_are_not_known_are_not_called_zero_or_minus_one() -> None:
    counted = some_findings(patches_before=some_patches(missing=-1), patches_after=some_patches(missing=3))

    assert "Missing patches: an unknown number before, 3 now" in success(replace(WORK, findings=counted)).facts


def test_a_failure_tells_the_cause_the_state_and_what_to_do() -> None:
    message = failure()

    assert message.subject == f"Drydock, look tomorrow: web-1 ({INSTANCE}): no image could be made"
    assert message.text.startswith(f"Look tomorrow: web-1 ({INSTANCE}): no image could be made.\n")
    for part in (
        "It was given back as it was found.",
        "Reason: image ami-1 is failed",
        "Error: ImageFailedError",
        "Patches: nothing was installed",
        "What to do next",
        "No patch without a good backup",
        console_link(EXECUTION, LOCATION),
    ):
        assert part in message.text
    assert "{" not in message.text


def test_nothing_reads_more_urgent_than_a_machine_that_is_patched_and_unwell() -> None:
    message = failure(
        failure={"error": "HealthCheckFailedError", "cause": "health probe Check-Site ended as Failed"},
        result=a_result("failed", work=replace(WORK, verdict="compliant")),
    )

    assert message.subject == f"Drydock, act now: web-1 ({INSTANCE}) is patched and unwell"
    assert message.text.startswith(f"Act now: web-1 ({INSTANCE}) is patched and unwell.")


@pytest.mark.parametrize(
    ("error", "before", "now", "urgency"),
    [
        ("PatchingFailedError", "running", "running", "tomorrow"),
        ("PatchingFailedError", "running", "stopped", "now"),
        ("InstanceStoppedError", "running", "stopped", "tomorrow"),
        ("StopTimedOutError", "stopped", "running", "tomorrow"),
        ("AgentUnreachableError", "running", "running", "now"),
        ("AgentUnreachableError", "stopped", "stopped", "tomorrow"),
        ("CommandTimedOutError", "running", "running", "now"),
        ("HealthCheckFailedError", "stopped", "stopped", "now"),
        ("InstanceBusyError", "", "running", "tomorrow"),
    ],
)
def test_somebody_is_woken_for_what_may_not_serve_although_it_did(
    error: str, before: str, now: str, urgency: str
) -> None:
    work = replace(WORK, verdict="unknown", power_before=before or "running", power_after=now)
    result = a_result("failed", work=work) if before else None

    message = failure(failure={"error": error, "cause": ""}, power_before=before, power=now, result=result)

    assert message.urgency == urgency


def test_in_a_run_people_hear_whether_it_goes_on_before_anything_else() -> None:
    lines = failure(run_says=["The run goes on: 1 machine has failed, and 2 may before no other begins."]).text
    assert lines.splitlines()[1].startswith("The run goes on")


def test_a_refusal_tells_no_verdict() -> None:
    message = failure(result=a_result("refused"), name="", power="", power_before="")

    assert message.subject == f"Drydock, look tomorrow: {INSTANCE} was refused, and nothing was touched"
    assert "Patches:" not in message.text
    assert "Power: not known now" in message.text


def test_a_failure_without_a_result_or_a_cause_is_still_told() -> None:
    message = failure(result=None, failure={"error": "States.Timeout", "cause": ""})

    assert message.subject == f"Drydock, look tomorrow: web-1 ({INSTANCE}): its execution ended early"
    assert "Error: States.Timeout" in message.text
    assert "Read the reason above" in message.text


def late(**more: Any) -> Message:
    given: dict[str, Any] = {
        "instance_id": INSTANCE,
        "name": "web-1",
        "execution": EXECUTION,
        "hindrance": "stop-protected",
        "power": "running",
        "group": "",
        "may_install": False,
        "location": LOCATION,
    }
    return not_given_back_message(**{**given, **more})


def test_a_machine_that_cannot_be_given_back_is_told_with_the_hindrance() -> None:
    message = late()

    assert message.subject == f"Drydock, act now: web-1 ({INSTANCE}) could not be given back yet"
    assert "What hinders it: stop-protected" in message.text
    assert "you may set its power yourself" in flat(message.text)


@pytest.mark.parametrize(("group", "said"), [("", "then stop the machine;"), ("web", "then terminate the machine:")])
def test_of_a_machine_on_which_something_may_install_people_are_told_what_and_to_let_it_end(
    group: str, said: str
) -> None:
    message = late(
        hindrance="install (command c-1) was cut short and may go on: dnf (812) holds /var/lib/rpm/.rpm.lock",
        group=group,
        may_install=True,
    )

    text = flat(message.text)
    assert "dnf (812) holds /var/lib/rpm/.rpm.lock" in text
    assert said in text
    assert ("It is a member of group web, and stays out of service until then." in text) is bool(group)
    assert "Do not stop, reboot or restore the machine while something installs" in text
    assert "you may set its power yourself" not in text


@pytest.mark.parametrize(
    "name", ["x" * 256, "a\nb\tc\x00d", "夜間バッチ" * 30, ""], ids=["long", "control characters", "kanji", "none"]
)
def test_a_subject_is_one_line_that_sns_accepts(name: str) -> None:
    for message in (success(replace(WORK, name=name)), failure(name=name), late(name=name)):
        assert 0 < len(message.subject) < 100
        assert message.subject.isprintable()


@pytest.mark.parametrize(("name", "text"), [("web-1", f"web-1 ({INSTANCE})"), ("", INSTANCE)])
def test_a_machine_has_its_name_where_it_has_one(name: str, text: str) -> None:
    assert machine_text(INSTANCE, name) == text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_can_be_told(verdict: str) -> None:
    message = failure(result=a_result("failed", work=replace(WORK, verdict=verdict)))
    assert say("machine.verdict", verdict=say(f"verdict.{verdict}")) in message.facts


FINAL = [
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.DrydockError) and "NotReady" not in name
]


@pytest.mark.parametrize("error", FINAL)
def test_every_error_is_told_with_something_to_do(error: str) -> None:
    assert rows_of(failure(failure={"error": error, "cause": "the cause"}), STEPS) == [advice_for(error)]


def test_links_lead_to_reports_and_windows_in_the_console_of_their_partition() -> None:
    china = Location("aws-cn", "123456789012", "cn-north-1", "UTC")

    report = object_link("drydock-logs", "runs/night-7/report.json", china)
    assert report == "https://cn-north-1.console.amazonaws.cn/s3/object/drydock-logs?prefix=runs/night-7/report.json"
    assert windows_link(china).startswith("https://cn-north-1.console.amazonaws.cn/systems-manager/")


ROWS = [Section("Done", ["1 machine"]), steps(["See what it says.", Command("drydock watch night-7 --stack drydock")])]


def a_message(**more: Any) -> Message:
    given: dict[str, Any] = {
        "urgency": "now",
        "what": "one thing",
        "facts": ["Power: running now"],
        "sections": [*ROWS, Section("Where to look", [Link("Execution", "https://console/a_b_#/<x>")])],
        "zone": "Asia/Tokyo",
    }
    return Message(**{**given, **more})


def wrapped(message: Message) -> dict[str, str]:
    sent = wrap_for_protocols(message, thread="night-7", event="drydock.run.failed", resources=[EXECUTION])
    assert len(sent.encode()) < 260_000, "SNS takes 262,144 bytes, attributes included"
    texts = json.loads(sent)
    assert {type(text) for text in texts.values()} == {str}, "SNS ignores what is no string"
    return dict(texts)


def chat(message: Message) -> Mapping[str, Any]:
    """The content as chat clients get it, within its limits."""
    notification = json.loads(wrapped(message)["https"])
    content: Mapping[str, Any] = notification["content"]
    assert len(content["title"]) <= 250
    assert len(content["description"]) <= 8_000
    assert all(len(step) <= 350 for step in content.get("nextSteps", []))
    return content


def test_a_mail_reader_gets_text_and_a_chat_room_the_schema_of_custom_notifications() -> None:
    message = a_message()

    texts = wrapped(message)

    assert set(texts) == {"default", "email", "https"}
    assert texts["default"] == texts["email"] == message.text
    notification = json.loads(texts["https"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    assert notification["content"]["textType"] == "client-markdown"
    assert notification["content"]["title"] == notification["metadata"]["summary"] == "Drydock, act now: one thing"
    assert notification["metadata"]["threadId"] == "night-7"
    assert notification["metadata"]["eventType"] == "drydock.run.failed"
    assert notification["metadata"]["relatedResources"] == [EXECUTION]


def test_a_mail_has_the_first_line_then_what_is_known_then_its_sections() -> None:
    assert a_message(intro=["The run goes on."]).text == (
        "Act now: one thing.\nThe run goes on.\n\n  Power: running now\n\nDone\n  1 machine\n\n"
        "What to do next\n  See what it says.\n  drydock watch night-7 --stack drydock\n\n"
        "Where to look\n  Execution:\n    https://console/a_b_#/<x>"
    )


def test_a_chat_room_sees_what_to_do_next_as_a_list_and_only_there() -> None:
    content = chat(a_message())

    assert content["nextSteps"] == ["See what it says. `drydock watch night-7 --stack drydock`"]
    assert "See what" not in content["description"] and STEPS not in content["description"]
    assert content["description"].endswith("Where to look\n  Execution: https://console/a_b_#/<x>")


@pytest.mark.parametrize("rows", [["x" * 351], ["step"] * 11], ids=["long", "many"])
def test_steps_that_chat_would_cut_stay_whole_in_the_text(rows: list[str]) -> None:
    content = chat(a_message(sections=[steps(rows)]))

    assert "nextSteps" not in content
    assert all(row in content["description"] for row in rows)


def test_a_message_without_steps_has_none_in_chat() -> None:
    assert "nextSteps" not in chat(success())


@pytest.mark.parametrize(
    "hostile",
    [
        "<!channel>",
        "<@U012345>",
        "@here",
        "https://evil.example/x",
        "<https://evil.example|click>",
        "[click](https://evil.example)",
        "www.evil.example",
        "*bold* _slanted_ ~gone~ `code`",
        "\n# heading",
    ],
)
def test_a_name_can_carry_neither_link_nor_mention_nor_markdown_into_a_chat_room(hostile: str) -> None:
    message = failure(name=hostile, failure={"error": "ImageFailedError", "cause": hostile}, run_says=[hostile])

    content = chat(message)

    links = {console_link(EXECUTION, LOCATION)}
    said = "\n".join([content["title"], content["description"], *content["nextSteps"]])
    for link in links:
        said = said.replace(link, "")
    assert not set("<>[]*`~|@\\") & set(said)
    assert "://" not in said and "www." not in said and not any(line.startswith("#") for line in said.split("\n"))
    assert not [word for word in said.split() if word.startswith("_") or word.endswith("_")]


def test_a_name_with_underscores_inside_stays_as_it_is_in_a_chat_room() -> None:
    assert "my_host_1" in chat(failure(name="my_host_1"))["title"]


def test_a_mail_is_72_columns_wide_but_for_links_and_words_that_are_longer() -> None:
    lines = failure(failure={"error": "ImageFailedError", "cause": "one two " * 60}).text.splitlines()
    assert max(len(line) for line in lines if "https://" not in line) <= WIDTH


def test_a_long_command_is_broken_as_a_shell_reads_it() -> None:
    value = json.dumps({"pk": {"S": "RUN#it's"}})
    line = f"aws dynamodb get-item --region ap-northeast-1 --consistent-read --table-name t --key {shlex.quote(value)}"

    text = a_message(sections=[steps([Command(line)])], facts=[]).text.split(f"{STEPS}\n")[1]

    assert max(map(len, text.splitlines())) <= WIDTH
    assert shlex.split(text.replace("\\\n", "")) == shlex.split(line)


@pytest.mark.parametrize("cause", ["x" * 300_000, "漢" * 90_000, "\x00\x1b[31m", "\ud800"], ids=ascii)
def test_whatever_a_reason_holds_the_message_is_sent(cause: str) -> None:
    content = chat(failure(failure={"error": "ImageFailedError", "cause": cause}))
    assert content["title"].isprintable()


def test_a_long_card_is_cut_at_the_end_of_a_line() -> None:
    link = f"https://console/{'y' * 200}"
    content = chat(a_message(sections=[Section("Where to look", [Link("Execution", link)] * 100)]))

    assert "(cut: the message is longer" in content["description"]
    assert all(line.endswith(link) for line in content["description"].splitlines() if "Execution" in line)


def wrap(message: Message) -> str:
    return wrap_for_protocols(message, thread="night-7", event="drydock.run.failed", resources=[EXECUTION])


@pytest.mark.parametrize(
    "text",
    ["x" * 300_000, "line\n" * 100_000, '"\\' * 200_000, "🛳" * 100_000, "\x00\x1by" * 100_000, "<&>\n" * 50_000],
    ids=["one line", "many lines", "quotes", "emoji", "control characters", "markup"],
)
def test_no_text_is_too_long_or_too_strange_to_be_told(text: str) -> None:
    sent = wrap(a_message(facts=[text]))

    assert len(sent.encode()) < 260_000
    texts = json.loads(sent)
    assert len(texts["email"]) > 10_000
    assert 3_000 < len(json.loads(texts["https"])["content"]["description"]) <= 8_000


def test_a_text_that_is_cut_says_so_and_is_cut_at_the_end_of_a_line() -> None:
    lines = [f"line {number:05d}" for number in range(10_000)]

    mail = json.loads(wrap(a_message(sections=[Section("Lines", lines)])))["email"].splitlines()

    assert "cut" in mail[-1]
    assert {len(line) for line in mail if line.startswith("  line")} == {len("  line 00000")}


def test_characters_that_are_no_text_reach_nobody() -> None:
    mail = json.loads(wrap(a_message(facts=["tab\tbell\x07, half \ud83d, end"])))["email"]

    assert "  tab bell , half  , end" in mail.splitlines()


def test_a_chat_message_of_machines_in_a_run_stands_in_the_runs_thread(world: World) -> None:
    tell_once(world.services, HOLDER, "outcome", a_message(), {"kind": "machine", "run": "night-7"})
    tell_once(world.services, HOLDER, "other", a_message(), {"kind": "machine", "outcome": "failed", "run": ""})

    in_run, by_hand = (json.loads(json.loads(one["Message"])["https"]) for one in world.clients.published)
    assert {one["MessageStructure"] for one in world.clients.published} == {"json"}
    assert (in_run["metadata"]["threadId"], in_run["metadata"]["eventType"]) == ("night-7", "drydock.machine")
    assert (by_hand["metadata"]["threadId"], by_hand["metadata"]["eventType"]) == (
        HOLDER.name,
        "drydock.machine.failed",
    )


def test_a_subscription_can_take_only_what_somebody_has_to_be_woken_for(world: World) -> None:
    tell_once(world.services, HOLDER, "outcome", a_message(), {"kind": "machine"})

    (message,) = world.clients.published
    assert message["MessageAttributes"]["urgency"] == {"DataType": "String", "StringValue": "now"}


def test_a_message_goes_to_the_topic_that_is_asked_for_whatever_the_settings_say(world: World) -> None:
    world.ssm.parameters["/drydock/topic"] = "arn:aws:sns:ap-northeast-1:123456789012:others"
    asked = TOPIC.replace("Results", "Approvals")

    tell_once(world.services, HOLDER, "approval", a_message(), {"kind": "approval"}, topic=asked)

    (message,) = world.clients.published
    assert message["TopicArn"] == asked


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("until 2026-01-12 16:40 UTC", "until 2026-01-13 01:40"),
        ("until 2026-01-13 01:40 +09:00 (Asia/Tokyo): late", "until 2026-01-13 01:40: late"),
        ("until 2026-01-12 16:40 +00:00 (UTC)", "until 2026-01-13 01:40"),
        ("at 2026-01-12T16:40:00.000Z", "at 2026-01-13 01:40"),
        ("at 2026-01-12 16:40 +00:00", "at 2026-01-12 16:40 +00:00"),
    ],
)
def test_every_time_in_a_message_is_of_the_zone_that_it_names_once(said: str, read: str) -> None:
    message = Message(urgency="nothing", what="", facts=[], sections=[], zone="Asia/Tokyo")

    assert message.localise(said) == read
