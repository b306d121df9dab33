"""Every error a step can end with. The class names are the contract with the state machines.

Errors named `…NotReadyError` and `ServiceUnavailableError` pass by themselves and are retried;
all others are final for the step.
"""

from __future__ import annotations


class DrydockError(Exception):
    """The base of all of Drydock's own errors; never raised itself."""


class InvalidInputError(DrydockError):
    """Raised when the input of an execution has unknown keys or wrong values."""


class InvalidPolicyError(DrydockError):
    """Raised when the effective policy has unknown keys, wrong values or impossible combinations."""


class NewerSchemaError(DrydockError):
    """Raised when an item of the table was written by a newer Drydock than this one."""


class InstanceNotFoundError(DrydockError):
    """Raised when EC2 knows no such instance in this account and Region."""


class InstanceNotReadyError(DrydockError):
    """Raised when an instance is pending or stopping: neither running nor stopped yet."""


class InstanceNotPatchableError(DrydockError):
    """Raised when an instance cannot be stopped, imaged and patched by its nature."""


class InstanceExcludedError(DrydockError):
    """Raised when the instance carries the DrydockExclude tag."""


class InstanceInGroupError(DrydockError):
    """Raised when the instance belongs to an Auto Scaling group whose lease does not name it."""


class InstanceBusyError(DrydockError):
    """Raised when another execution holds the lease of the instance."""


class InstanceUnmanagedError(DrydockError):
    """Raised when Systems Manager does not manage a running instance."""


class InstanceNotRunningError(DrydockError):
    """Raised when a Scan meets a stopped instance and the policy does not start it for a Scan."""


class DocumentError(DrydockError):
    """Raised when an SSM document of the policy is missing, not a Command document or for another platform."""


class LeaseLostError(DrydockError):
    """Raised when a step no longer holds the lease; nothing was touched."""


class ImageFailedError(DrydockError):
    """Raised when EC2 could not make an image."""


class ImageTimedOutError(DrydockError):
    """Raised when an image is still not available at the deadline."""


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


class AgentNotReadyError(DrydockError):
    """Raised when status checks have not passed, or the SSM Agent has not called in yet."""


class AgentUnreachableError(DrydockError):
    """Raised when status checks or the SSM Agent are still missing at the deadline."""


class CommandNotReadyError(DrydockError):
    """Raised when it cannot be seen yet whether a command was sent."""


class CommandNotDeliveredError(DrydockError):
    """Raised when a command never reached the instance."""


class CommandCancelledError(DrydockError):
    """Raised when somebody cancelled a command of Drydock."""


class CommandTimedOutError(DrydockError):
    """Raised when a command is not over at the deadline."""


class CommandsNotSettledError(DrydockError):
    """Raised when commands of Drydock are still at work on the instance at the deadline."""


class ProbeFailedError(DrydockError):
    """Raised when the probe did not answer with what it should."""


class HookFailedError(DrydockError):
    """Raised when a hook of the policy failed."""


class HealthCheckFailedError(DrydockError):
    """Raised when the health probe of the policy failed."""


class PatchStateNotReadyError(DrydockError):
    """Raised when the patch state of a finished Scan cannot be read yet."""


class PatchesStillMissingError(DrydockError):
    """Raised when patches are missing after an installation that reported success."""


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


class InstanceDoneError(DrydockError):
    """Raised when another execution has done the same to the instance since the run began."""


class RunNotFoundError(DrydockError):
    """Raised when there is no such run, or it is not one that can be taken up."""


class RunOverError(DrydockError):
    """Raised when a step of a run finds that the run is over, or belongs to another execution."""


class MachinesNotReadyError(DrydockError):
    """Raised when a run cannot be reported yet, because executions of its machines still run."""


class RunStillWorkingError(DrydockError):
    """Raised when an earlier run of the same maintenance window still works."""


class ApprovalRejectedError(DrydockError):
    """Raised when an approver rejected the run; nothing was touched."""


class ApprovalTimedOutError(DrydockError):
    """Raised when not enough approvers answered in time; nothing was touched."""


class PlanChangedError(DrydockError):
    """Raised when a stored plan is not the one whose hash was approved."""


class MachinesFailedError(DrydockError):
    """Raised when machines of a run failed; the report names them."""


class RunIncompleteError(DrydockError):
    """Raised when machines of a run were not attempted; the report names them."""


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


class GroupBusyError(DrydockError):
    """Raised when another execution is at work on an Auto Scaling group."""


class InstanceRefreshAtWorkError(DrydockError):
    """Raised when an instance refresh of an Auto Scaling group is not over."""


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


class MemberOvertakenError(DrydockError):
    """Raised when something else was begun in a group while a member was judged by what was there before."""


class MemberGoneError(DrydockError):
    """Raised when the group terminated or gave away a member in the middle of the work."""


class StandbyTimedOutError(DrydockError):
    """Raised when a member is still not in standby at the deadline."""


class InServiceTimedOutError(DrydockError):
    """Raised when a member is still not in service and healthy at the deadline."""


class RollStoppedError(DrydockError):
    """Raised when a roll through a group takes no further member, because one failed or a gate closed."""


class SurgeNotPossibleError(DrydockError):
    """Raised when a group cannot have an instance more before its members leave service."""


class GroupNotRestoredError(DrydockError):
    """Raised when an Auto Scaling group could not be given back as it was found."""


class ServiceUnavailableError(DrydockError):
    """Raised when AWS throttled a call or failed to answer, after the client's own retries.

    `was_refused` says that AWS surely did not carry the call out.
    """

    def __init__(self, message: str, *, was_refused: bool = False) -> None:
        super().__init__(message)
        self.was_refused = was_refused


class AwsCallFailedError(DrydockError):
    """Raised when AWS refused a call for good."""
