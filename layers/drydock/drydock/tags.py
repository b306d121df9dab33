"""The tags that Drydock reads and writes."""

from __future__ import annotations

STATE_TAG = "DrydockState"


STACK_TAG = "DrydockStack"
"""Which stack has the machine in work: another one in the same account sees nothing but tags."""


COMPLETED_TAG = "DrydockCompleted"


REBOOT_OWED_TAG = "DrydockRebootOwed"
"""On which day a reboot was found to be owed. Only Drydock's own record counts; the tag is for people."""


EXCLUDE_TAG = "DrydockExclude"


KEEP_STATE_TAG = "DrydockKeepState"
"""Its owner says that the root volume holds state: nothing brings that back to an earlier one."""


GROUP_TAG = "aws:autoscaling:groupName"


IN_PROGRESS, COMPLETED = "InProgress", "Completed"
