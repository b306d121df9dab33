"""What happens after an execution died: giving back, alerts, waking what waits."""
