"""Reboots: why one is pending, and what became of one that was asked for."""

SENTENCES = {
    "reboot.pending": "a reboot is still pending",
    "reboot.needed": "a reboot is still pending: {reasons:list}",
    "reboot.would_not_help": "a reboot would not help: {reasons:list}",
    "reboot.refused": "the machine refused to be rebooted while something installs; its output: {log}",
}
