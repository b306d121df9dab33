"""Words that several messages have in common."""

SENTENCES = {
    "heading.next": "What to do next",
    "heading.where": "Where to look",
    "where.execution": "Execution",
    "where.place": "Account {account}, Region {region}; times in {zone}",
    # What somebody who is woken has to do.
    "first.now": "Act now: {what}.",
    "first.tomorrow": "Look tomorrow: {what}.",
    "first.nothing": "Nothing to do: {what}.",
    "subject.now": "Drydock, act now: {what}",
    "subject.tomorrow": "Drydock, look tomorrow: {what}",
    "subject.nothing": "Drydock: {what}",
    "subject_about": "{subject} ({about})",
    "moment": "{moment:time}",
    "number": "{count:number}",
    "names": "{names:list}",
    "topic.refused": "The topic {topic} takes no messages, so this one comes here: {reason}",
    "machine.named": "{name} ({id})",
    "cut": "… (cut: the message is longer than can be sent)",
    # What became of a machine's patches.
    "verdict.compliant": "nothing is missing",
    "verdict.failed": "the installation failed; patches are missing",
    "verdict.non_compliant": "patches are installed that the baseline rejects",
    "verdict.not_patched": "nothing was installed",
    "verdict.patched_reported_failed": "nothing is missing, although the installation reported failure",
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
    "unreadable.what": "an item of Drydock's table cannot be read",
    "unreadable.reason": "Reason: {reason}",
    "unreadable.where": "Table {table}, item {item}",
    "unreadable.means.LEASE": (
        "What it is about is not given back: nothing is started, stopped or put into service there."
    ),
    "unreadable.means.RUN": "The run is neither ended nor reported.",
    "unreadable.means.RESULT": "What became of the machine or group may not have been told.",
    "unreadable.means.others": "Others are not hindered by it.",
    "unreadable.next": "Look at what it is about: a machine's power, a group's members and sizes. Then at the item:",
    "unreadable.mend": "Mend it, or delete it once nothing is held by it. You hear of it daily until then.",
}
