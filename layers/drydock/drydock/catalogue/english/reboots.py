"""Reboots: why one is pending, and what became of one that was asked for."""

SENTENCES = {
    "reboot.pending": "a reboot is still pending",
    "reboot.needed": "a reboot is still pending: {reasons:list}",
    "reboot.would_not_help": "a reboot would not help: {reasons:list}",
    "reboot.outlived": "a reboot has not helped, and is not made again: {reasons:list}",
    "reboot.not_made": (
        "it runs old code, and nothing is missing for which policy.reboot = {reboot} makes a reboot: {reasons:list}"
    ),
    "reboot.aws_counts": "AWS counts patches that wait for a reboot",
    "reboot.owed": "it owes a reboot, which the next run makes before it installs anything",
    "reboot.owed_by": (
        "{count:# machine owes|# machines owe} a reboot for what an earlier run installed; it comes first, before "
        "anything is installed, unless somebody has rebooted since: {machines:some}"
    ),
    "reboot.stays_owed": (
        "{count:# machine owes|# machines owe} a reboot for what an earlier run installed, and this policy makes none: "
        "{machines:some}"
    ),
    "reboot.counted_by_aws": (
        "AWS goes on showing what is installed as InstalledPendingReboot, and the machine as not compliant, until its "
        "next reboot, needed or not; Drydock goes by what the machine says, and reports both"
    ),
    "reboot.heading": "These owe a reboot, which the next run makes first ({count:number})",
    "reboot.of_machine": "{machine}: {reasons:list}",
    "reboot.refused": "the machine refused to be rebooted while something installs; its output: {log}",
}
