from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from drydock_cli.main import app
from rehearsal.play.fleet_file import load_fleet_file, read_fleet
from rehearsal.play.fleet_shape import FLEETS
from rehearsal.play.outcomes.group import IDLE_GOAL
from rehearsal.play.reports.console import Progress, print_report, to_json
from rehearsal.play.run import RehearsalOutcome, rehearse
from tests.rehearsal.cli.at_the_desk import require_fitting

SMALL = """
instances:
  - {name: web, missing: 2, expect: {outcome: succeeded, verdict: compliant, power: running, images: 2, missing: 0}}
  - {name: db, platform: Windows, power: stopped, missing: 3, expect: {verdict: scanned, images: 0, missing: 3}}
start:
  - instances: web
  - instances: db
    at: 30s
    input: {policy: {operation: Scan, startForScan: true}}
"""


def run(*arguments: str, width: int = 100) -> Result:
    return CliRunner().invoke(app, ["rehearse", *arguments], env={"COLUMNS": str(width), "TERM": "dumb"})


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def default_rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, Any]]:
    out = tmp_path_factory.mktemp("rehearsal") / "out.json"
    result = run("--json", str(out))
    document = json.loads(out.read_text())
    require_fitting("rehearse", document)
    return result, document


@pytest.fixture(scope="module")
def small_rehearsal() -> RehearsalOutcome:
    return rehearse(read_fleet(SMALL, Path("small.yaml")))


def test_the_default_fleet_ends_as_its_file_expects(default_rehearsal: tuple[Result, dict[str, Any]]) -> None:
    result, value = default_rehearsal
    assert [difference for machine in value["machines"] for difference in machine["differences"]] == []
    assert value["differences"] == []
    assert "All 17 machines, 2 groups and the run ended as expected." in result.output
    assert result.exit_code == 0


def test_progress_table_messages_and_totals_are_plain_text_when_nobody_watches(
    default_rehearsal: tuple[Result, dict[str, Any]],
) -> None:
    output = default_rehearsal[0].output
    assert "22:00:00  * the maintenance window opens" in output
    assert "22:00:03  window run        Ask For Approval" in output
    assert "* Yuki Tanaka approves: " in output
    assert "* Ben Ortiz sleeps, and does not answer" in output
    assert "22:04:05  web-linux         Admit Instance" in output
    assert "! build-linux: execution stopped by somebody in state 'Install Patches'" in output
    assert "build-linux       execution aborted" in output
    for words in ("Verdict", "patched reported", "still missing", "Messages that people would have got: 9"):
        assert words in output
    for words in ("Virtual time", "Real time", "State transitions", "AWS calls"):
        assert words in output
    assert "\x1b" not in output


def test_the_story_of_the_window_stands_in_one_place(default_rehearsal: tuple[Result, dict[str, Any]]) -> None:
    output = default_rehearsal[0].output
    lines = [line.rstrip() for line in output[output.index("Window run  ") :].splitlines()][1:]
    story = lines[: lines.index("") + 1]
    begin, end = (next(at for at, line in enumerate(story) if line.split()[0] == word) for word in ("Note", "Approval"))
    note = " ".join(" ".join(story[begin:end]).split())
    assert note.startswith("Note the canary has no Windows machine of patch group office, so nobody has proved the")
    assert "mail-windows (i-" in note
    assert story[:begin] + story[end:] == [
        "  Window    drydock-MaintenanceWindow, Wed 2026-01-14 22:00 to Thu 02:00 (UTC+09:00)",
        "  Plan      11 machines in 3 waves, done by Thu 01:38 as predicted (a guess for 8 machines)",
        "  Left out  laboratory-linux: tag DrydockExclude says: measures until Friday",
        "            kiosk-windows: is running, and Systems Manager does not reach it: check the SSM Agent,",
        "            the instance profile (AmazonSSMManagedInstanceCore) and the route to Systems Manager",
        "  Approval  asked at 22:00; approved by yuki.tanaka at 22:04 by a signed request (change 4711)",
        "  Wave 1    22:04 to 22:25  canary, 1 machine: 1 succeeded",
        "  Wave 2    22:35 to 22:56  1 machine: 1 succeeded",
        "  Wave 3    22:56 to Thu 00:21  9 machines: 6 succeeded, 3 failed",
        "  Outcome   failed  8 succeeded, 3 failed",
        "",
    ]


def test_the_summary_of_a_run_is_shown_as_people_get_it_and_other_messages_by_their_subjects(
    default_rehearsal: tuple[Result, dict[str, Any]],
) -> None:
    output = default_rehearsal[0].output
    assert "Look tomorrow: 3 of 11 machines failed." in output
    assert "Drydock: answer until" in output
    assert "Without an answer by then nothing is touched" not in output


def test_a_machine_whose_execution_is_stopped_is_given_back_without_interrupting_the_installation(
    default_rehearsal: tuple[Result, dict[str, Any]],
) -> None:
    [machine] = [one for one in default_rehearsal[1]["machines"] if one["name"] == "build-linux"]
    assert machine["executions"][0]["status"] == "ABORTED"
    assert machine["power"] == {"first": "stopped", "last": "stopped"}
    assert machine["interruptedInstalls"] == 0
    assert machine["givenBack"]


def test_no_member_of_a_group_is_out_of_service_without_a_reason(
    default_rehearsal: tuple[Result, dict[str, Any]],
) -> None:
    result, value = default_rehearsal
    shop, ledger = value["groups"]
    assert (shop["mostOut"], shop["fewestHealthy"], ledger["fewestHealthy"]) == (1, 3, 1)
    assert [shop["sizes"]["after"], ledger["sizes"]["after"]] == [[3, 4, 6], [1, 1, 1]]
    assert {outage["name"] for group in (shop, ledger) for outage in group["outages"]} == {
        "shop-1",
        "shop-2",
        "shop-3",
        "shop-4",
        "ledger",
    }
    for group in (shop, ledger):
        for outage in group["outages"]:
            assert 0 < outage["idleSeconds"] <= IDLE_GOAL.total_seconds(), outage["name"]
            assert outage["waitedSeconds"]["draining"] == (120 if group is shop else 300)
            assert outage["seconds"] == pytest.approx(
                sum(outage["waitedSeconds"].values()) + outage["idleSeconds"], abs=1
            )
    assert re.search(r"shop +3/4/6 +4 succeeded +1 +3 +succeeded +yes", result.output)
    assert re.search(r"Idle *\n", result.output)
    assert re.search(r"shop-1 +\d+\.\d +2\.0 .* \d+ s *\n", result.output)


def test_json_has_everything_for_programs(default_rehearsal: tuple[Result, dict[str, Any]]) -> None:
    value = default_rehearsal[1]
    web = value["machines"][0]
    assert web["executions"][0]["states"][0]["state"] == "Admit Instance"
    assert web["missingPatches"] == {"before": 6, "after": 0}
    assert web["minutesOutOfService"] > 0
    assert web["result"]["outcome"] == "succeeded"
    assert len(web["images"]) == 2
    assert all(message["subject"] and message["body"] for message in value["messages"])
    assert value["totals"]["awsCallsByOperation"]["ec2:CreateImage"] > 5
    assert value["totals"]["stateTransitions"] > 100


def test_json_has_plan_approval_waves_and_report_of_a_run(default_rehearsal: tuple[Result, dict[str, Any]]) -> None:
    [run] = default_rehearsal[1]["runs"]
    assert (run["startedBy"], run["outcome"], run["status"]) == ("window", "failed", "FAILED")
    assert [wave["isCanary"] for wave in run["waves"]] == [True, False, False]
    assert [machine["name"] for machine in run["plan"]["machines"]][:2] == ["web-linux", "gateway-linux"]
    assert run["report"]["approval"]["decision"] == "approved"
    assert [answer["person"] for answer in run["answers"]] == ["Yuki Tanaka", "Ben Ortiz"]
    [reports] = [one for one in run["plan"]["machines"] if one["name"] == "reports-windows"]
    assert (reports["seconds"], reports["basis"]) == (4800, "own history")


def test_the_same_file_and_seed_give_the_same_bytes(small_rehearsal: RehearsalOutcome) -> None:
    again = rehearse(read_fleet(SMALL, Path("small.yaml")))
    assert _without_real_time(to_json(again)) == _without_real_time(to_json(small_rehearsal))


def test_another_seed_gives_another_history(small_rehearsal: RehearsalOutcome) -> None:
    other = rehearse(read_fleet(SMALL, Path("small.yaml")), seed=5)
    assert other.seed == 5
    assert other.is_as_expected
    assert _without_real_time(to_json(other)) != _without_real_time(to_json(small_rehearsal))


def test_a_stopped_machine_does_not_go_out_of_service(small_rehearsal: RehearsalOutcome) -> None:
    web, db = small_rehearsal.machines
    assert web.minutes_out_of_service is not None
    assert db.minutes_out_of_service is None


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_report_fits_the_screen(small_rehearsal: RehearsalOutcome, width: int) -> None:
    out = io.StringIO()
    print_report(Console(file=out, width=width), small_rehearsal)
    lines = out.getvalue().splitlines()
    [first] = [number for number, line in enumerate(lines) if "Machine" in line and "Verdict" in line]
    table = "\n".join(lines[first - 2 :])
    assert max(len(line) for line in table.splitlines()) <= width
    assert "compliant" in table


def test_a_terminal_gets_one_picture_that_changes() -> None:
    out = io.StringIO()
    fleet = read_fleet(SMALL, Path("small.yaml"))
    with Progress(Console(file=out, force_terminal=True, width=80), fleet) as progress:
        rehearse(fleet, watch=progress)
    assert "Virtual time 2026-01-13" in out.getvalue()
    assert "not started" in out.getvalue()


def test_a_machine_that_ends_otherwise_is_told_with_its_line_and_exit_code_1(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "instances:\n"
        "  - {name: web, missing: 1, expect: {verdict: failed, power: stopped}}\n"
        "start: [{instances: web, input: {policy: {operation: Scan}}}]\n"
        "faults: [{failCall: {call: ec2:StartInstances, error: InternalError}}]\n",
    )
    result = run(str(path))
    assert result.exit_code == 1
    assert f"web ({path}:2)" in result.output
    assert "verdict: expected failed, got scanned" in result.output
    assert "power: expected stopped, got running" in result.output
    assert "a fault never struck: ec2:StartInstances fails with InternalError" in result.output


def test_a_wrong_fleet_file_is_told_clearly_with_exit_code_2(tmp_path: Path) -> None:
    result = run(str(write(tmp_path, "instances:\n  - {name: web, power: off}\n")))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "This fleet cannot be rehearsed:",
        f'{tmp_path}/fleet.yaml:2: instances[0].power: expected one of running, stopped, got "off"',
    ]


def test_on_a_rough_night_every_machine_is_given_back_and_each_failure_told_once() -> None:
    outcome = rehearse(load_fleet_file(FLEETS / "rough-night.yaml"))
    assert {machine.name: machine.differences for machine in outcome.machines if machine.differences} == {}
    assert outcome.is_as_expected


def test_json_on_standard_output_stands_alone(tmp_path: Path) -> None:
    fleet = "{instances: [{name: web}], start: [{instances: web, input: {policy: {operation: Scan}}}]}"
    result = run(str(write(tmp_path, fleet)), "--json", "-")
    assert json.loads(result.stdout)["machines"][0]["verdict"] == "scanned"


def test_the_package_runs_as_the_command_and_gives_the_same_bytes_in_any_process(
    tmp_path: Path, small_rehearsal: RehearsalOutcome
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    answer = subprocess.run(
        [sys.executable, "-m", "drydock_cli", "rehearse", "small.yaml", "--json", "-"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert _without_real_time(answer.stdout) == _without_real_time(to_json(small_rehearsal))


ONE = "instances: [{{name: web, power: {power}, missing: 2, expect: {{{expect}}}}}]\nfaults: [{fault}]\n"


@pytest.mark.parametrize(
    ("power", "fault", "expect"),
    [
        ("running", "loseEvents: {}", "verdict: compliant, images: 2, messages: 1"),
        ("running", "doubleEvents: {again: 1s}", "verdict: compliant, images: 2, messages: 1"),
        ("running", "delayEvents: {detailType: 'EC2 *', by: 20m}", "verdict: compliant, images: 2"),
        (
            "running",
            "failCall: {call: ec2:CreateImage, error: RequestLimitExceeded, instance: web}",
            "verdict: compliant, images: 2",
        ),
        ("running", "failCall: {call: ssm:SendCommand, error: InternalServerError, when: after}", "verdict: compliant"),
        ("running", "killFunction: {function: back_up, call: 3}", "verdict: compliant, images: 2"),
        ("stopped", "killFunction: {function: restore_power, invocation: 1, when: after}", "verdict: compliant"),
        ("stopped", "stopExecution: {instance: web, at: 3m}", "outcome: failed, power: stopped, messages: 1"),
        (
            "running",
            "stopInstance: {instance: web, state: Wait Before Scan}",
            "outcome: failed, power: stopped, messages: 1",
        ),
        ("running", "terminateInstance: {instance: web, at: 2m}", "outcome: failed, power: terminated, messages: 1"),
    ],
    ids=[
        "every event lost",
        "every event twice",
        "events late",
        "call failed before its effect",
        "call failed after its effect",
        "function killed in the middle",
        "function killed after its first call",
        "execution stopped",
        "machine stopped by somebody",
        "machine terminated by somebody",
    ],
)
def test_a_fault_strikes_and_drydock_copes(power: str, fault: str, expect: str) -> None:
    outcome = rehearse(read_fleet(ONE.format(power=power, fault="{" + fault + "}", expect=expect), Path("fault.yaml")))
    assert (outcome.machines[0].differences, outcome.differences) == ((), ())


def _without_real_time(text: str) -> str:
    value = json.loads(text)
    del value["realSeconds"]
    return json.dumps(value)
