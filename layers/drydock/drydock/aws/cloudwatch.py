"""The calls to CloudWatch."""

from __future__ import annotations

from collections.abc import Sequence

from drydock.aws.calls import client, pages


class CloudWatch:
    """CloudWatch's alarms, which gates look at before a machine leaves service."""

    def __init__(self) -> None:
        self._client = client("cloudwatch")

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        """OK, ALARM or INSUFFICIENT_DATA by the alarm's name, metric and composite alarms; unknown ones are absent."""
        found = pages(
            self._client.describe_alarms,
            AlarmNames=list(names),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=100,
        )
        alarms = [one for page in found for one in (*page.get("MetricAlarms", []), *page.get("CompositeAlarms", []))]
        return {str(alarm["AlarmName"]): str(alarm["StateValue"]) for alarm in alarms}
