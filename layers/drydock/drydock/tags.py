"""The tags that Drydock reads and writes."""

from __future__ import annotations

STATE_TAG = "DrydockState"


COMPLETED_TAG = "DrydockCompleted"


EXCLUDE_TAG = "DrydockExclude"


GROUP_TAG = "aws:autoscaling:groupName"


IN_PROGRESS, COMPLETED = "InProgress", "Completed"
