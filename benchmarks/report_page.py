"""What the page of a report takes: `python -m benchmarks.report_page [N...]`, in a process of its own for each size.

The machines are as bad as they get: each failed after every step, with long texts. It prints the page's size, its
processor time and the most memory that the process had; `--write` writes them into docs/benchmarks.md.
"""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from benchmarks.tables import Row, Table, measure_apart, read_sizes, show
from drydock.records.results import MadeImage, StepTime
from drydock.run.outcomes import MACHINE_OUTCOMES, MachineOutcome
from drydock.run.report_page import report_page
from drydock.run.reports import Report
from drydock.telling.details import Details, FailedCommand
from drydock.times import to_text

SIZES = (1_000, 10_000)
MOST_BYTES, MOST_SECONDS, MOST_MEGABYTES = 3_000_000, 30, 512
_START = datetime(2026, 1, 13, 1, tzinfo=UTC)
_EXECUTION = "arn:aws:states:ap-northeast-1:123456789012:execution"
_STEPS = (
    *("probeFirst", "scanFirst", "imageBefore", "start", "preInstallHook", "install", "scanAfter"),
    *("healthProbePatching", "installFinish", "postInstallHook", "probeAfter", "imageAfter", "stop"),
)
_IMAGE: MadeImage = {
    "imageId": "ami-0123456789abcdef0",
    "state": "available",
    "crashConsistent": False,
    "reason": "",
    "problems": [],
}
_LONG = "the installation said <why> & more, at length; " * 40


def make_report(count: int) -> Report:
    """A report of so many machines, all of which failed late."""
    machines = [_machine(number) for number in range(count)]
    end = _START + timedelta(hours=6)
    return {
        "schema": 1,
        "runId": "night",
        "execution": f"{_EXECUTION}:drydock-MaintenanceRun:night",
        "outcome": "failed",
        "planOnly": False,
        "asked": {
            "targets": [{"key": "tag:Patch Group", "values": ["web"]}],
            "window": {"windowId": "mw-0123456789abcdef0", "name": "nightly", "executionId": "e"},
            "operation": "Install",
            "policy": {"maxErrors": count},
            "follows": "",
            "resumes": "",
            "startedBy": "",
        },
        "timeZone": "Asia/Tokyo",
        "startedAt": to_text(_START),
        "endedAt": to_text(end),
        "minutes": 360,
        "predictedEnd": to_text(end),
        "maxErrors": count,
        "lastAdmission": to_text(end),
        "end": to_text(end),
        "insideWindow": True,
        "minutesAfterEnd": 0,
        "soakUntil": "",
        "waves": [],
        "planned": count,
        "counts": {outcome: count if outcome == "failed" else 0 for outcome in MACHINE_OUTCOMES},
        "machines": machines,
        "groups": [],
        "images": [],
        "owedReboots": [],
        "advice": [],
        "leftOut": [
            {
                "instanceId": f"i-{number:x}",
                "name": "left",
                "error": "InstanceExcludedError",
                "reason": f"{number} {_LONG}",
            }
            for number in range(count)
        ],
        "failure": None,
        "closed": None,
        "approval": None,
        "messages": [],
        "warnings": [],
        "tooLong": [],
        "snapshotId": "",
        "planHash": "",
        "next": [],
    }


def _machine(number: int) -> MachineOutcome:
    begin = _START + timedelta(seconds=number)
    return {
        "instanceId": f"i-{number:017x}",
        "name": f"a machine with a long name, number {number}",
        "groupName": "",
        "wave": 0,
        "isPlanned": True,
        "outcome": "failed",
        "verdict": "still_missing",
        "error": "PatchesStillMissingError",
        "cause": _LONG,
        "seconds": 3_600,
        "expectedSeconds": 1_800,
        "execution": f"{_EXECUTION}:drydock-PatchInstance:night-i-{number:017x}",
        "details": _details(begin),
        "startedAt": to_text(begin),
        "endedAt": to_text(begin + timedelta(hours=1)),
    }


def _details(begin: datetime) -> Details:
    patches = [f"kernel-5.10.{number}.amzn2" for number in range(40)]
    failed: FailedCommand = {
        "step": "install",
        "document": "AWS-RunPatchBaseline",
        "status": "Failed",
        "exitCode": 156,
        "endedAt": to_text(begin),
        "logKey": "drydock/commands/" + "x" * 100,
        "errorOutput": [_LONG] * 40,
    }
    steps: list[StepTime] = [
        {
            "name": name,
            "beganAt": to_text(begin + timedelta(minutes=5 * number)),
            "endedAt": to_text(begin + timedelta(minutes=5 * number + 5)),
        }
        for number, name in enumerate(_STEPS)
    ]
    return {
        "operation": "Install",
        "powerBefore": "running",
        "powerAfter": "running",
        "rebooted": True,
        "missingBefore": 40,
        "missingAfter": 40,
        "missing": patches,
        "missingBySeverity": {},
        "failed": patches,
        "installed": patches,
        "images": dict.fromkeys(("before", "after"), _IMAGE),
        "hooks": dict.fromkeys(("beforeAnything", "preInstall", "postInstall", "onExit"), "failed"),
        "agents": [],
        "steps": steps,
        "failedCommands": [failed] * 4,
        "logKey": failed["logKey"],
        "restored": None,
        "notes": [_LONG] * 4,
        "toWorkAgain": "",
        "rebootNeed": "not_needed",
        "noLongerMissing": [],
    }


def measure(count: int) -> tuple[int, float, float]:
    """Bytes, seconds of processor time, and megabytes of the process at most."""
    report = make_report(count)
    began = time.process_time()
    size = len(report_page(report, "drydock-logs").encode())
    seconds = time.process_time() - began
    return size, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str]) -> int:
    """Print what pages of several sizes take."""
    given = read_sizes("report_page", __doc__, SIZES, arguments)
    pages = measure_apart(measure, given.sizes)
    sizes, seconds, megabytes = zip(*pages, strict=True)
    table = Table(
        "report_page",
        tuple(f"{size:,} machines" for size in given.sizes),
        (
            Row("bytes of the page", sizes),
            Row("seconds of a processor", seconds, 1),
            Row("megabytes of memory, at most", megabytes),
        ),
    )
    show(table, write=given.write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
