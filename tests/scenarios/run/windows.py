"""Windows that tests make: Drydock is attached to them as docs/first-hour.md says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rehearsal.world.windows import WindowExecution
from tests.scenarios.run.scenario import RunScenario

TOKYO = ZoneInfo("Asia/Tokyo")
INPUT = '{"window": {"windowId": "{{WINDOW_ID}}", "executionId": "{{WINDOW_EXECUTION_ID}}"}, "operations": ["Install"]}'


class Window:
    """A window of somebody's, opening once in an hour, to which Drydock is attached as docs/first-hour.md says."""

    def __init__(self, scene: RunScenario, name: str, **settings: Any) -> None:
        self.scene = scene
        self.ssm = scene.account.client("ssm")
        opens = scene.account.clock.now().astimezone(TOKYO) + timedelta(hours=1)
        given = {
            "Name": name,
            "Schedule": f"at({opens:%Y-%m-%dT%H:%M:%S})",
            "ScheduleTimezone": "Asia/Tokyo",
            "Duration": 2,
            "Cutoff": 0,
            "AllowUnassociatedTargets": False,
        }
        self.window_id = str(self.ssm.create_maintenance_window(**{**given, **settings})["WindowId"])

    def target(self, *conditions: tuple[str, list[str]], kind: str = "INSTANCE", name: str = "") -> str:
        """Register a target of the ordinary kind."""
        found = self.ssm.register_target_with_maintenance_window(
            WindowId=self.window_id,
            ResourceType=kind,
            Targets=[{"Key": key, "Values": values} for key, values in conditions],
            **({"Name": name} if name else {}),
        )
        return str(found["WindowTargetId"])

    def attach(self, given: str = INPUT, **settings: Any) -> None:
        """Register the task that starts Drydock."""
        self.ssm.register_task_with_maintenance_window(
            **{
                "WindowId": self.window_id,
                "TaskType": "STEP_FUNCTIONS",
                "TaskArn": self.scene.stack.outputs["MaintenanceRunArn"],
                "ServiceRoleArn": self.scene.stack.outputs["MaintenanceWindowRoleArn"],
                "TaskInvocationParameters": {"StepFunctions": {"Name": "{{WINDOW_EXECUTION_ID}}", "Input": given}},
                **settings,
            }
        )

    @property
    def executions(self) -> list[WindowExecution]:
        """What became of the window's openings."""
        return [one for one in self.scene.account.windows.executions if one.window_id == self.window_id]


def a_window(scene: RunScenario, name: str, **settings: Any) -> Window:
    """A window that starts Drydock for the machines with `Patch Group` = its name."""
    window = Window(scene, name, **settings)
    window.target(("tag:Patch Group", [name]))
    window.attach()
    return window
