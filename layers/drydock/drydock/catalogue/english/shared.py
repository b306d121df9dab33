"""Words that several messages have in common."""

SENTENCES = {
    "heading.next": "What to do next",
    "heading.where": "Where to look",
    "where.execution": "Execution: {link}",
    "machine.named": "{name} ({id})",
    "cut": "… (cut: the message is longer than can be sent)",
    # What became of a machine's patches.
    "image.heading": "Images",
    "image.ended_badly": "Image {image} {moment} patching of {machine} {reason}.",
    "image.pending_in_report": (
        "{count:number} of them may still end: the report is completed then, and you hear of one that fails."
    ),
    "image.failed.subject": "Drydock: an image of {machine} failed",
    "image.left.after": "The machine is as it was left, but has no image of what it is now.",
    "image.left.patched": "The machine was patched without a backup: the policy let the installation begin before.",
    "image.left.before": "Nothing was installed on the machine.",
    "image.failed.next": "Make an image by hand (aws ec2 create-image), or start the execution anew.",
    "image.of_machine": "Image {moment}: {id}, {state}, {consistency}",
    "image.state.available": "available",
    "image.state.pending": "pending still",
    "image.state.timed_out": "not finished at its deadline",
    "image.crash_consistent": "crash-consistent: the machine ran on",
    "image.at_rest": "nothing was written meanwhile",
    "verdict.compliant": "nothing is missing",
    "verdict.failed": "the installation failed; patches are missing",
    "verdict.non_compliant": "patches are installed that the baseline rejects",
    "verdict.not_patched": "nothing was installed",
    "verdict.patched_reported_failed": "nothing is missing, although the installation reported failure",
    "verdict.patched_without_backup": "patched, but the image before patching failed",
    "verdict.pending_reboot": "installed; a reboot is still pending",
    "verdict.scanned": "looked at only",
    "verdict.still_missing": "patches are still missing",
    "verdict.unknown": "it is not known what is installed",
    "verdict.unpatchable": "the operating system gets no more updates, so that nothing is ever missing",
    "verdict.up_to_date": "its agents were up to date already",
    "verdict.updated": "agents were updated",
    "verdict.updated_reported_failed": "agents were updated, although a command reported failure",
    # What these verdicts mean where agents were to be updated.
    "verdict_of_agents.failed": "an agent could not be updated",
    "verdict_of_agents.not_patched": "no agent was updated",
    "verdict_of_agents.unknown": "it is not known which agents are installed",
    # What was done to machines, by the operation, and what is to be done to them.
    "done.Install": "patched",
    "done.Scan": "scanned",
    "done.UpdateAgents": "brought up to date",
    "wanted.Install": "patch",
    "wanted.Scan": "scan",
    "wanted.UpdateAgents": "update the agents of",
    # An item of the table that cannot be read, or worked with.
    "unreadable.subject": "Drydock: item {item} cannot be read",
    "unreadable.first": "An item of Drydock's table cannot be worked with: {reason}",
    "unreadable.where": "Table {table}, item {item}",
    "unreadable.means.LEASE": (
        "What it is about is not given back: nothing is started, stopped or put into service there."
    ),
    "unreadable.means.RUN": "The run is neither ended nor reported.",
    "unreadable.means.RESULT": "What became of the machine or group may not have been told.",
    "unreadable.means.others": "Others are not hindered by it.",
    "unreadable.next": (
        "Look at what it is about first: a machine's power, a group's members and sizes. Then look at the item:"
    ),
    "unreadable.mend": "Mend it, or delete it once nothing is held by it. You hear of it daily until then.",
}
