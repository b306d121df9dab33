"""The command line in a process of its own, with the embedded account as its endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rehearsal.play.serve import Server, serve_api, serve_url
from rehearsal.world.fleet import Machine
from tests.rehearsal.cli.at_the_desk import require_fitting
from tests.rehearsal.cli.command import start_command
from tests.scenarios.machine.scenario import Scenario, scenario
from tests.scenarios.run.test_without_url import template_without_url

PROJECT = Path(__file__).parents[3]
APPROVER = "arn:aws:iam::123456789012:user/ann"
SOMEBODY_ELSE = "arn:aws:iam::123456789012:user/ben"
TARGET = ("--target", "tag:Patch Group=web", "--minutes", "600")
QUICKLY = timedelta(minutes=3)
MOST_SECONDS = 60
"""The real time that a command may take."""


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Somebody at a terminal, with an account behind."""

    def __init__(self, scene: Scenario, api: Server, page: Server | None, folder: Path) -> None:
        self.scene = scene
        self._api = api
        self._page = page
        self._out, self._err = folder / "out", folder / "err"

    def __call__(self, *arguments: str, step: timedelta = timedelta(0), env: Mapping[str, str] | None = None) -> Answer:
        """Run a command to its end; after each of its calls, `step` of virtual time passes."""
        address = f"{self._page.address}/" if self._page else ""
        for path in (self._out, self._err):
            path.write_text("")
        environment = {**os.environ, "AWS_ENDPOINT_URL": self._api.address, **(env or {})}
        process = start_command(arguments, environment, address, self._out, self._err)
        killer = threading.Timer(MOST_SECONDS, process.kill)
        killer.start()
        self._api.pump(lambda: self._pump_page() < 0 or process.exitcode is not None, step)
        killer.cancel()
        assert process.exitcode is not None
        answer = Answer(process.exitcode, self._out.read_text(), self._err.read_text())
        if "--json" in arguments:
            require_fitting(arguments[0], answer.document)
        return answer

    def _pump_page(self) -> int:
        return self._page.pump() if self._page else 0

    def machines(self, *names: str) -> Sequence[Machine]:
        return [self.scene.machine(name, tags={"Patch Group": "web"}) for name in names]


@pytest.fixture
def drydock(tmp_path: Path) -> Iterator[CommandLine]:
    with (
        scenario() as scene,
        serve_api(scene.account) as api,
        serve_url(scene.account, scene.stack.outputs["DecideUrl"], signed_as=APPROVER) as page,
    ):
        yield CommandLine(scene, api, page, tmp_path)


def start(drydock: CommandLine, name: str, *more: str, **policy: Any) -> None:
    """Start a run, and let it go on for a while."""
    step = timedelta(seconds=2)
    answer = drydock("run", *TARGET, "--name", name, "--policy", json.dumps(policy), *more, step=step)
    assert (answer.code, answer.err) == (0, "")
    drydock.scene.run_for(5)


def approvers(drydock: CommandLine, *arns: str) -> None:
    drydock.scene.account.client("ssm").put_parameter(
        Name=drydock.scene.stack.outputs["ApproversParameterName"],
        Value=json.dumps(arns),
        Type="String",
        Overwrite=True,
    )


def test_a_run_is_started_watched_and_succeeds(drydock: CommandLine) -> None:
    first, second = drydock.machines("web-1", "web-2")

    answer = drydock("run", *TARGET, "--name", "night-1", "--watch", "--interval", "1", step=QUICKLY)

    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[:2] == ["Starting run night-1", "Run night-1 has begun."]
    assert any(f"web-2 ({second.instance_id}): succeeded after" in line for line in lines), answer.out
    assert "  2 machines: 2 succeeded" in lines
    assert lines[-1].startswith("Report: s3://")
    assert (first.missing, second.missing) == ([], [])
    assert max(map(len, lines[:-1])) <= 80


def test_a_plan_is_approved_and_carried_out_later_as_it_is(drydock: CommandLine) -> None:
    (machine,) = drydock.machines("web-1")
    drydock.scene.machine("legacy", tags={"Patch Group": "web", "DrydockExclude": "not before June"})
    approvers(drydock, APPROVER)
    policy = json.dumps({"approval": {"required": True}})

    plan = drydock("plan", *TARGET, "--name", "plan-1", "--policy", policy, step=QUICKLY)
    as_json = drydock("plan", *TARGET, "--policy", policy, "--json", step=QUICKLY)
    approval = drydock("approve", "plan-1", "--yes", "--reason", "looked at it")
    run = drydock("run", "--plan", "plan-1", "--minutes", "600", "--watch", "--interval", "1", "--json", step=QUICKLY)

    assert (plan.code, plan.err) == (0, "")
    assert as_json.document["outcome"] == "planned"
    row = next(line.split() for line in plan.out.splitlines() if machine.instance_id in line)
    assert (row[:3], row[-1]) == (["1", "web-1", machine.instance_id], "yes")
    assert "InstanceExcludedError" in plan.out and "not before June" in " ".join(plan.out.split())
    assert (approval.code, approval.err) == (0, "")
    assert f"by {APPROVER}" in approval.out
    assert run.code == 0
    assert run.err == f"drydock: starting run {run.document['runId']}\n"
    assert run.document["outcome"] == "succeeded"
    assert [one["name"] for one in run.document["machines"]] == ["web-1"]


def test_a_run_that_waits_is_approved_by_approvers_alone_and_once(drydock: CommandLine) -> None:
    drydock.machines("web-1")
    approvers(drydock, SOMEBODY_ELSE)
    start(drydock, "night-1", approval={"required": True})

    waiting = drydock("watch", "night-1", "--once")
    forbidden = drydock("approve", "night-1", "--yes")
    approvers(drydock, APPROVER)
    approval = drydock("approve", "night-1", "--yes", "--json")
    again = drydock("reject", "night-1", "--yes")
    ended = drydock("watch", "night-1", "--interval", "1", step=QUICKLY)

    assert waiting.code == 4
    assert "waiting for approval until" in waiting.out
    assert (forbidden.code, forbidden.out.count("is approved")) == (2, 0)
    assert forbidden.err.count("\n") == 1 and forbidden.err.endswith("(403)\n")
    assert (approval.code, approval.document["result"], approval.document["by"]) == (0, "approved", APPROVER)
    assert again.code == 2
    assert again.err.count("\n") == 1 and again.err.endswith("(409)\n")
    assert ended.code == 0
    assert "approved by" in " ".join(ended.out.split())


def test_where_there_is_no_address_a_run_is_approved_by_the_command_alone(tmp_path: Path) -> None:
    with (
        scenario(template=template_without_url(tmp_path)) as scene,
        serve_api(scene.account, signed_as=APPROVER) as api,
    ):
        drydock = CommandLine(scene, api, None, tmp_path)
        drydock.machines("web-1")
        approvers(drydock, APPROVER)
        start(drydock, "night-1", approval={"required": True})

        approval = drydock("approve", "night-1", "--yes", "--json")
        ended = drydock("watch", "night-1", "--interval", "1", "--json", step=QUICKLY)

    assert (approval.code, approval.err, approval.document["result"]) == (0, "", "written")
    assert (ended.code, ended.document["outcome"]) == (0, "succeeded")


def test_a_rejected_run_touches_nothing_and_is_no_success(drydock: CommandLine) -> None:
    (machine,) = drydock.machines("web-1")
    approvers(drydock, APPROVER)
    start(drydock, "night-1", approval={"required": True})

    rejection = drydock("reject", "night-1", "--yes", "--reason", "not tonight")
    ended = drydock("watch", "night-1", "--interval", "1", step=QUICKLY)

    assert (rejection.code, rejection.err) == (0, "")
    assert ended.code == 2
    assert "Run night-1: rejected" in ended.out
    assert len(machine.missing) == 2


def test_a_stopped_run_finishes_what_it_has_in_work_and_leaves_the_rest(drydock: CommandLine) -> None:
    first, second = drydock.machines("web-1", "web-2")
    start(drydock, "night-1")

    stopped = drydock("stop", "night-1", "--reason", "wrong patches")
    ended = drydock("watch", "night-1", "--json", "--interval", "1", step=QUICKLY)
    late = drydock("stop", "night-1")
    assert not drydock("stop", "night-1", "--json").document["stopped"]
    assert drydock("report", "night-1", "--json").document["outcome"] == "stopped"
    again = drydock("run", *TARGET, "--name", "night-1")

    assert (stopped.code, stopped.err) == (0, "")
    assert "wrong patches" in stopped.out
    assert ended.code == 2
    outcomes = {one["name"]: one["outcome"] for one in ended.document["report"]["machines"]}
    assert outcomes == {"web-1": "succeeded", "web-2": "not_attempted"}
    assert (len(first.missing), len(second.missing)) == (0, 2)
    assert late.code == 2
    assert "has ended already" in late.err
    assert again.err == "drydock: there has been a run named night-1: give this one another --name\n"


def test_what_a_stopped_run_left_is_taken_up(drydock: CommandLine) -> None:
    drydock.machines("web-1", "web-2")
    start(drydock, "night-1")
    drydock("stop", "night-1")
    drydock.scene.settle()

    options = ("--minutes", "600", "--watch", "--interval", "1")
    answer = drydock("run", "--resume", "night-1", *options, step=timedelta(minutes=1))

    assert (answer.code, answer.err) == (0, "")
    assert "web-2" in answer.out
    assert "web-1" not in answer.out


def test_what_is_not_there_is_one_line(drydock: CommandLine, tmp_path: Path) -> None:
    nowhere = {name: str(tmp_path / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    nobody = {**nowhere, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": ""}
    answers = {
        "there is no run night-9 in the stack drydock in ap-northeast-1": drydock("watch", "night-9"),
        "no credentials": drydock("watch", "night-1", env=nobody),
        "no Region": drydock("watch", "night-1", env={**nowhere, "AWS_DEFAULT_REGION": ""}),
    }

    for expected, answer in answers.items():
        assert (answer.code, answer.out) == (1, ""), expected
        assert answer.err.startswith(f"drydock: {expected}"), expected
        assert answer.err.count("\n") == 1, expected


HELP = """
import sys
from drydock_cli.main import carry_out
raise SystemExit(max(carry_out([*verb, "--help"]) for verb in ((), *zip(sys.argv[1:]))))
"""


def installed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-X",
        "importtime",
        *(arguments if arguments[0] == "-c" else ("-m", "drydock_cli", *arguments)),
    ]
    return subprocess.run(command, cwd=PROJECT, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True)


def loaded(answer: subprocess.CompletedProcess[str]) -> set[str]:
    """The packages that a command has imported."""
    lines = [line for line in answer.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def told(answer: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in answer.stderr.splitlines() if not line.startswith("import time:")]


def test_help_names_every_verb_fits_80_columns_and_loads_nothing_heavy() -> None:
    verbs = ("run", "plan", "watch", "stop", "approve", "reject", "rehearse")
    answer = installed("-c", HELP, *verbs)

    assert (answer.returncode, told(answer)) == (0, [])
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert not {"boto3", "botocore", "moto", "rehearsal"} & loaded(answer)
    whole, *each = answer.stdout.split("Usage: ")[1:]
    assert all(f" {verb} " in whole for verb in verbs)
    assert [one.split()[1] for one in each] == list(verbs)
    assert all("--endpoint-url" in one for one in each[:-1])


def test_wrong_usage_of_the_installed_command_is_one_line() -> None:
    wrong = installed("watch")

    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert told(wrong) == ["drydock: missing argument 'RUN' (see drydock watch --help)"]


def test_a_verb_loads_nothing_of_the_embedded_account() -> None:
    failed = installed("watch", "night-1", "--endpoint-url", "nowhere")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert told(failed) == ["drydock: Invalid endpoint: nowhere"]
    assert "botocore" in loaded(failed)
    assert "moto" not in loaded(failed)


def test_a_reader_that_has_seen_enough_sees_no_traceback() -> None:
    reads, writes = os.pipe()
    os.close(reads)

    answer = subprocess.run(
        [sys.executable, "-m", "drydock_cli", "--help"], cwd=PROJECT, stdout=writes, stderr=subprocess.PIPE, text=True
    )

    os.close(writes)
    assert (answer.returncode, answer.stderr) == (1, "")


def test_a_patched_machine_is_brought_back(drydock: CommandLine) -> None:
    (machine,) = drydock.machines("web-1")
    drydock.scene.patch(machine)
    root = machine.root_volume

    nobody = drydock("undo", machine.instance_id)
    answer = drydock("undo", machine.instance_id, "--yes", "--interval", "1", step=QUICKLY)
    again = drydock("undo", machine.instance_id, "--yes", "--interval", "1", step=QUICKLY)

    assert nobody.code == 2 and "--yes" in nobody.err
    assert (answer.code, answer.err) == (0, "")
    assert f"The root volume of before is kept: {root}" in answer.out
    assert len(machine.missing) == 2
    assert again.code == 2 and "InstanceDoneError" in again.err
