"""Approval: what people are asked, and told of what they said."""

SENTENCES = {
    "approval.subject": "Drydock: answer until {until:time}: {wanted} {machines:# machine|# machines}, {whose}",
}
