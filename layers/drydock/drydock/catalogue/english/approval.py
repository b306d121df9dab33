"""Approval: what people are asked, and told of what they said."""

SENTENCES = {
    "approval.subject": "Drydock: answer until {until:time}: {wanted} {machines:# machine|# machines}, {whose}",
    "link.over": "This link is over",
    "link.report_over": (
        "It led to the report for {days:# day|# days}. Who has access to the account gets it with drydock report {run}."
    ),
}
