"""The last lines of what a command wrote to its error output, without what must not be read by others."""

from __future__ import annotations

import re

ERROR_MARK = "----------ERROR-------"
"""Between the output of a plugin and its error output, as ListCommandInvocations hands both on: 2,500 characters."""

_MOST_LINES, _MOST_LINE = 10, 200

_MASKED = "***"

_NAMED = re.compile(
    r"""((?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?)[\w-]*["']?\s*[=:\s]\s*)"""
    r"""("[^"]*"|'[^']*'|\S+)""",
    re.IGNORECASE,
)
"""What follows a name that says it is secret."""

_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)"),
    re.compile(r"(?<=bearer )\S+", re.IGNORECASE),
)


def error_lines(output: str) -> list[str]:
    """The last ten lines of the error output in what a command printed, secrets masked; none where there is none."""
    masked = output.partition(ERROR_MARK)[2]
    for secret in _SECRETS:
        masked = secret.sub(_MASKED, masked)
    masked = _NAMED.sub(rf"\1{_MASKED}", masked)
    lines = [line.rstrip()[:_MOST_LINE] for line in masked.splitlines() if line.strip()]
    return lines[-_MOST_LINES:]
