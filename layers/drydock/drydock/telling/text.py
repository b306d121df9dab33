"""Messages as people read them: what happened, to which machine, what state it is in, what to do, where to look."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from drydock.environment import Environment
from drydock.records.holder import Holder

_MOST_SUBJECT = 99
"""SNS: fewer than 100 characters, no line breaks or control characters."""


_CUT = "… (cut: the message is longer than can be sent)"


NEXT_STEPS = "What to do next"
"""The heading of what people should do: indented lines follow, and an empty line ends them."""


VERDICTS = {
    "compliant": "nothing is missing",
    "failed": "the installation failed; patches are missing",
    "not_patched": "nothing was installed",
    "patched_reported_failed": "nothing is missing, although the installation reported failure",
    "pending_reboot": "installed; a reboot is still pending",
    "scanned": "looked at only",
    "still_missing": "patches are still missing",
    "unknown": "it is not known what is installed",
    "up_to_date": "its agents were up to date already",
    "updated": "agents were updated",
    "updated_reported_failed": "agents were updated, although a command reported failure",
}


DONE = {"Install": "patched", "Scan": "scanned", "UpdateAgents": "brought up to date"}
"""What was done to machines, by the operation."""


WANTED = {"Install": "patch", "Scan": "scan", "UpdateAgents": "update the agents of"}
"""What is to be done to them."""


_ADVICE = {
    "ABORTED": "Somebody stopped it. Start it again when that suits you.",
    "AgentNotReadyError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AgentUnreachableError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AgentUpdateFailedError": "Look at the update's output in the log bucket, then start the execution again.",
    "AgentVersionUnknownError": "Run the stack's Probe document on the machine to see its agents.",
    "AlarmRingingError": "See why the alarm rings. Take up what is left once it is quiet.",
    "ApprovalRejectedError": "Ask who rejected it for the reason, then start another run.",
    "ApprovalTimedOutError": "Start another run when an approver can answer, or raise policy.approval.seconds.",
    "AwsCallFailedError": "Read the refused call above; often a permission or a quota. Then start it again.",
    "CanaryFailedError": "Look at the machines of the canary, then take up the run: it has a new canary.",
    "BudgetSpentError": "See why the failed machines failed before you take up what is left.",
    "CalendarClosedError": "Take up what is left once the calendar is open again.",
    "CommandNotDeliveredError": "Check the SSM Agent on the machine, then start the execution again.",
    "CommandTimedOutError": "Look at the command's output; raise policy.deadlines if the machine is just slow.",
    "CommandsNotSettledError": "A command is still at work. Look at the machine before you touch its power.",
    "DeadlineReachedError": "Take up what is left in the next window, or give runs more time or concurrency.",
    "DocumentError": "Correct the policy or create the document, then start the execution again.",
    "GroupBusyError": "Wait for the other execution, then start this one again.",
    "GroupNotFoundError": "Check the group's name, account and Region; nothing was touched.",
    "GroupNotReadyError": "See in the group's activities why it refuses the change, then start it again.",
    "GroupNotRestoredError": "Look at the group's members and sizes now; the notes above say what is left.",
    "GroupTooLargeError": "Name some of its members in only, and the others in another roll; nothing was touched.",
    "GroupWeightedError": "Use an instance refresh for it, or remove the weights; nothing was touched.",
    "HealthCheckFailedError": "The machine is patched but its health probe fails: look at it now.",
    "HookFailedError": "Look at the hook's output in the log bucket.",
    "ImageFailedError": "No patch without a good backup: see why EC2 could not make the image.",
    "ImageTimedOutError": "No patch without a good backup: raise policy.deadlines.imageSeconds if volumes are large.",
    "InServiceTimedOutError": "Look at the member's health in its group and target groups now.",
    "InstanceBusyError": "Wait for the other execution, then start this one again.",
    "InstanceDoneError": "Another execution did the same already. Nothing is left to do.",
    "InstanceExcludedError": "Remove the tag DrydockExclude if the machine may be patched.",
    "InstanceInGroupError": "Start a run, or the roll through its Auto Scaling group: it patches members in service.",
    "InstanceStartFailedError": "Start the machine by hand to see EC2's reason; check KMS keys and capacity.",
    "InstanceStoppedError": "Somebody stopped the machine; Drydock left it so. Start the execution again later.",
    "InstanceTerminatedError": "The machine is gone. Nothing is left to do for Drydock.",
    "InstanceRefreshAtWorkError": "Wait for the instance refresh or cancel it, then start this one again.",
    "InstanceUnmanagedError": "Make it a managed node (SSM Agent, instance profile, route), then try again.",
    "InvalidInputError": "Correct the input; nothing was touched.",
    "InvalidPolicyError": "Correct the policy; nothing was touched.",
    "MachinesFailedError": "Read why each machine failed; start it again for the others once that is mended.",
    "MemberGoneError": "The group terminated the member or gave it away. Nothing is left to do for Drydock.",
    "MemberNotReadyError": "See in the group's activities what keeps the member on its way.",
    "MemberNotSparedError": "Raise the desired capacity, set policy.capacity to surge, or lower policy.minHealthy.",
    "MemberOvertakenError": "Start it again for the members that were not attempted, with a smaller batch.",
    "NoMemberInServiceError": "See in the group's activities why no member serves; nothing was touched.",
    "PatchesStillMissingError": "Look at the installation's output for each patch that is missing.",
    "PatchingFailedError": "Look at the installation's output; roll back from the image before if needed.",
    "PlanChangedError": "The stored plan is not the approved one. Plan and approve anew.",
    "PowerNotRestoredError": "Drydock goes on trying; stop the machine by hand if it must not run.",
    "ProcessSuspendedError": "Resume the process that the reason names, then start again; nothing was touched.",
    "RebootPendingError": "Reboot the machine when it suits you.",
    "RollStoppedError": "See why it stopped. Start it again for the members that were not attempted.",
    "RunIncompleteError": "Take up what is left of the run; its report names the machines.",
    "RunNotFoundError": "Check the run id: there is no such run, or it cannot be taken up.",
    "RunOverError": "The run is over, or its name is another's. Start a new one.",
    "RunStillWorkingError": "Let the earlier run end, or stop it with `drydock stop`.",
    "RunStoppedError": "Somebody stopped the run. Take up what is left when that suits you.",
    "ServiceUnavailableError": "AWS did not answer for some time. Start it again; raise quotas if that goes on.",
    "StandbyTimedOutError": "See in the group's activities why the member does not leave; raise standbySeconds.",
    "SurgeNotPossibleError": "Change what the reason names, or set policy.surgeFallback to reduce.",
    "TIMED_OUT": "It took longer than it may. Look at its history for what it waited for.",
    "VerdictUnknownError": "Run a Scan to see what is installed.",
}


@dataclass(frozen=True)
class Location:
    """Where the machine is, and in which zone people read times."""

    partition: str
    account: str
    region: str
    time_zone: str


def location_of(holder: Holder, environment: Environment, time_zone: str = "") -> Location:
    """Where an execution is at work. Without a zone, times are read in the stack's own."""
    return Location(holder.partition, holder.account, environment.region, time_zone or environment.time_zone)


def one_line(text: str) -> str:
    """Text of others, such as a Name tag, as it may stand inside a line."""
    return "".join(character if character.isprintable() else " " for character in text)


def cut(text: str, most: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def subject_line(text: str) -> str:
    """A subject that SNS takes."""
    return cut(one_line(text), _MOST_SUBJECT)


def advice_for(error: str) -> str:
    """What to do next about an error, by the name of its class or the status of an execution."""
    return _ADVICE.get(error, "Read the reason above, then start the execution again.")


def machine_text(instance_id: str, name: str) -> str:
    return f"{name} ({instance_id})" if name else instance_id


_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def _console(location: Location) -> str:
    return f"https://{location.region}.{_CONSOLES.get(location.partition, 'console.aws.amazon.com')}"


def console_link(execution: str, location: Location) -> str:
    return f"{_console(location)}/states/home?region={location.region}#/v2/executions/details/{execution}"


def object_link(bucket: str, key: str, location: Location) -> str:
    """Where the console shows an object of S3. Without an ampersand, which chat clients may spoil."""
    return f"{_console(location)}/s3/object/{bucket}?prefix={quote(key)}"


def windows_link(location: Location) -> str:
    """Where the console lists the maintenance windows."""
    return f"{_console(location)}/systems-manager/maintenance-windows?region={location.region}"


def _where(location: Location, execution: str) -> list[str]:
    return ["", "Where to look", f"  Execution: {console_link(execution, location)}"]
