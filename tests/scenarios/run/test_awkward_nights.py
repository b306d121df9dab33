"""Nights that people have had: what Drydock makes of each, and what it says of it."""

from __future__ import annotations

from tests.scenarios.run.nights import assert_ended_as_expected, play_night, states_of

SHORT_SCHEDULE = """
description: A window for a trial opens every five minutes and lasts two hours; nobody has switched it off.
limit: 6h
begins: "2026-01-13T09:00:00+09:00"
parameters:
  WindowSchedule: rate(5 minutes)
  WindowDurationHours: 2
  WindowTargetTagKey: Patch Group
  WindowTargetTagValue: trial
  TimeZone: Asia/Tokyo
window:
  executions:
    - expect: {outcome: succeeded, counts: {succeeded: 1}}
    - expect: {outcome: succeeded, counts: {alreadyCompliant: 1}}
    - expect: {outcome: succeeded, counts: {alreadyCompliant: 1}}
instances:
  - {name: one, tags: {Patch Group: trial}, missing: 4, expect: {run: already_compliant, images: 2, missing: 0}}
"""


def test_a_window_that_opens_while_its_run_works_is_skipped_and_the_schedule_is_told() -> None:
    night = play_night(SHORT_SCHEDULE)

    (one,) = night.machines
    assert not night.differences and [execution.status for execution in one.executions] == ["SUCCEEDED"] * 3
    assert any("skipped" in message.body for message in night.messages)
    assert any("its schedule is shorter than it lasts" in warning for warning in night.runs[0].plan["warnings"])


AT_ITS_HEELS = """
description: One window scans, and another begins to patch the same machines and a group while the first is just over.
parameters: {WindowSchedule: "cron(2 2 ? * SUN *)", WindowDurationHours: 3, TimeZone: UTC}
policy: {maxConcurrency: 4, batch: 2, minHealthy: 0}
window: {executions: [{expect: {outcome: succeeded, counts: {succeeded: 3, alreadyCompliant: 1}}}]}
windows:
  - name: look
    schedule: cron(0 2 ? * SUN *)
    durationHours: 1
    timeZone: UTC
    targets: [[{key: "tag:WinUpdate", values: ["ON"]}]]
    input: {operations: [Scan]}
    executions: [{expect: {outcome: succeeded, counts: {succeeded: 4}}}]
groups: [{name: shop, min: 0, max: 2, loadBalancer: false, expect: {sizes: [0, 2, 2]}}]
instances:
  - {name: web, missing: 2, tags: &on {WinUpdate: "ON"}, expect: &done {verdict: compliant, missing: 0}}
  - {name: well, tags: *on, expect: {run: already_compliant, images: 0}}
  - {name: shop, count: 2, group: shop, missing: 2, tags: *on, expect: *done}
"""


def test_a_window_at_the_heels_of_another_holds_the_pause_between_their_scans() -> None:
    night = play_night(AT_ITS_HEELS)

    assert_ended_as_expected(night)
    (well,) = [machine for machine in night.machines if machine.name == "well"]
    assert [execution.status for execution in well.executions] == ["SUCCEEDED", "SUCCEEDED"]


STUCK = """
description: Commands that never end, agents that never answer, an old patch state, a reboot that stays pending.
limit: 40h
parameters: {WindowDurationHours: 8, TimeZone: UTC}
policy: {maxErrors: 9, maxConcurrency: 9}
window: {executions: [{expect: {outcome: failed, counts: {failed: 5, succeeded: 2}}}]}
instances:
  - name: endless
    missing: 3
    wrong: [never_ends]
    tags: &on {WinUpdate: "ON"}
    expect: {outcome: failed, error: CommandTimedOutError, power: running, missing: 3, run: failed}
  - name: endless-started
    power: stopped
    missing: 3
    wrong: [never_ends]
    tags: *on
    expect: {outcome: failed, error: CommandTimedOutError, power: stopped, missing: 3, run: failed}
  - name: silent
    platform: Windows
    missing: 3
    wrong: [agent_lost]
    tags: *on
    expect: {outcome: failed, error: CommandTimedOutError, power: stopped, run: failed}
  - name: undelivered
    missing: 3
    wrong: [delivery_timeout]
    tags: *on
    expect: {outcome: failed, error: CommandNotDeliveredError, images: 0, missing: 3, run: failed}
  - name: old-state
    missing: 3
    wrong: [stale_patch_state]
    tags: *on
    expect: {outcome: failed, verdict: unknown, error: VerdictUnknownError, missing: 0, run: failed}
  - name: pending
    platform: Windows
    missing: 3
    wrong: [stays_pending_reboot]
    tags: *on
    expect: {outcome: succeeded, verdict: pending_reboot, missing: 0, run: succeeded}
  - {name: fine, missing: 3, tags: *on, expect: {outcome: succeeded, verdict: compliant, run: succeeded}}
faults:
  # Until somebody looks after a machine whose agent never speaks again, Drydock keeps it.
  - stopInstance: {instance: silent, at: 20h}
"""


def test_what_hangs_holds_up_no_other_and_each_is_told_by_what_it_hangs_on() -> None:
    night = play_night(STUCK)

    assert_ended_as_expected(night)
    assert night.runs[0].report["insideWindow"] is False, "the silent one is held beyond the window"
    for name in ("endless", "endless-started", "silent", "undelivered", "old-state"):
        assert any(f" {name} (i-" in message.subject for message in night.messages)


NO_EVIDENCE = """
description: The installation fails, and so does the scan that would prove what is installed.
parameters: {WindowDurationHours: 4, TimeZone: UTC}
window: {executions: [{expect: {outcome: failed, counts: {failed: 1}}}]}
instances:
  - name: both
    missing: [openssl, kernel]
    wrong: [install_error, scan_fails]
    tags: {WinUpdate: "ON"}
    expect: {outcome: failed, verdict: unknown, error: VerdictUnknownError, missing: 2, images: 1, run: failed}
"""


def test_where_nothing_proves_what_is_installed_people_hear_that_the_installation_failed_too() -> None:
    night = play_night(NO_EVIDENCE)

    assert_ended_as_expected(night)
    for message in night.messages:
        said = " ".join(message.body.split())
        assert "no fresh patch state, and the installation reported failure (exit code 1)" in said


SECOND_DOES_NOT_FIT = """
description: The first night, two hours, two ordinary Windows servers one after the other; nothing is known of them.
parameters: {WindowDurationHours: 2, TimeZone: UTC}
window: {executions: [{expect: {outcome: incomplete, counts: {succeeded: 1, notAttempted: 1}}}]}
instances:
  - {name: files, platform: Windows, missing: 3, durations: &slow {boot: 4m, install: 45m, reboot: 6m, image: 12m},
     tags: &on {WinUpdate: "ON"}, expect: {run: succeeded, missing: 0}}
  - {name: mail, platform: Windows, missing: 3, durations: *slow, tags: *on, expect: {run: not_attempted, missing: 3}}
"""


def test_what_may_end_after_the_window_is_left_for_the_next_and_the_plan_says_what_would_help() -> None:
    night = play_night(SECOND_DOES_NOT_FIT)

    assert_ended_as_expected(night)
    (run,) = night.runs
    assert run.report["insideWindow"] is True
    assert run.plan["advice"][0] == "All would be expected to fit with 2 at once (maxConcurrency)"
    (mail,) = night.messages
    assert "All would be expected to fit with 2 at once (maxConcurrency)." in " ".join(mail.body.split())


OTHER_PATCHES = """
description: The canary is in one patch group, the other machine in another; AWS keeps a snapshot for each.
parameters: {WindowDurationHours: 2, TimeZone: UTC}
policy: {canary: {tag: Canary}}
window: {executions: [{expect: {outcome: succeeded, counts: {succeeded: 2}}}]}
instances:
  - {name: canary, missing: 2, tags: {WinUpdate: "ON", Patch Group: a, Canary: "yes"}, expect: {run: succeeded}}
  - {name: other, missing: 2, tags: {WinUpdate: "ON", Patch Group: b}, expect: {run: succeeded}}
"""


def test_patches_that_no_canary_has_proved_are_told() -> None:
    night = play_night(OTHER_PATCHES)

    assert_ended_as_expected(night)
    assert any("nobody has proved the patches of other" in warning for warning in night.runs[0].plan["warnings"])
    assert any("nobody has proved the patches of other" in " ".join(one.body.split()) for one in night.messages)


NO_IMAGE = """
description: EC2 refuses images, for good, for a name that is taken, for a while, and only after the installation.
limit: 12h
parameters: {WindowDurationHours: 6, TimeZone: UTC}
policy: {maxConcurrency: 5, maxErrors: 10}
window: {executions: [{expect: {outcome: failed, counts: {failed: 1, succeeded: 3}}}]}
instances:
  - name: quota
    missing: 2
    tags: &on {WinUpdate: "ON"}
    expect: {outcome: failed, error: AwsCallFailedError, verdict: not_patched, images: 0, missing: 2, run: failed}
  - {name: taken, missing: 2, tags: *on, expect: {verdict: compliant, images: 2, run: succeeded}}
  - {name: busy, missing: 2, tags: *on, expect: {verdict: compliant, images: 2, run: succeeded}}
  - name: later
    missing: 2
    tags: *on
    expect: {outcome: succeeded, verdict: compliant, images: 1, missing: 0, run: succeeded}
faults:
  - failCall: {call: "ec2:CreateImage", instance: quota, times: 50, error: SnapshotLimitExceeded}
  - failCall: {call: "ec2:CreateImage", instance: taken, times: 1, error: InvalidAMIName.Duplicate}
  - failCall: {call: "ec2:CreateImage", instance: busy, times: 4, error: ConcurrentSnapshotLimitExceeded}
  - failCall: {call: "ec2:CreateImage", instance: later, occurrence: 2, times: 50, error: SnapshotLimitExceeded}
"""


def test_without_its_image_nothing_is_installed_and_what_passes_is_waited_for() -> None:
    night = play_night(NO_IMAGE)

    assert_ended_as_expected(night)
    assert "Install Patches" not in states_of(night, "quota")
    said = [" ".join(message.body.split()) for message in night.messages]
    assert all("SnapshotLimitExceeded" in text for text in said)
    # What is patched and only lacks the image of what it is now is patched, and said to lack it.
    (summary,) = [text for text in said if "The run is over" in text]
    assert "it has no image of what it is now" in summary


NOTHING_LEFT = """
description: Windows of whose targets nothing is left, or nothing that Drydock may touch.
parameters: {WindowDurationHours: 4, TimeZone: UTC, WindowTargetTagKey: Cluster, WindowTargetTagValue: prod}
policy: {maxConcurrency: 2}
window: {executions: [{expect: {outcome: incomplete, leftOut: 5}}]}
windows:
  - &another
    name: gone
    schedule: cron(5 2 ? * SUN *)
    durationHours: 2
    timeZone: UTC
    targets: [[{key: InstanceIds, values: [i-0dead0000beef0001]}]]
    executions: [{expect: {outcome: refused, error: PlanRefusedError}}]
  - {<<: *another, name: weighted, targets: [[{key: "tag:Tier", values: [web]}]],
     executions: [{expect: {outcome: incomplete, leftOut: 2}}]}
  - {<<: *another, name: asleep, targets: [[{key: InstanceIds, values: [asleep, i-0dead0000beef0002]}]],
     executions: [{expect: {outcome: incomplete, leftOut: 2}}]}
  - {<<: *another, name: frozen, targets: [[{key: InstanceIds, values: [frozen]}]],
     executions: [{expect: {outcome: nothing_to_do, leftOut: 1}}]}
  - {<<: *another, name: nobody, targets: [[{key: "tag:Tier", values: [none]}]],
     executions: [{expect: {outcome: nothing_to_do}}]}
groups:
  - {name: workers, min: 2, max: 4, loadBalancer: false, expect: {outcome: none}}
  - {name: tasks, min: 1, max: 3, loadBalancer: false, expect: {outcome: none}}
  - {name: web, min: 2, max: 8, mixed: {types: [{type: m5.large, weight: 1}, {type: m5.xlarge, weight: 2}]},
     expect: {outcome: none}}
instances:
  - {name: worker, count: 3, group: workers, missing: 3, tags: {Cluster: prod, "eks:nodegroup-name": workers},
     expect: &left {run: left_out, power: running, images: 0, missing: 3}}
  - {name: task, count: 2, group: tasks, missing: 3, tags: {Cluster: prod, AmazonECSManaged: ""}, expect: *left}
  - {name: web, count: 2, group: web, missing: 3, tags: {Tier: web}, expect: *left}
  - {name: asleep, power: stopped, hibernated: true, missing: 3, expect: {run: left_out, missing: 3}}
  - {name: frozen, missing: 3, tags: {DrydockExclude: quarter end}, expect: *left}
"""


def test_a_window_of_which_nothing_is_left_is_something_to_do_and_no_success() -> None:
    night = play_night(NOTHING_LEFT)

    assert_ended_as_expected(night)
    mails = {str(one.subject).rpartition("window ")[2].rstrip(")"): one for one in night.messages}
    begins = {window: str(one.body).splitlines()[0].partition(":")[0] for window, one in mails.items()}
    assert [one.status for one in night.runs].count("SUCCEEDED") == 2
    assert {window for window, said in begins.items() if said == "Nothing to do"} == {"frozen"}
    assert len(begins) == 6 and set(begins.values()) == {"Look tomorrow", "Nothing to do"}
    [nodes] = [said for one in night.messages if "all 5 machines" in (said := " ".join(one.body.split()))]
    assert "all 5 machines are left out, and none was patched" in nodes
    assert "name eks in policy.include, with a hook beforeAnything that drains it" in nodes
    assert "Let its cluster replace it with a newer image" in nodes
    assert "2 in groups whose members have weights. Use an instance refresh" in " ".join(mails["weighted"].body.split())


SLOW_AND_SMALL = """
description: Windows machines that take longer than anybody guessed, and a group that is larger than the window.
limit: 400h
begins: "2026-01-17T12:00:00+00:00"
parameters: {WindowSchedule: "cron(0 2 ? * SUN *)", WindowDurationHours: 2, WindowCutoffHours: 0, TimeZone: UTC}
policy: {maxConcurrency: 3, deadlines: {patchSeconds: 7200}}
window:
  executions:
    - expect: {outcome: incomplete, counts: {succeeded: 6, notAttempted: 4}}
    - expect: {outcome: incomplete, counts: {succeeded: 4, alreadyCompliant: 4, notAttempted: 2}}
groups: [{name: web, min: 4, max: 6, zones: 2}]
instances:
  - name: w
    count: 4
    platform: Windows
    tags: &on {WinUpdate: "ON"}
    missing: 3
    durations: {install: 50m, reboot: 8m, image: 20m}
    expect: &done {missing: 0}
  - {name: web, count: 6, group: web, tags: *on, missing: 3, expect: *done}
"""


def test_what_does_not_fit_is_first_the_next_week_and_the_advice_goes_by_what_machines_took() -> None:
    night = play_night(SLOW_AND_SMALL)

    problems = [one for one in night.differences if "expected" in one]
    assert not problems, problems
    assert all(machine.missing_after == 0 for machine in night.machines)
    first, second = night.runs
    planned, advised = first.plan["advice"], first.report["advice"]
    assert planned != advised
    left = {one["instanceId"] for one in first.report["machines"] if one["outcome"] == "not_attempted"}
    done = {one["instanceId"] for one in second.report["machines"] if one["outcome"] == "succeeded"}
    assert done == left
    # Whoever had the time that was planned would have been late with machines that take 84 minutes.
    assert advised[-1] == "All would be expected to fit with 50 min more"
    assert first.report["insideWindow"] and second.report["insideWindow"]


PINNED = """
description: The boot loader of a machine boots the kernel of before, whatever is installed.
parameters: {WindowDurationHours: 4, TimeZone: UTC}
window: {executions: [{expect: {outcome: succeeded, counts: {succeeded: 1}}}]}
instances:
  - {name: pinned, missing: 2, wrong: [boots_old_kernel], tags: {WinUpdate: "ON"}, expect: {verdict: pending_reboot}}
"""


def test_nobody_is_told_to_reboot_what_a_reboot_would_not_help() -> None:
    night = play_night(PINNED)

    assert_ended_as_expected(night)
    steps = [step["text"] for step in night.runs[0].report["next"]]
    assert [step for step in steps if "older kernel" in step] and not [
        step for step in steps if "when it suits" in step
    ]
