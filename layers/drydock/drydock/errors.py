"""Every error a step can end with. The class names are the contract with the state machines.

Errors named `…NotReadyError` and `ServiceUnavailableError` pass by themselves and are retried;
all others are final for the step.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypedDict

CountsAs = Literal["failed", "busy", "gone", "skipped", "not_attempted"]
EndsRunAs = Literal["failed", "refused", "rejected", "not_answered"]


class Failure(TypedDict):
    """How something ended badly, as states, items and messages have it.

    `error` is the name of an error's class or the status of an execution; `cause` is for people, and may be empty.
    """

    error: str
    cause: str


class DrydockError(Exception):
    """The base of all of Drydock's own errors; never raised itself. What an error means hangs on its class."""

    counts_as: ClassVar[CountsAs] = "failed"
    """The outcome of a machine that was not patched for this reason, in the words of a run's report.

    Only `failed` counts against the error budget: on the others nothing was broken, and nobody has to mend them.
    """
    left_out_as: ClassVar[str] = ""
    """What is said, after their number, of the machines that a plan leaves out for it; empty where it leaves none."""
    ends_run_as: ClassVar[EndsRunAs] = "failed"
    """The outcome of a run that ends with it before any machine was touched."""
    advice: ClassVar[str] = "Read the reason above, then start the execution again."
    """What people should do next: sentences of a message, and of the table in docs/operations.md.

    This one is for the errors of others, such as Step Functions; each of Drydock's own has another.
    """


class InvalidInputError(DrydockError):
    """Raised when the input of an execution has unknown keys or wrong values."""

    ends_run_as = "refused"
    advice = "Correct the input; nothing was touched."


class InvalidPolicyError(DrydockError):
    """Raised when the effective policy has unknown keys, wrong values or impossible combinations."""

    ends_run_as = "refused"
    advice = "Correct the policy; nothing was touched."


class NewerSchemaError(DrydockError):
    """Raised when an item of the table was written by a newer Drydock than this one."""

    advice = "Deploy that version of Drydock again, or a newer one."


class UnreadableItemError(DrydockError):
    """Raised when an item of the table is not as Drydock writes it."""

    advice = "Look at the item that the reason names: mend it, or delete it once nothing is held by it."


class InstanceNotFoundError(DrydockError):
    """Raised when EC2 knows no such instance in this account and Region."""

    counts_as = "gone"
    left_out_as = "gone or unknown to EC2"
    advice = "Check the instance's id, account and Region, unless it is meant to be gone."


class InstanceNotReadyError(DrydockError):
    """Raised when an instance is pending or stopping: neither running nor stopped yet."""

    advice = "See in EC2 why the instance does not settle, then start the execution again."


class InstanceNotPatchableError(DrydockError):
    """Raised when an instance cannot be stopped, imaged and patched by its nature."""

    counts_as = "skipped"
    left_out_as = "not patchable by nature"
    advice = "Change what the reason names, or patch the machine by other means."


class InstanceExcludedError(DrydockError):
    """Raised when the instance carries the DrydockExclude tag."""

    counts_as = "skipped"
    left_out_as = "excluded by the tag DrydockExclude"
    advice = "Remove the tag DrydockExclude if the machine may be patched."


class InstanceInGroupError(DrydockError):
    """Raised when the instance belongs to an Auto Scaling group whose lease does not name it."""

    counts_as = "skipped"
    left_out_as = "stopped in an Auto Scaling group"
    advice = "Start a run, or the roll through its Auto Scaling group: it patches members in service."


class ClusterNodeError(DrydockError):
    """Raised when an instance, or a group's, is a node of a cluster that the policy does not include."""

    counts_as = "skipped"
    left_out_as = "nodes of clusters, which have to be drained first"
    advice = "Let its cluster replace it with a newer image, or name the cluster's kind in policy.include."


class InstanceManagedByServiceError(DrydockError):
    """Raised when an instance belongs to an AWS service, which lets nobody else change it."""

    counts_as = "skipped"
    left_out_as = "in the hands of an AWS service"
    advice = "Leave it to the service that owns it, and take it out of the targets."


class InstanceHibernatedError(DrydockError):
    """Raised when an instance is hibernated: what it holds in memory would be lost."""

    counts_as = "skipped"
    left_out_as = "hibernated"
    advice = "Start it, let it finish its work, and stop it or leave it running; then it is patched."


class MemberInReserveError(DrydockError):
    """Raised when a member of an Auto Scaling group waits in its warm pool, or is retained and serves no more."""

    counts_as = "skipped"
    left_out_as = "in a warm pool, or retained by their group"
    advice = "Give the group a newer image and let it fill its warm pool anew; terminate what it retains."


class InstanceBusyError(DrydockError):
    """Raised when another execution holds the lease of the instance."""

    counts_as = "busy"
    left_out_as = "in the hands of another execution"
    advice = "Wait for the other execution, then start this one again."


class InstanceOfOtherStackError(DrydockError):
    """Raised when another stack of Drydock has the instance in work, as the instance's tags say."""

    counts_as = "busy"
    left_out_as = "in the hands of another stack"
    advice = "Wait for that stack; if it is gone, remove the tags DrydockState and DrydockStack."


class InstanceUnmanagedError(DrydockError):
    """Raised when Systems Manager does not manage a running instance."""

    left_out_as = "not managed by Systems Manager"
    advice = "Make it a managed node (SSM Agent, instance profile, route), then try again."


class InstanceNotRunningError(DrydockError):
    """Raised when a Scan meets a stopped instance and the policy does not start it for a Scan."""

    counts_as = "skipped"
    left_out_as = "stopped, where a Scan starts nothing"
    advice = "Set policy.startForScan, or start the machine and scan it then."


class DocumentError(DrydockError):
    """Raised when an SSM document of the policy is missing, not a Command document or for another platform."""

    advice = "Correct the policy or create the document, then start the execution again."


class LeaseLostError(DrydockError):
    """Raised when a step no longer holds the lease; nothing was touched."""

    advice = "Start a new execution once the machine is given back."


class ImageFailedError(DrydockError):
    """Raised when EC2 could not make an image."""

    advice = "No patch without a good backup: see why EC2 could not make the image."


class ImageTimedOutError(DrydockError):
    """Raised when an image is still not available at the deadline."""

    advice = "No patch without a good backup: raise policy.deadlines.imageSeconds if volumes are large."


class InstanceStartFailedError(DrydockError):
    """Raised when a started instance fell back to stopped, or EC2 refused to start it."""

    advice = "Start the machine by hand to see EC2's reason; check KMS keys and capacity."


class StartTimedOutError(DrydockError):
    """Raised when a started instance is still not running at the deadline."""

    advice = "Look at the instance in EC2; raise policy.deadlines.startSeconds if it is just slow."


class StopTimedOutError(DrydockError):
    """Raised when an instance is still not stopped at the deadline."""

    advice = "Look at the instance in EC2; raise policy.deadlines.stopSeconds if it is just slow."


class InstanceStoppedError(DrydockError):
    """Raised when somebody stopped the instance in the middle of the work."""

    advice = "Somebody stopped the machine; Drydock left it so. Start the execution again later."


class InstanceTerminatedError(DrydockError):
    """Raised when somebody terminated the instance in the middle of the work."""

    counts_as = "gone"
    advice = "The machine is gone. Nothing is left to do for Drydock."


class AgentNotReadyError(DrydockError):
    """Raised when status checks have not passed, or the SSM Agent has not called in yet."""

    advice = "Check the SSM Agent and the instance profile, then start the execution again."


class AgentUnreachableError(DrydockError):
    """Raised when status checks or the SSM Agent are still missing at the deadline."""

    advice = "Check the SSM Agent and the instance profile, then start the execution again."


class CommandNotReadyError(DrydockError):
    """Raised when it cannot be seen yet whether a command was sent."""

    advice = "Look at the machine's commands in Systems Manager, then start the execution again."


class CommandNotDeliveredError(DrydockError):
    """Raised when a command never reached the instance."""

    advice = "Check the SSM Agent on the machine, then start the execution again."


class CommandCancelledError(DrydockError):
    """Raised when somebody cancelled a command of Drydock."""

    advice = "Ask who cancelled the command, then start the execution again."


class CommandTimedOutError(DrydockError):
    """Raised when a command is not over at the deadline."""

    advice = "Look at the command's output; raise policy.deadlines if the machine is just slow."


class CommandsNotSettledError(DrydockError):
    """Raised when a command of Drydock, or what one has begun, may still be at work at the deadline."""

    advice = (
        "See what is at work on the machine before you touch its power; "
        "Drydock goes on asking it, and gives it back by itself."
    )


class ProbeFailedError(DrydockError):
    """Raised when the probe did not answer with what it should."""

    advice = "Run the stack's Probe document on the machine to see what it answers."


class HookFailedError(DrydockError):
    """Raised when a hook of the policy failed."""

    advice = "Look at the hook's output in the log bucket."


class HealthCheckFailedError(DrydockError):
    """Raised when the health probe of the policy failed."""

    advice = "The machine is patched but its health probe fails: look at it now."


class PatchingNotReadyError(DrydockError):
    """Raised when AWS-RunPatchBaseline cannot begin: another run of it is at work, or was two minutes ago."""

    advice = "See what else patches the machine (an association, a window), and let one of them do it."


class PatchStateNotReadyError(DrydockError):
    """Raised when the patch state of a finished Scan cannot be read yet."""

    advice = "Run a Scan to see what is installed."


class PatchesStillMissingError(DrydockError):
    """Raised when patches are missing after an installation that reported success."""

    advice = "Look at the installation's output for each patch that is missing."


class PatchesRejectedError(DrydockError):
    """Raised when patches are installed that the patch baseline rejects, and the policy minds that."""

    advice = "Remove the patches that the reason names, or reject them no longer."


class OperatingSystemEndedError(DrydockError):
    """Raised when the operating system gets no more updates, and the policy minds that."""

    advice = "Move the machine to a newer operating system: nothing is offered to this one any more."


class PatchingFailedError(DrydockError):
    """Raised when patches are missing or failed after an installation that reported failure."""

    advice = "Look at the installation's output; roll back from the image before if needed."


class PatchingReportedFailedError(DrydockError):
    """Raised when nothing is missing, the installation reported failure, and the policy minds that."""

    advice = "Look at the installation's output, or leave its verdict out of policy.failOn."


class RebootPendingError(DrydockError):
    """Raised when a reboot is still pending and the policy minds that."""

    advice = "Reboot the machine when it suits you."


class VerdictUnknownError(DrydockError):
    """Raised when there is no fresh evidence of what is installed."""

    advice = "Run a Scan to see what is installed."


class AgentUpdateFailedError(DrydockError):
    """Raised when the update of an agent failed and its version is the old one, or the agent is gone."""

    advice = "Look at the update's output in the log bucket, then start the execution again."


class AgentVersionUnknownError(DrydockError):
    """Raised when the version of an agent cannot be told after its update."""

    advice = "Run the stack's Probe document on the machine to see its agents."


class PowerNotRestoredError(DrydockError):
    """Raised when an instance could not be given back the power state it had."""

    advice = "Drydock goes on trying; stop the machine by hand if it must not run."


class InstanceDoneError(DrydockError):
    """Raised when another execution has done the same to the instance since the run began."""

    counts_as = "skipped"
    left_out_as = "done already"
    advice = "Another execution did the same already. Nothing is left to do."


class RunNotFoundError(DrydockError):
    """Raised when there is no such run, or it is not one that can be taken up."""

    ends_run_as = "refused"
    advice = "Check the run id: there is no such run, or it cannot be taken up."


class RunOverError(DrydockError):
    """Raised when a step of a run finds that the run is over, or belongs to another execution."""

    # Of a machine that was let in, and before it began the run was stopped.
    counts_as = "not_attempted"
    ends_run_as = "refused"
    advice = "The run is over, or its name is another's. Start a new one."


class NotInRunError(DrydockError):
    """Raised when an execution names a run that has not let it in: only the run itself starts what is part of it."""

    counts_as = "skipped"
    advice = "Leave out runId, or start a run: it starts the executions of its machines itself."


class MachinesNotReadyError(DrydockError):
    """Raised when a run cannot be reported yet, because executions of its machines still run."""

    advice = "Look at the executions of its machines: their histories say what they wait for."


class RunStillWorkingError(DrydockError):
    """Raised when an earlier run of the same maintenance window still works."""

    ends_run_as = "refused"
    advice = "Let the earlier run end, or stop it with `drydock stop`."


class ApprovalRejectedError(DrydockError):
    """Raised when an approver rejected the run; nothing was touched."""

    ends_run_as = "rejected"
    advice = "Ask who rejected it for the reason, then start another run."


class ApprovalTimedOutError(DrydockError):
    """Raised when not enough approvers answered in time; nothing was touched."""

    ends_run_as = "not_answered"
    advice = "Start another run when an approver can answer, or raise policy.approval.seconds."


class PlanRefusedError(DrydockError):
    """Raised when a run would need what is not there: documents, alarms, calendars, approvers, or its machines."""

    ends_run_as = "refused"
    advice = "Mend everything that the reason names, then start the run again; nothing was touched."


class PlanChangedError(DrydockError):
    """Raised when a stored plan is not the one whose hash was approved."""

    ends_run_as = "refused"
    advice = "The stored plan is not the approved one. Plan and approve anew."


class MachinesFailedError(DrydockError):
    """Raised when machines of a run failed; the report names them."""

    advice = "Read why each machine failed; start it again for the others once that is mended."


class RunIncompleteError(DrydockError):
    """Raised when machines of a run were not attempted; the report names them."""

    advice = "Take up what is left of the run; its report names the machines."


class RunLateError(DrydockError):
    """Raised when machines of a run were given back after it had to end; the report says how late."""

    advice = "Give the window more time, or runs more concurrency; the report has what each machine took."


class RunStoppedError(DrydockError):
    """Raised when somebody stopped the run."""

    advice = "Somebody stopped the run. Take up what is left when that suits you."


class DeadlineReachedError(DrydockError):
    """Raised when a machine would not be given back before the run has to end."""

    advice = "Take up what is left in the next window, or give runs more time or concurrency."


class BudgetSpentError(DrydockError):
    """Raised when as many machines of a run have failed as its policy allows."""

    advice = "See why the failed machines failed before you take up what is left."


class CanaryFailedError(DrydockError):
    """Raised when the canary of a run has not proved that the others may follow."""

    advice = "Look at the machines of the canary, then take up the run: it has a new canary."


class AlarmRingingError(DrydockError):
    """Raised when a CloudWatch alarm that the policy names is in ALARM."""

    advice = "See why the alarm rings. Take up what is left once it is quiet."


class CalendarClosedError(DrydockError):
    """Raised when a Change Calendar that the policy names is closed."""

    advice = "Take up what is left once the calendar is open again."


class GroupNotFoundError(DrydockError):
    """Raised when there is no such Auto Scaling group in this account and Region."""

    counts_as = "gone"
    advice = "Check the group's name, account and Region; nothing was touched."


class GroupBusyError(DrydockError):
    """Raised when another execution is at work on an Auto Scaling group."""

    counts_as = "busy"
    advice = "Wait for the other execution, then start this one again."


class InstanceRefreshAtWorkError(DrydockError):
    """Raised when an instance refresh of an Auto Scaling group is not over."""

    counts_as = "busy"
    advice = "Wait for the instance refresh or cancel it, then start this one again."


class ProcessSuspendedError(DrydockError):
    """Raised when a process of a group is suspended without which no member would come back into service."""

    advice = "Resume the process that the reason names, then start again; nothing was touched."


class GroupWeightedError(DrydockError):
    """Raised when the members of a group have weights, so that its sizes do not count them."""

    advice = "Use an instance refresh for it, or remove the weights; nothing was touched."


class GroupTooLargeError(DrydockError):
    """Raised when a group has more members to be patched than one roll can keep account of."""

    advice = "Name some of its members in only, and the others in another roll; nothing was touched."


class NoMemberInServiceError(DrydockError):
    """Raised when no member of a group is in service and healthy."""

    advice = "See in the group's activities why no member serves; nothing was touched."


class MemberNotSparedError(DrydockError):
    """Raised when a group cannot spare as many members as are to be patched at once."""

    advice = "Raise the desired capacity, set policy.capacity to surge, or lower policy.minHealthy."


class GroupNotReadyError(DrydockError):
    """Raised when an Auto Scaling group does not allow a change yet."""

    advice = "See in the group's activities why it refuses the change, then start it again."


class MemberNotReadyError(DrydockError):
    """Raised when a member of a group is still on its way into standby, or back into service."""

    advice = "See in the group's activities what keeps the member on its way."


class MemberOvertakenError(DrydockError):
    """Raised when something else was begun in a group while a member was judged by what was there before."""

    advice = "Start it again for the members that were not attempted, with a smaller batch."


class MemberGoneError(DrydockError):
    """Raised when the group terminated or gave away a member in the middle of the work."""

    counts_as = "gone"
    advice = "The group terminated the member or gave it away. Nothing is left to do for Drydock."


class StandbyTimedOutError(DrydockError):
    """Raised when a member is still not in standby at the deadline."""

    advice = "See in the group's activities why the member does not leave; raise standbySeconds."


class InServiceTimedOutError(DrydockError):
    """Raised when a member is still not in service and healthy at the deadline."""

    advice = "Look at the member's health in its group and target groups now."


class RollStoppedError(DrydockError):
    """Raised when a roll through a group takes no further member, because one failed or a gate closed."""

    # None of its members failed, but some were not attempted.
    counts_as = "not_attempted"
    advice = "See why it stopped. Start it again for the members that were not attempted."


class SurgeNotPossibleError(DrydockError):
    """Raised when a group cannot have a surge instance before its members leave service."""

    advice = "Change what the reason names, or set policy.surgeFallback to reduce."


class GroupNotRestoredError(DrydockError):
    """Raised when an Auto Scaling group could not be given back as it was found."""

    advice = "Look at the group's members and sizes now; the notes above say what is left."


class ServiceUnavailableError(DrydockError):
    """Raised when AWS throttled a call or failed to answer, after the client's own retries.

    `was_refused` says that AWS surely did not carry the call out.
    """

    advice = "AWS did not answer for some time. Start it again; raise quotas if that goes on."

    def __init__(self, message: str, *, was_refused: bool = False) -> None:
        super().__init__(message)
        self.was_refused = was_refused


class AwsCallFailedError(DrydockError):
    """Raised when AWS refused a call for good."""

    advice = "Read the refused call above; often a permission or a quota. Then start it again."


class OperationUnknownError(DrydockError):
    """Raised when the boto3 that is deployed does not know an operation of AWS."""

    advice = "Deploy Drydock with the boto3 that requirements/layer.in brings, then start it again."


def error_named(name: str) -> type[DrydockError] | None:
    """The class of an error as states, items and messages name it; None for the error of somebody else."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, DrydockError) else None


def as_failure(error: DrydockError) -> Failure:
    """An error as the end of what it has ended."""
    return {"error": type(error).__name__, "cause": str(error)}


def outcome_of_failure(name: str) -> CountsAs:
    """What a machine counts as that was not patched, by the name of the error; those of others are failures."""
    return (error_named(name) or DrydockError).counts_as
