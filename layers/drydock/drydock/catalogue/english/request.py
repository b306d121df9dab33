"""Input that is refused."""

SENTENCES = {
    "request.no_object": "{path}: {value} is not an object",
    "request.required": "{path}: is required",
    "request.window.execution": (
        "{path}: is required, {{{{WINDOW_EXECUTION_ID}}}} in the window's task; only a plan alone is made without it"
    ),
    "request.window.closed": "window {name} ({id}): does not open again, as far as Systems Manager knows",
    "policy.ahead.pointless": "policy.approval.ahead: nobody is asked without approval.required or approval.above",
    "policy.ahead.loosened": (
        "policy.approval.ahead: {settings} takes approvals {days:# day|# days} ahead at the most"
    ),
    "request.document.name": "the name of an SSM document",
    "request.document.version": "the number of a document's version",
    "request.document.hash": "the hash of a document's content",
    "request.document.many": "{path}: takes {most:number} documents at most, not {count:number}",
}
