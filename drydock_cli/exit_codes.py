"""With which codes the command ends, beside 0."""

FAILED = 1
USAGE = 2
"""Wrong usage, refused, or something has to be done first."""
STILL_GOING = 3
"""Of `watch --once`, for a run that has not ended."""
INTERRUPTED = 130
