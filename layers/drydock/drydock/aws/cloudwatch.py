"""The calls to CloudWatch."""

from __future__ import annotations

from collections.abc import Sequence

from drydock.aws.calls import client, pages


class CloudWatch:
    """CloudWatch's alarms, which gates look at before a machine leaves service."""

    def __init__(self) -> None:
        self._client = client("cloudwatch")

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        """OK, ALARM or INSUFFICIENT_DATA by the alarm as it is named; unknown ones are absent.

        `names` are names or ARNs of metric and composite alarms, a hundred at most. An ARN of another account or Region
        is no alarm here.
        """
        found = pages(
            self._client.describe_alarms,
            AlarmNames=sorted({_name_of(name) for name in names}),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=100,
        )
        alarms = [one for page in found for one in (*page.get("MetricAlarms", []), *page.get("CompositeAlarms", []))]
        states = {
            str(alarm[key]): str(alarm["StateValue"])
            for alarm in alarms
            for key in ("AlarmName", "AlarmArn")
            if key in alarm
        }
        return {name: states[name] for name in names if name in states}


def _name_of(alarm: str) -> str:
    """`arn:PARTITION:cloudwatch:REGION:ACCOUNT:alarm:NAME`: a name may hold colons itself."""
    parts = alarm.split(":", 6)
    return parts[6] if len(parts) == 7 and (parts[0], parts[2], parts[5]) == ("arn", "cloudwatch", "alarm") else alarm
