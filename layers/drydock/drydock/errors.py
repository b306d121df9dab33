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
    ends_run_as: ClassVar[EndsRunAs] = "failed"
    """The outcome of a run that ends with it before any machine was touched."""
    is_urgent: ClassVar[bool] = False
    """Whether somebody has to get up for what ended with it: it may not serve, or is not as it was found."""


class InvalidInputError(DrydockError):
    """Raised when the input of an execution has unknown keys or wrong values."""

    ends_run_as = "refused"


class InvalidPolicyError(DrydockError):
    """Raised when the effective policy has unknown keys, wrong values or impossible combinations."""

    ends_run_as = "refused"


class NewerSchemaError(DrydockError):
    """Raised when an item of the table was written by a newer Drydock than this one."""


class UnreadableItemError(DrydockError):
    """Raised when an item of the table is not as Drydock writes it. `key` is its pk and sk, where they are known."""

    def __init__(self, text: str, key: tuple[str, str] | None = None) -> None:
        super().__init__(text)
        self.key = key


class InstanceNotFoundError(DrydockError):
    """Raised when EC2 knows no such instance in this account and Region."""

    counts_as = "gone"


class InstanceNotReadyError(DrydockError):
    """Raised when an instance is pending or stopping: neither running nor stopped yet."""


class InstanceNotPatchableError(DrydockError):
    """Raised when an instance cannot be stopped, imaged and patched by its nature."""

    counts_as = "skipped"


class InstanceExcludedError(DrydockError):
    """Raised when the instance carries the DrydockExclude tag."""

    counts_as = "skipped"


class InstanceInGroupError(DrydockError):
    """Raised when the instance belongs to an Auto Scaling group whose lease does not name it."""

    counts_as = "skipped"


class ClusterNodeError(DrydockError):
    """Raised when an instance, or a group's, is a node of a cluster that the policy does not include."""

    counts_as = "skipped"


class InstanceManagedByServiceError(DrydockError):
    """Raised when an instance belongs to an AWS service, which lets nobody else change it."""

    counts_as = "skipped"


class InstanceHibernatedError(DrydockError):
    """Raised when an instance is hibernated: what it holds in memory would be lost."""

    counts_as = "skipped"


class MemberInReserveError(DrydockError):
    """Raised when a member of an Auto Scaling group waits in its warm pool, or is retained and serves no more."""

    counts_as = "skipped"


class InstanceBusyError(DrydockError):
    """Raised when another execution holds the lease of the instance."""

    counts_as = "busy"


class InstanceOfOtherStackError(DrydockError):
    """Raised when another stack of Drydock has the instance in work, as the instance's tags say."""

    counts_as = "busy"


class InstanceUnmanagedError(DrydockError):
    """Raised when Systems Manager does not manage a running instance."""


class InstanceNotRunningError(DrydockError):
    """Raised when a Scan meets a stopped instance and the policy does not start it for a Scan."""

    counts_as = "skipped"


class DocumentError(DrydockError):
    """Raised when an SSM document of the policy is missing, not a Command document or for another platform."""


class LeaseLostError(DrydockError):
    """Raised when a step no longer holds the lease; nothing was touched."""


class ImageFailedError(DrydockError):
    """Raised when EC2 could not make an image."""


class ImageTimedOutError(DrydockError):
    """Raised when an image is still not available at the deadline."""


class ImageNotReadyError(DrydockError):
    """Raised when the image that a launch template shall learn is not finished yet."""


class EarlierImageNotReadyError(DrydockError):
    """Raised when an earlier image of the machine is not finished yet."""


class SnapshotsNotReadyError(DrydockError):
    """Raised when it cannot be seen yet that the snapshots of an image have begun."""


class ImageRebootUnprovedError(DrydockError):
    """Raised when a machine shows the same boot after the image for which it was to be rebooted."""


class PatchedWithoutBackupError(DrydockError):
    """Raised when the image before patching failed after the installation had begun, which the policy allows."""


class InstanceNotRestorableError(DrydockError):
    """Raised when an instance cannot be given an earlier root volume by its nature, or by its owner's wish."""

    counts_as = "skipped"


class NothingToRestoreError(DrydockError):
    """Raised when there is no image or volume that an instance can be brought back to."""

    counts_as = "skipped"


class RootVolumeNotReadyError(DrydockError):
    """Raised when the root volume of an instance is still being replaced."""


class RootVolumeNotReplacedError(DrydockError):
    """Raised when EC2 did not replace the root volume of an instance: it has the one of before."""


class RootVolumeTimedOutError(DrydockError):
    """Raised when it is not known at the deadline whether a root volume was replaced."""

    is_urgent = True


class RootVolumeDetachedError(DrydockError):
    """Raised when the replacement failed and left the instance without a root volume."""

    is_urgent = True


class RestoreUnprovedError(DrydockError):
    """Raised when an instance shows the same boot after its root volume was replaced."""

    is_urgent = True


class InstanceStartFailedError(DrydockError):
    """Raised when a started instance fell back to stopped, or EC2 refused to start it."""


class StartTimedOutError(DrydockError):
    """Raised when a started instance is still not running at the deadline."""


class StopTimedOutError(DrydockError):
    """Raised when an instance is still not stopped at the deadline."""


class InstanceStoppedError(DrydockError):
    """Raised when somebody stopped the instance in the middle of the work."""


class InstanceTerminatedError(DrydockError):
    """Raised when somebody terminated the instance in the middle of the work."""

    counts_as = "gone"


class AgentNotReadyError(DrydockError):
    """Raised when status checks have not passed, or the SSM Agent has not called in yet."""


class AgentUnreachableError(DrydockError):
    """Raised when status checks or the SSM Agent are still missing at the deadline."""

    is_urgent = True


class CommandNotReadyError(DrydockError):
    """Raised when it cannot be seen yet whether a command was sent."""


class CommandNotDeliveredError(DrydockError):
    """Raised when a command never reached the instance."""


class CommandCancelledError(DrydockError):
    """Raised when somebody cancelled a command of Drydock."""


class CommandTimedOutError(DrydockError):
    """Raised when a command is not over at the deadline."""

    is_urgent = True


class CommandsNotSettledError(DrydockError):
    """Raised when a command of Drydock, or what one has begun, may still be at work at the deadline."""

    is_urgent = True


class ProbeFailedError(DrydockError):
    """Raised when the probe did not answer with what it should."""


class HookFailedError(DrydockError):
    """Raised when a hook of the policy failed."""


class HealthCheckFailedError(DrydockError):
    """Raised when the health probe of the policy failed."""

    is_urgent = True


class PatchingNotReadyError(DrydockError):
    """Raised when AWS-RunPatchBaseline cannot begin: another run of it is at work, or was two minutes ago."""


class PatchStateNotReadyError(DrydockError):
    """Raised when the patch state of a finished Scan cannot be read yet."""


class PatchesStillMissingError(DrydockError):
    """Raised when patches are missing after an installation that reported success."""


class PatchesRejectedError(DrydockError):
    """Raised when patches are installed that the patch baseline rejects, and the policy minds that."""


class OperatingSystemEndedError(DrydockError):
    """Raised when the operating system gets no more updates, and the policy minds that."""


class PatchingFailedError(DrydockError):
    """Raised when patches are missing or failed after an installation that reported failure."""


class PatchingReportedFailedError(DrydockError):
    """Raised when nothing is missing, the installation reported failure, and the policy minds that."""


class RebootPendingError(DrydockError):
    """Raised when a reboot is still pending and the policy minds that."""


class VerdictUnknownError(DrydockError):
    """Raised when there is no fresh evidence of what is installed."""


class AgentUpdateFailedError(DrydockError):
    """Raised when the update of an agent failed and its version is the old one, or the agent is gone."""


class AgentVersionUnknownError(DrydockError):
    """Raised when the version of an agent cannot be told after its update."""


class PowerNotRestoredError(DrydockError):
    """Raised when an instance could not be given back the power state it had."""

    is_urgent = True


class InstanceDoneError(DrydockError):
    """Raised when another execution has done the same to the instance since the run began."""

    counts_as = "skipped"


class RunNotFoundError(DrydockError):
    """Raised when there is no such run, or it is not one that can be taken up."""

    ends_run_as = "refused"


class RunOverError(DrydockError):
    """Raised when a step of a run finds that the run is over, or belongs to another execution."""

    # Of a machine that was let in, and before it began the run was stopped.
    counts_as = "not_attempted"
    ends_run_as = "refused"


class NotInRunError(DrydockError):
    """Raised when an execution names a run that has not let it in: only the run itself starts what is part of it."""

    counts_as = "skipped"


class MachinesNotReadyError(DrydockError):
    """Raised when a run cannot be reported yet, because executions of its machines still run."""


class RunStillWorkingError(DrydockError):
    """Raised when an earlier run of the same maintenance window still works."""

    ends_run_as = "refused"


class ApprovalRejectedError(DrydockError):
    """Raised when an approver rejected the run; nothing was touched."""

    ends_run_as = "rejected"


class ApprovalTimedOutError(DrydockError):
    """Raised when not enough approvers answered in time; nothing was touched."""

    ends_run_as = "not_answered"


class PlanRefusedError(DrydockError):
    """Raised when a run would need what is not there: documents, alarms, calendars, approvers, or its machines."""

    ends_run_as = "refused"


class PlanChangedError(DrydockError):
    """Raised when a stored plan is not the one whose hash was approved."""

    ends_run_as = "refused"


class PlanExpiredError(DrydockError):
    """Raised when a plan is too old to be carried out."""

    ends_run_as = "refused"


class PlanCarriedOutError(DrydockError):
    """Raised when another run has carried the plan out, or is about to: a plan is carried out once."""

    ends_run_as = "refused"


class MachinesFailedError(DrydockError):
    """Raised when machines of a run failed; the report names them."""


class RunIncompleteError(DrydockError):
    """Raised when machines of a run were not attempted; the report names them."""


class RunLateError(DrydockError):
    """Raised when machines of a run were given back after it had to end; the report says how late."""


class RunStoppedError(DrydockError):
    """Raised when somebody stopped the run."""


class DeadlineReachedError(DrydockError):
    """Raised when a machine would not be given back before the run has to end."""


class BudgetSpentError(DrydockError):
    """Raised when as many machines of a run have failed as its policy allows."""


class CanaryFailedError(DrydockError):
    """Raised when the canary of a run has not proved that the others may follow."""


class AlarmRingingError(DrydockError):
    """Raised when a CloudWatch alarm that the policy names is in ALARM."""


class CalendarClosedError(DrydockError):
    """Raised when a Change Calendar that the policy names is closed."""


class GroupNotFoundError(DrydockError):
    """Raised when there is no such Auto Scaling group in this account and Region."""

    counts_as = "gone"


class GroupBusyError(DrydockError):
    """Raised when another execution is at work on an Auto Scaling group."""

    counts_as = "busy"


class InstanceRefreshAtWorkError(DrydockError):
    """Raised when an instance refresh of an Auto Scaling group is not over."""

    counts_as = "busy"


class ProcessSuspendedError(DrydockError):
    """Raised when a process of a group is suspended without which no member would come back into service."""


class GroupWeightedError(DrydockError):
    """Raised when the members of a group have weights, so that its sizes do not count them."""


class GroupTooLargeError(DrydockError):
    """Raised when a group has more members to be patched than one roll can keep account of."""


class NoMemberInServiceError(DrydockError):
    """Raised when no member of a group is in service and healthy."""


class MemberNotSparedError(DrydockError):
    """Raised when a group cannot spare as many members as are to be patched at once."""


class GroupNotReadyError(DrydockError):
    """Raised when an Auto Scaling group does not allow a change yet."""


class MemberNotReadyError(DrydockError):
    """Raised when a member of a group is still on its way into standby, or back into service."""


class MemberDrainingError(DrydockError):
    """Raised when a member of a group is not in standby yet, and its connections have time to drain."""


class MemberOvertakenError(DrydockError):
    """Raised when something else was begun in a group while a member was judged by what was there before."""


class MemberGoneError(DrydockError):
    """Raised when the group terminated or gave away a member in the middle of the work."""

    counts_as = "gone"


class StandbyTimedOutError(DrydockError):
    """Raised when a member is still not in standby at the deadline."""


class InServiceTimedOutError(DrydockError):
    """Raised when a member is still not in service and healthy at the deadline."""

    is_urgent = True


class RollStoppedError(DrydockError):
    """Raised when a roll through a group takes no further member, because one failed or a gate closed."""

    # None of its members failed, but some were not attempted.
    counts_as = "not_attempted"


class SurgeNotPossibleError(DrydockError):
    """Raised when a group cannot have a surge instance before its members leave service."""


class GroupNotRestoredError(DrydockError):
    """Raised when an Auto Scaling group could not be given back as it was found."""

    is_urgent = True


class ServiceUnavailableError(DrydockError):
    """Raised when AWS throttled a call or failed to answer, after the client's own retries.

    `was_refused` says that AWS surely did not carry the call out.
    """

    def __init__(self, message: str, *, was_refused: bool = False) -> None:
        super().__init__(message)
        self.was_refused = was_refused


class AwsCallFailedError(DrydockError):
    """Raised when AWS refused a call for good."""


class OperationUnknownError(DrydockError):
    """Raised when the boto3 that is deployed does not know an operation of AWS."""


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
