"""Messages about one machine."""

SENTENCES = {
    # What happened to it: half a sentence, for subject and first line.
    "machine.was": "{machine}: {what}",
    "machine.may_be_drained": "{machine} may be drained still; {what}",
    "machine.patched": "{machine} was patched",
    "machine.patched.noted": "{machine} was patched, with something to look at",
    "machine.patched.but": "{machine} was patched; {verdict}",
    "machine.scanned": "{machine} was scanned, and nothing is missing",
    "machine.scanned.missing": "{machine} was scanned: {count:# patch is|# patches are} missing",
    "machine.scanned.unknown": "{machine} was scanned; it is not known how many patches are missing",
    "machine.compliant": "{machine} is compliant already, and nothing was done",
    "machine.agents": "{machine}: {verdict}",
    "machine.refused": "{machine} was refused, and nothing was touched",
    "machine.patched_and_unwell": "{machine} is patched and unwell",
    "machine.power_changed": "{machine} is {power}, and was {before} before: {what}",
    "machine.unknown": "an unknown instance",
    "machine.restored": "{machine} was brought back to what it was on {taken:time}",
    # How the work on it ended, by the error.
    "ended_with.others": "its execution ended early",
    "ended_with.ABORTED": "somebody stopped its execution",
    "ended_with.TIMED_OUT": "its execution took longer than it may",
    "ended_with.AgentUnreachableError": "its agent did not answer in time",
    "ended_with.AgentNotReadyError": "its agent did not answer in time",
    "ended_with.AgentUpdateFailedError": "an agent could not be updated",
    "ended_with.AgentVersionUnknownError": "the version of an agent cannot be told",
    "ended_with.AwsCallFailedError": "AWS refused a call",
    "ended_with.CommandCancelledError": "somebody cancelled a command",
    "ended_with.CommandNotDeliveredError": "a command never reached it",
    "ended_with.CommandTimedOutError": "a command was not over in time, and may still be at work",
    "ended_with.CommandsNotSettledError": "a command may still be at work on it",
    "ended_with.HealthCheckFailedError": "its health probe fails",
    "ended_with.RestoreUnprovedError": "it is not proved that it runs from the earlier root volume",
    "ended_with.RootVolumeDetachedError": "IT HAS NO ROOT VOLUME",
    "ended_with.RootVolumeNotReplacedError": "its root volume was not replaced; it has the one of before",
    "ended_with.RootVolumeTimedOutError": "its root volume was not replaced in time, and may still be",
    "ended_with.HookFailedError": "a hook failed",
    "ended_with.ImageFailedError": "no image could be made",
    "ended_with.EarlierImageNotReadyError": "an earlier image of it was not finished",
    "ended_with.ImageNotReadyError": "the image for the launch template was not finished",
    "ended_with.ImageRebootUnprovedError": "it shows no reboot for its image",
    "ended_with.PatchedWithoutBackupError": "patched without a backup",
    "ended_with.SnapshotsNotReadyError": "the snapshots of its image did not begin",
    "ended_with.ImageTimedOutError": "its image was not ready in time",
    "ended_with.InServiceTimedOutError": "it did not come back into service in time",
    "ended_with.InstanceStartFailedError": "it could not be started",
    "ended_with.InstanceStoppedError": "somebody stopped the machine meanwhile",
    "ended_with.InstanceTerminatedError": "somebody terminated the machine meanwhile",
    "ended_with.OperatingSystemEndedError": "its operating system gets no more updates",
    "ended_with.PatchesRejectedError": "patches are installed that the baseline rejects",
    "ended_with.PatchesStillMissingError": "patches are still missing after the installation",
    "ended_with.PatchingFailedError": "patches failed to install",
    "ended_with.PatchingReportedFailedError": "nothing is missing, but the installation reported failure",
    "ended_with.PowerNotRestoredError": "its power could not be restored",
    "ended_with.ProbeFailedError": "it did not answer as it should",
    "ended_with.RebootPendingError": "a reboot is still pending",
    "ended_with.RunStoppedError": "its run was stopped",
    "ended_with.ServiceUnavailableError": "AWS did not answer for some time",
    "ended_with.StandbyTimedOutError": "it did not leave service in time",
    "ended_with.StartTimedOutError": "it was not running in time",
    "ended_with.StopTimedOutError": "it was not stopped in time",
    "ended_with.VerdictUnknownError": "it is not known what is installed",
    # What is known of it.
    "machine.reason": "Reason: {reason}",
    "machine.error": "Error: {error}",
    "machine.times": "From {begun:time} to {ended:time} ({minutes:span})",
    "machine.at": "At {moment:time}",
    "machine.power": "Power: {before} before, {after} now",
    "machine.power.now": "Power: {power} now",
    "machine.power.unknown": "Power: not known now",
    "machine.rebooted": "Rebooted: yes",
    "machine.not_rebooted": "Rebooted: no",
    "machine.verdict": "Patches: {verdict}",
    "machine.missing": "Missing patches: {before} before, {after} now",
    "machine.missing.before": "Missing patches: {before} before, not known now",
    "machine.missing_now": "Still missing: {patches:some}",
    "machine.failed_now": "Failed to install: {patches:some}",
    "machine.missing_found": "Missing, worst first: {patches:some}",
    "machine.installed": "Installed: {patches:some}",
    "machine.no_longer_missing": "No longer missing: {patches:some}",
    "machine.count_unknown": "an unknown number",
    "machine.hook": "Hook {hook}: {outcome}",
    "hook.ran": "ran",
    "hook.failed": "failed",
    "hook.not_needed": "not needed",
    "machine.note": "Note: {note}",
    "agent.same": "{agent} {version}",
    "agent.changed": "{agent} {before} → {after}",
    "agent.none": "not installed",
    "agent.not_known": "not known",
    "cause.terminated_before_command": "{id}: was terminated before {command} was sent",
    "cause.still_missing": (
        "the installation reported success, but {count:# patch is|# patches are} missing: {patches}"
    ),
    # What becomes of it.
    "state.untouched": "Nothing was touched.",
    "state.restored": "It was given back as it was found.",
    "state.changed_by_others": "It was {before} before; somebody else changed that, and Drydock left it.",
    "state.not_restored": "It was {before} before, and is not now.",
    "state.as_before": "Its power is as it was. Drydock lets go of it once nothing of its own is at work there.",
    "state.being_restored": (
        "It was {before} before; Drydock gives it back as soon as that is safe. You hear again if that takes long, with"
        " what hinders it."
    ),
    "state.newer": "A newer Drydock holds it: deploy that version again, and it is given back.",
    "state.unreadable": "What Drydock wrote of it cannot be read, so nothing is given back: another message says more.",
    "state.member": "It is a member of group {group}: the message about the roll says where it goes.",
    "state.root_at_work": (
        "Its root volume may still be replaced: Drydock neither stops nor returns it until that is over, and tells you."
    ),
    "state.detached": (
        "It has no root volume. Drydock keeps it as it is: it does not stop, terminate or return it, and tells you"
        " daily. Once you have attached a root volume and its status checks pass, Drydock lets go of it."
    ),
    # Of a run that it is part of.
    "run.goes_on": (
        "The run goes on: {failed:# machine has|# machines have} failed, and {allowed:number} may before no other "
        "begins."
    ),
    "run.takes_no_more": "The run takes no further machine: {reason}",
    "run.over": "The run is over: {failed:# machine|# machines} failed.",
    # One that cannot be given back for a long time.
    "late.what": "{machine} could not be given back yet",
    "late.hindrance": "What hinders it: {hindrance}",
    "late.stays": "It could not be given back yet: an installation may still be at work on it.",
    "late.keeps": "Drydock goes on trying, and tells you again tomorrow if it is in vain.",
    "late.member": "It is a member of group {group}, and stays out of service until then.",
    "late.set_power": (
        "Look at the machine. Once nothing runs on it any more you may set its power yourself; Drydock then lets go of"
        " it within minutes."
    ),
    "late.root": (
        "See in EC2 what its root volume replacement task has come to. Where it has no root volume, attach one. Do not"
        " terminate the machine; Drydock lets go of it once it has a root volume and its status checks pass."
    ),
    "late.let_it_end": (
        "Do not stop, reboot or restore the machine while something installs: see on it what does, and let that end."
    ),
    "late.asks": "Drydock asks the machine again and again, and gives it back once it says that nothing installs.",
    "late.no_agent": (
        "Where its agent cannot answer any more, see for yourself that nothing installs, then stop the machine; Drydock"
        " then lets go of it within minutes."
    ),
    "late.no_agent.member": (
        "Where its agent cannot answer any more, see for yourself that nothing installs, then terminate the machine:"
        " its group makes another. Drydock then lets go of it within minutes."
    ),
    # What each step of a machine's work is called, and when it was.
    "heading.steps": "Steps",
    "step.line": "{begun:clock} to {ended:clock}  {name}",
    "step.begun": "{begun:clock} begun     {name}",
    # A command that did not end well.
    "command.ended": "{step}: {status}, exit code {code}",
    "command.output": "The last lines of its error output:",
    "command.log": "Full log",
    # What its commands are for.
    "work.imageBefore": "the image before",
    "work.imageAfter": "the image after",
    "work.start": "the start",
    "work.stop": "the stop",
    "work.settle": "the wait for what may still be at work",
    "work.probeFirst": "the first probe",
    "work.scanFirst": "the first scan",
    "work.beforeAnythingHook": "the hook beforeAnything",
    "work.probeBefore": "the probe before the installation",
    "work.scanBefore": "the scan before the installation",
    "work.preInstallHook": "the hook preInstall",
    "work.install": "the installation",
    "work.postInstallHook": "the hook postInstall",
    "work.installFinish": "the reboot after the installation",
    "work.updateAmazonSSMAgent": "the update of the SSM Agent",
    "work.updateAmazonCloudWatchAgent": "the update of the CloudWatch Agent",
    "work.onExitHook": "the hook onExit",
    "work.probeAfter": "the probe after the installation",
    "work.scanAfter": "the proving scan",
    "work.healthProbePatching": "the health probe",
    "work.healthProbeRestoring": "the health probe",
    "work.replaceRoot": "the replacement of the root volume",
    "work.probeAfterInstall": "the probe after the installation",
    "work.probeImage": "the probe before the image",
    "work.installFinishBefore": "the reboot that was owed",
    "work.tag": "the beginning",
    "work.release": "the release",
    "work.giveBackStop": "the stop, to give it back",
    "work.giveBackToWork": "the hook onExit, to give it back",
    "work.giveBackProof": "the question whether anything installs, to give it back",
    "work.suspend": "the beginning of the roll",
    "work.lowerMin": "making room",
    "work.surge": "launching a surge instance",
    "work.raiseMax": "making room for surge instances",
    "work.standby": "taking a member out of service",
    "work.exit": "bringing a member back into service",
    "work.hold": "leaving a member in standby",
    "work.replace": "replacing a member",
    "work.refill": "asking for a member in place of another",
    "work.launched": "looking for members that were launched meanwhile",
    "work.removeSurge": "removing surge instances",
    "work.templateVersion": "making a version of the launch template",
    "work.templateDefault": "changing the default of the launch template",
    "work.restore": "restoring the group",
    "work.giveBackExit": "bringing a member back into service, to give the group back",
    "work.giveBackRemove": "removing a surge instance, to give the group back",
}
