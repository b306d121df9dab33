"""Errors: what people should do next, and what is said of machines that a plan leaves out for one."""

SENTENCES = {
    # Of the errors of others, such as Step Functions.
    "advice.others": "Read the reason above, then start the execution again.",
    # How executions end without an error of Drydock's.
    "advice.ABORTED": "Somebody stopped it. Start it again when that suits you.",
    "advice.TIMED_OUT": "It took longer than it may. Look at its history for what it waited for.",
    "advice.InvalidInputError": "Correct the input; nothing was touched.",
    "advice.InvalidPolicyError": "Correct the policy; nothing was touched.",
    "advice.NewerSchemaError": "Deploy that version of Drydock again, or a newer one.",
    "advice.UnreadableItemError": (
        "Look at the item that the reason names: mend it, or delete it once nothing is held by it."
    ),
    "advice.InstanceNotFoundError": "Check the instance's id, account and Region, unless it is meant to be gone.",
    "advice.InstanceNotReadyError": "See in EC2 why the instance does not settle, then start the execution again.",
    "advice.InstanceNotPatchableError": "Change what the reason names, or patch the machine by other means.",
    "advice.InstanceExcludedError": "Remove the tag DrydockExclude if the machine may be patched.",
    "advice.InstanceInGroupError": (
        "Start a run, or the roll through its Auto Scaling group: it patches members in service."
    ),
    "advice.ClusterNodeError": (
        "Let its cluster replace it with a newer image, or name the cluster's kind in policy.include."
    ),
    "advice.InstanceManagedByServiceError": "Leave it to the service that owns it, and take it out of the targets.",
    "advice.InstanceHibernatedError": (
        "Start it, let it finish its work, and stop it or leave it running; then it is patched."
    ),
    "advice.MemberInReserveError": (
        "Give the group a newer image and let it fill its warm pool anew; terminate what it retains."
    ),
    "advice.InstanceBusyError": "Wait for the other execution, then start this one again.",
    "advice.InstanceOfOtherStackError": (
        "Wait for that stack; if it is gone, remove the tags DrydockState and DrydockStack."
    ),
    "advice.InstanceUnmanagedError": "Make it a managed node (SSM Agent, instance profile, route), then try again.",
    "advice.InstanceNotRunningError": "Set policy.startForScan, or start the machine and scan it then.",
    "advice.DocumentError": "Correct the policy or create the document, then start the execution again.",
    "advice.LeaseLostError": "Start a new execution once the machine is given back.",
    "advice.ImageFailedError": "No patch without a good backup: see why EC2 could not make the image.",
    "advice.ImageTimedOutError": (
        "No patch without a good backup: raise policy.deadlines.imageSeconds if volumes are large."
    ),
    "advice.ImageNotReadyError": "See in EC2 why the image is not finished, then start the roll again.",
    "advice.EarlierImageNotReadyError": "See in EC2 why the earlier image is not finished, then start again.",
    "advice.SnapshotsNotReadyError": "See in EC2 why no snapshot of the image begins, then start again.",
    "advice.ImageRebootUnprovedError": (
        "See on the machine whether it has rebooted: EC2 may yet reboot it for the image. Then start anew."
    ),
    "advice.PatchedWithoutBackupError": (
        "There is no image to go back to: make one by hand now, or let the policy wait until it is available "
        "(backup.before.wait)."
    ),
    "advice.InstanceNotRestorableError": "Restore it by hand, from its image or from backups of what it holds.",
    "advice.NothingToRestoreError": "Name an image of this machine that is available, or restore it by other means.",
    "advice.RootVolumeNotReadyError": "See in EC2 what came of the root volume replacement task, then start again.",
    "advice.RootVolumeNotReplacedError": "The machine has its old root volume; see in EC2 why the task failed.",
    "advice.RootVolumeTimedOutError": (
        "See in EC2 what the root volume replacement task does; do not stop the machine before it is over."
    ),
    "advice.RootVolumeDetachedError": (
        "Attach the volume that the reason names as the root device, and reboot; do not stop or terminate the machine."
    ),
    "advice.RestoreUnprovedError": "Look at the machine now: which root volume it has, and whether it has rebooted.",
    "advice.InstanceStartFailedError": "Start the machine by hand to see EC2's reason; check KMS keys and capacity.",
    "advice.StartTimedOutError": "Look at the instance in EC2; raise policy.deadlines.startSeconds if it is just slow.",
    "advice.StopTimedOutError": "Look at the instance in EC2; raise policy.deadlines.stopSeconds if it is just slow.",
    "advice.InstanceStoppedError": "Somebody stopped the machine; Drydock left it so. Start the execution again later.",
    "advice.InstanceTerminatedError": "The machine is gone. Nothing is left to do for Drydock.",
    "advice.AgentNotReadyError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "advice.AgentUnreachableError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "advice.CommandNotReadyError": "Look at the machine's commands in Systems Manager, then start the execution again.",
    "advice.CommandNotDeliveredError": "Check the SSM Agent on the machine, then start the execution again.",
    "advice.CommandCancelledError": "Ask who cancelled the command, then start the execution again.",
    "advice.CommandTimedOutError": "Look at the command's output; raise policy.deadlines if the machine is just slow.",
    "advice.CommandsNotSettledError": (
        "See what is at work on the machine before you touch its power; Drydock goes on asking it, and gives it "
        "back by itself."
    ),
    "advice.ProbeFailedError": "Run the stack's Probe document on the machine to see what it answers.",
    "advice.HookFailedError": "Look at the hook's output in the log bucket.",
    "advice.HealthCheckFailedError": "The machine is patched but its health probe fails: look at it now.",
    "advice.PatchStateNotReadyError": "Run a Scan to see what is installed.",
    "advice.PatchingNotReadyError": (
        "See what else patches the machine (an association, a window), and let one of them do it."
    ),
    "advice.PatchesStillMissingError": "Look at the installation's output for each patch that is missing.",
    "advice.PatchesRejectedError": "Remove the patches that the reason names, or reject them no longer.",
    "advice.OperatingSystemEndedError": (
        "Move the machine to a newer operating system: nothing is offered to this one any more."
    ),
    "advice.PatchingFailedError": "Look at the installation's output; roll back from the image before if needed.",
    "advice.PatchingReportedFailedError": (
        "Look at the installation's output, or leave its verdict out of policy.failOn."
    ),
    "advice.RebootPendingError": "Reboot the machine when it suits you.",
    "advice.VerdictUnknownError": "Run a Scan to see what is installed.",
    "advice.AgentUpdateFailedError": "Look at the update's output in the log bucket, then start the execution again.",
    "advice.AgentVersionUnknownError": "Run the stack's Probe document on the machine to see its agents.",
    "advice.PowerNotRestoredError": "Drydock goes on trying; stop the machine by hand if it must not run.",
    "advice.InstanceDoneError": "Another execution did the same already. Nothing is left to do.",
    "advice.RunNotFoundError": "Check the run id: there is no such run, or it cannot be taken up.",
    "advice.RunOverError": "The run is over, or its name is another's. Start a new one.",
    "advice.NotInRunError": "Leave out runId, or start a run: it starts the executions of its machines itself.",
    "advice.MachinesNotReadyError": "Look at the executions of its machines: their histories say what they wait for.",
    "advice.RunStillWorkingError": "Let the earlier run end, or stop it.",
    "advice.ApprovalRejectedError": "Ask who rejected it for the reason, then start another run.",
    "advice.ApprovalTimedOutError": "Start another run when an approver can answer, or raise policy.approval.seconds.",
    "advice.PlanRefusedError": "Mend everything that the reason names, then start the run again; nothing was touched.",
    "advice.PlanChangedError": "The stored plan is not the approved one. Plan and approve anew.",
    "advice.PlanExpiredError": "The plan has expired, and with it every approval of it. Plan and approve anew.",
    "advice.PlanCarriedOutError": "Take up what that run left, or plan anew.",
    "advice.MachinesFailedError": "Read why each machine failed; start it again for the others once that is mended.",
    "advice.RunIncompleteError": "Take up what is left of the run; its report names the machines.",
    "advice.RunLateError": (
        "Give the window more time, or runs more concurrency; the report has what each machine took."
    ),
    "advice.RunStoppedError": "Somebody stopped the run. Take up what is left when that suits you.",
    "advice.DeadlineReachedError": "Take up what is left in the next window, or give runs more time or concurrency.",
    "advice.BudgetSpentError": "See why the failed machines failed before you take up what is left.",
    "advice.CanaryFailedError": "Look at the machines of the canary, then take up the run: it has a new canary.",
    "advice.AlarmRingingError": "See why the alarm rings. Take up what is left once it is quiet.",
    "advice.CalendarClosedError": "Take up what is left once the calendar is open again.",
    "advice.GroupNotFoundError": "Check the group's name, account and Region; nothing was touched.",
    "advice.GroupBusyError": "Wait for the other execution, then start this one again.",
    "advice.InstanceRefreshAtWorkError": "Wait for the instance refresh or cancel it, then start this one again.",
    "advice.ProcessSuspendedError": "Resume the process that the reason names, then start again; nothing was touched.",
    "advice.GroupWeightedError": "Use an instance refresh for it, or remove the weights; nothing was touched.",
    "advice.GroupTooLargeError": (
        "Name some of its members in only, and the others in another roll; nothing was touched."
    ),
    "advice.NoMemberInServiceError": "See in the group's activities why no member serves; nothing was touched.",
    "advice.MemberNotSparedError": (
        "Raise the desired capacity, set policy.capacity to surge, or lower policy.minHealthy."
    ),
    "advice.GroupNotReadyError": "See in the group's activities why it refuses the change, then start it again.",
    "advice.MemberDrainingError": "Nothing is to be done: the roll waits until its connections are drained.",
    "advice.MemberNotReadyError": "See in the group's activities what keeps the member on its way.",
    "advice.MemberOvertakenError": "Start it again for the members that were not attempted, with a smaller batch.",
    "advice.MemberGoneError": "The group terminated the member or gave it away. Nothing is left to do for Drydock.",
    "advice.StandbyTimedOutError": "See in the group's activities why the member does not leave; raise standbySeconds.",
    "advice.InServiceTimedOutError": "Look at the member's health in its group and target groups now.",
    "advice.RollStoppedError": "See why it stopped. Start it again for the members that were not attempted.",
    "advice.SurgeNotPossibleError": "Change what the reason names, or set policy.surgeFallback to reduce.",
    "advice.GroupNotRestoredError": "Look at the group's members and sizes now; the notes above say what is left.",
    "advice.ServiceUnavailableError": "AWS did not answer for some time. Start it again; raise quotas if that goes on.",
    "advice.AwsCallFailedError": "Read the refused call above; often a permission or a quota. Then start it again.",
    "advice.OperationUnknownError": (
        "Deploy Drydock with the boto3 that requirements/layer.in brings, then start it again."
    ),
    # What is said of the machines that a plan leaves out for an error.
    "left_out.InstanceNotFoundError": "{count:#} gone or unknown to EC2",
    "left_out.InstanceNotPatchableError": "{count:#} not patchable by nature",
    "left_out.InstanceExcludedError": "{count:#} excluded by the tag DrydockExclude",
    "left_out.InstanceInGroupError": "{count:#} stopped in an Auto Scaling group",
    "left_out.ClusterNodeError": "{count:#} nodes of clusters, which have to be drained first",
    "left_out.InstanceManagedByServiceError": "{count:#} in the hands of an AWS service",
    "left_out.InstanceHibernatedError": "{count:#} hibernated",
    "left_out.MemberInReserveError": "{count:#} in a warm pool, or retained by their group",
    "left_out.GroupWeightedError": "{count:#} in groups whose members have weights",
    "left_out.InstanceBusyError": "{count:#} in the hands of another execution",
    "left_out.InstanceOfOtherStackError": "{count:#} in the hands of another stack",
    "left_out.InstanceUnmanagedError": "{count:#} not managed by Systems Manager",
    "left_out.InstanceNotRunningError": "{count:#} stopped, where a Scan starts nothing",
    "left_out.InstanceDoneError": "{count:#} done already",
    # Causes.
    "patching.just_over": (
        "{machine}: AWS-RunPatchBaseline ended at {moment} UTC, and another run of it has to wait for two minutes"
    ),
    # Machines that a hook has drained, and whose execution was killed.
    "drained.pending": (
        "It was drained: Drydock sends {document}, and tells of it where that does not let it work again."
    ),
    "drained.again": "Let it work again, once it runs:",
    "drained.left": ("it may be drained still: {drained} was sent, and {document}, which lets it work again, was not"),
    "drained.unsure": (
        "it may be drained still: {drained} was sent, and whether {document}, which lets it work again, did its work is"
        " not known"
    ),
}
