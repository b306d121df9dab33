"""The SSM calls of the simulated agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ssm.exceptions import InvalidDocument
from moto.ssm.models import ssm_backends

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.world.machines import Machine
from rehearsal.world.patch_states import select_patches
from rehearsal.world.ssm_documents import AWS_DOCUMENTS, CommandDocument, check_parameters, read_account_document

if TYPE_CHECKING:
    from rehearsal.world.agents import Command
    from rehearsal.world.fleet import Fleet

_LONGEST_TIMEOUT = 2_592_000


class SSMCalls:
    """One method for each SSM operation, named as in boto3; each takes the call's parameters."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def send_command(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SendCommand to instances given by id."""
        given = parameters
        if set(given) - set(_SEND_COMMAND):
            raise NotImplementedError(f"SendCommand with {', '.join(sorted(given))} is not simulated")
        ids: list[str] = given.get("InstanceIds", [])
        if len(set(ids)) != len(ids):
            raise AWSError("DuplicateInstanceId", "You can't specify a node ID in more than one place.")
        if not ids or len(ids) > 50:
            raise AWSError("ValidationException", "SendCommand takes between 1 and 50 instance ids.")
        if len(given.get("Comment", "")) > 100:
            raise AWSError(
                "ValidationException",
                "1 validation error detected: Value at 'comment' failed to satisfy constraint: "
                "Member must have length less than or equal to 100",
            )
        if not 30 <= int(given.get("TimeoutSeconds") or 3600) <= _LONGEST_TIMEOUT:
            raise AWSError("ValidationException", "TimeoutSeconds must be between 30 and 2592000.")
        document = self._find_document(given["DocumentName"], given.get("DocumentVersion", "$DEFAULT"))
        if given.get("DocumentHash", document.hash) != document.hash:
            raise AWSError("InvalidDocument", f"The hash of document {document.name} is not the one that was given.")
        if document.document_type != "Command":
            raise AWSError("InvalidDocument", f"Document {document.name} is not a Command document.")
        try:
            values = check_parameters(document, given.get("Parameters", {}))
        except ValueError as error:
            raise AWSError("InvalidParameters", str(error)) from error
        machines = self._find_managed(ids)
        for machine in machines:
            if machine.spec.platform not in document.platforms:
                raise AWSError(
                    "UnsupportedPlatformType",
                    f"Document {document.name} does not support the platform of {machine.instance_id}.",
                )
        command = self._fleet.run_command.send(document, values, machines, given)
        return {"Command": self._fleet.run_command.describe(command)}

    def cancel_command(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CancelCommand, which is best effort."""
        command = self._fleet.run_command.get(parameters["CommandId"])
        if command is None:
            raise AWSError("InvalidCommandId", "The specified command ID isn't valid.")
        ids = parameters.get("InstanceIds", [])
        for invocation in command.invocations:
            if not ids or invocation.machine.instance_id in ids:
                invocation.cancel()
        return {}

    def list_commands(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ListCommands, newest first."""
        commands = self._select_commands(parameters)
        page, token = take_page(commands, parameters, 50)
        shown = [self._fleet.run_command.describe(command) for command in page]
        return {"Commands": shown, "NextToken": token}

    def list_command_invocations(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ListCommandInvocations, newest first."""
        instance_id = parameters.get("InstanceId")
        details = bool(parameters.get("Details"))
        invocations = [
            invocation
            for command in self._select_commands(parameters)
            for invocation in command.invocations
            if instance_id in (None, invocation.machine.instance_id)
        ]
        page, token = take_page(invocations, parameters, 50)
        shown = [self._fleet.run_command.describe_invocation(invocation, details) for invocation in page]
        return {"CommandInvocations": shown, "NextToken": token}

    def get_command_invocation(self, parameters: Parameters) -> dict[str, Any]:
        """Refuse GetCommandInvocation, which needs the name of a step for most documents."""
        raise NotImplementedError("GetCommandInvocation is not simulated: use ListCommandInvocations")

    def describe_instance_information(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstanceInformation: no stopped or terminated nodes, and no strangers."""
        self._check_information_request(parameters)
        conditions = [(condition["Key"], condition["Values"]) for condition in parameters.get("Filters", [])] + [
            (condition["key"], condition["valueSet"])
            for condition in parameters.get("InstanceInformationFilterList", [])
        ]
        named = [values for key, values in conditions if key == "InstanceIds"]
        for values in named:
            self._refuse_unknown(values)
        machines = [self._fleet.machine(name) for name in dict.fromkeys(named[0])] if named else self._fleet.machines
        nodes = [
            machine
            for machine in machines
            if machine.agent.last_ping is not None and machine.state not in ("stopped", "terminated")
        ]
        for key, values in conditions:
            nodes = [machine for machine in nodes if self._node_passes(machine, key, values)]
        page, token = take_page(nodes, parameters, 10)
        return {"InstanceInformationList": [self._describe_agent(machine) for machine in page], "NextToken": token}

    def list_associations(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ListAssociations: nothing of State Manager is simulated, so there are none."""
        return {"Associations": []}

    def describe_instance_patch_states(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstancePatchStates: instances that never reported are left out."""
        states = []
        for instance_id in parameters.get("InstanceIds", []):
            machine = self._fleet.machine(instance_id) if self._fleet.knows(instance_id) else None
            if machine and machine.report:
                states.append(machine.report.as_patch_state(instance_id, machine.spec.platform))
        page, token = take_page(states, parameters, 100)
        return {"InstancePatchStates": page, "NextToken": token}

    def describe_instance_patches(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstancePatches from the machine's last report."""
        (machine,) = self._find_managed([parameters["InstanceId"]])
        patches: Sequence[Mapping[str, Any]] = machine.report.as_patches() if machine.report else []
        try:
            patches = select_patches(patches, parameters.get("Filters", []))
        except KeyError as error:
            raise AWSError("InvalidFilter", f"The filter name {error} isn't valid.") from error
        page, token = take_page(patches, parameters, 50)
        return {"Patches": page, "NextToken": token}

    def describe_document(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeDocument for AWS's documents and the account's own."""
        document = self._find_document(parameters["Name"], parameters.get("DocumentVersion", "$DEFAULT"))
        return {
            "Document": {
                "Name": document.name,
                "Owner": document.owner,
                "Status": "Active",
                "DocumentType": document.document_type,
                "DocumentFormat": "JSON",
                "DocumentVersion": document.version,
                "DefaultVersion": document.default_version,
                "LatestVersion": document.latest_version,
                "Hash": document.hash,
                "HashType": "Sha256",
                "SchemaVersion": document.schema_version,
                "PlatformTypes": document.platforms,
                "Parameters": [
                    {"Name": name, "Type": "String", "DefaultValue": parameter.default}
                    if parameter.default is not None
                    else {"Name": name, "Type": "String"}
                    for name, parameter in document.parameters.items()
                ],
            }
        }

    def _find_document(self, name: str, version: str) -> CommandDocument:
        name = name.rpartition("document/")[2]
        if name in AWS_DOCUMENTS:
            return AWS_DOCUMENTS[name]
        try:
            versions = ssm_backends[ACCOUNT][REGION]._get_documents(name)
        except InvalidDocument as error:
            raise AWSError("InvalidDocument", f"Document with name {name} does not exist.") from error
        document = versions.find(None if version == "$DEFAULT" else version, strict=False)
        if document is None:
            raise AWSError("InvalidDocumentVersion", f"Document {name} has no version {version}.")
        found = read_account_document(name, document.content_json, ACCOUNT, document.document_type or "Command")
        return replace(
            found,
            version=document.document_version,
            default_version=versions.default_version,
            latest_version=versions.latest_version,
            hash=document.hash,
        )

    def _find_managed(self, ids: Sequence[str]) -> list[Machine]:
        machines = [self._fleet.machine(instance_id) for instance_id in ids if self._fleet.knows(instance_id)]
        machines = [
            machine
            for machine in machines
            if machine.agent.last_ping is not None and machine.state not in ("shutting-down", "terminated")
        ]
        wrong = sorted(set(ids) - {machine.instance_id for machine in machines})
        if wrong:
            raise AWSError(
                "InvalidInstanceId",
                f"Instances [[{', '.join(wrong)}]] not in a valid state for account {ACCOUNT}",
            )
        return machines

    def _refuse_unknown(self, ids: Sequence[str]) -> None:
        for instance_id in ids:
            if not self._fleet.knows(instance_id):
                raise AWSError("InvalidInstanceId", f"{instance_id} is not a node of this account")

    def _check_information_request(self, parameters: Parameters) -> None:
        if not 5 <= parameters.get("MaxResults", 10) <= 50:
            raise AWSError("ValidationException", "MaxResults must be between 5 and 50.")
        new, old = parameters.get("Filters", []), parameters.get("InstanceInformationFilterList", [])
        if new and old:
            raise AWSError("ValidationException", "Filters and InstanceInformationFilterList exclude each other.")
        if any(len(condition["Values"]) > 100 for condition in new):
            raise AWSError("ValidationException", "A filter takes at most 100 values.")
        by_tag = [condition["Key"].startswith("tag") for condition in new]
        if any(by_tag) and not all(by_tag):
            raise AWSError("InvalidInstanceInformationFilterValue", "Filters by tag can't be combined with others.")

    def _node_passes(self, machine: Machine, key: str, values: Sequence[str]) -> bool:
        tags = self._fleet.tags(machine.instance_id)
        if key == "InstanceIds":
            return machine.instance_id in values
        if key == "tag-key":
            return any(value in tags for value in values)
        if key.startswith("tag:"):
            return tags.get(key.removeprefix("tag:")) in values
        described = {"PlatformTypes": "PlatformType"}.get(key, key)
        if described not in ("PingStatus", "AgentVersion", "ResourceType", "PlatformType"):
            raise AWSError("InvalidFilterKey", f"The filter key {key} isn't valid.")
        return self._describe_agent(machine)[described] in values

    def _describe_agent(self, machine: Machine) -> dict[str, Any]:
        ping = machine.agent.last_ping
        assert ping is not None
        silent = self._fleet.account.clock.time() - ping
        windows = machine.spec.platform == "Windows"
        return {
            "InstanceId": machine.instance_id,
            "PingStatus": "Online" if silent <= self._fleet.connection_lost_after else "ConnectionLost",
            "LastPingDateTime": datetime.fromtimestamp(ping, UTC),
            "AgentVersion": machine.agent.version,
            "IsLatestVersion": False,
            "PlatformType": machine.spec.platform,
            "PlatformName": machine.spec.system
            or ("Microsoft Windows Server 2022 Datacenter" if windows else "Amazon Linux"),
            "PlatformVersion": machine.spec.system_version or ("10.0.20348" if windows else "2023"),
            "ResourceType": "EC2Instance",
            "IPAddress": f"10.0.{machine.number // 250}.{machine.number % 250 + 4}",
            "ComputerName": machine.name,
        }

    def _select_commands(self, parameters: Parameters) -> list[Command]:
        command_id = parameters.get("CommandId")
        instance_id = parameters.get("InstanceId")
        commands = self._fleet.run_command.list_visible(command_id, instance_id)
        for condition in parameters.get("Filters", []):
            key, value = condition["key"], condition["value"]
            if key in ("InvokedAfter", "InvokedBefore"):
                at = datetime.fromisoformat(value.replace("Z", "+00:00"))
                at = at if at.tzinfo else at.replace(tzinfo=UTC)
                after = key == "InvokedAfter"
                commands = [command for command in commands if (command.requested >= at) == after]
            elif key == "DocumentName":
                commands = [command for command in commands if command.document.name == value]
            elif key == "Status":
                commands = [command for command in commands if value in command.status]
            else:
                raise AWSError("InvalidFilterKey", f"The filter key {key} isn't valid.")
        return commands


_SEND_COMMAND = (
    "InstanceIds",
    "DocumentName",
    "DocumentVersion",
    "DocumentHash",
    "DocumentHashType",
    "TimeoutSeconds",
    "Comment",
    "Parameters",
    "OutputS3BucketName",
    "OutputS3KeyPrefix",
    "MaxConcurrency",
    "MaxErrors",
)
