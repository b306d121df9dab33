"""Machines that patching does not make compliant, and those that are nearly targets: people are told of both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.play.run import RehearsalOutcome
from tests.scenarios.run.nights import assert_ended_as_expected, play_night

NIGHT = """
description: What no patching makes compliant, and machines whose tag is nearly the window's.
begins: "2026-07-14T01:00:00+00:00"
parameters: {WindowDurationHours: 4, TimeZone: UTC}
policy: {maxConcurrency: 6, minHealthy: 0, backup: {before: {take: false}, after: {take: false}}}
window: {executions: [{expect: {outcome: succeeded, counts: {succeeded: 5}}}]}
groups: [{name: shop, min: 0, max: 1, loadBalancer: false}]
instances:
  - {name: old, operatingSystem: {name: Amazon Linux, version: "2"}, tags: {WinUpdate: "ON"},
     expect: {verdict: unpatchable}}
  - {name: older, operatingSystem: {name: Ubuntu, version: "18.04"}, missing: 2, tags: {WinUpdate: "ON"},
     expect: {verdict: unpatchable, missing: 0}}
  - {name: rejected, installedRejected: [telnet], missing: 2, tags: {WinUpdate: "ON"},
     expect: {verdict: non_compliant, missing: 0}}
  - {name: shop, group: shop, installedRejected: [rsh], missing: 1, tags: {WinUpdate: "ON"},
     expect: {verdict: non_compliant}}
  - {name: fine, missing: 2, tags: {WinUpdate: "ON"}, expect: {verdict: compliant}}
  - {name: nearly, missing: 2, tags: {WinUpdate: "On"}, expect: {run: none, missing: 2}}
  - {name: small, missing: 2, tags: {winupdate: "ON "}, expect: {run: none, missing: 2}}
  - {name: otherwise, missing: 2, tags: {WinUpdate: "OFF"}, expect: {run: none, missing: 2}}
"""


@pytest.fixture(scope="module")
def night() -> RehearsalOutcome:
    return play_night(NIGHT)


@pytest.fixture(scope="module")
def report(night: RehearsalOutcome) -> dict[str, Any]:
    [run] = night.runs
    return dict(run.report)


def test_they_are_patched_and_never_called_compliant(night: RehearsalOutcome) -> None:
    assert_ended_as_expected(night)


def test_the_report_has_the_reason_of_each(report: dict[str, Any]) -> None:
    causes = {machine["name"]: machine["cause"] for machine in report["machines"]}

    assert causes == {
        "old": "Amazon Linux 2 gets no more updates since 2026-06-30, unless they are paid for",
        "older": "Ubuntu 18.04 gets no more updates since 2023-05-31, unless they are paid for",
        "rejected": "installed, and rejected by the patch baseline: telnet.x86_64",
        "shop": "installed, and rejected by the patch baseline: rsh.x86_64",
        "fine": "",
    }


def test_the_mail_says_so_first_and_what_to_do(night: RehearsalOutcome) -> None:
    [summary] = [message for message in night.messages if message.attributes.get("kind") == "run"]

    assert str(summary.subject).startswith("Drydock, look tomorrow: all 5 machines patched, 4 of them not compliant")
    assert summary.body.startswith("Look tomorrow: ")
    assert "Patched, and not compliant (4)" in summary.said
    assert "Move the machine to a newer operating system" in summary.said
    assert "Remove the patches that the reason names" in summary.said


def test_the_plan_names_machines_whose_tag_is_nearly_a_targets(report: dict[str, Any]) -> None:
    [near] = [warning for warning in report["warnings"] if warning.startswith("nearly targets")]

    assert "has the tag WinUpdate = On" in near and "has the tag winupdate = ON " in near
    assert "otherwise" not in near and "fine" not in near
    assert "Amazon Linux 2 gets no more updates since 2026-06-30" in json.dumps(report["warnings"])
