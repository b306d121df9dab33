from __future__ import annotations

from tests.scenarios.machine.scenario import scenario


def test_without_its_table_an_execution_fails_by_the_name_of_the_table_before_anything_is_touched() -> None:
    with scenario() as scene:
        machine = scene.machine("no-table")
        table = scene.stack.resource("StateTable")
        scene.account.client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        scene.account.client("dynamodb").delete_table(TableName=table)

        arn = scene.start(machine)
        scene.run_for(minutes=20)

        execution = scene.account.execution(arn)
        assert (execution.status, execution.error) == ("FAILED", "AwsCallFailedError")
        assert table in (execution.cause or "")
        assert scene.images(machine) == []
        assert scene.commands(machine) == []
        assert scene.tags(machine) == {"Name": machine.name}
        assert [state for _, state in machine.power_log] == ["running"]
