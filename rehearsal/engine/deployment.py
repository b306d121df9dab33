"""Deployment of the project's own template: SAM translation offline, then moto's CloudFormation."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from botocore import xform_name
from moto.cloudformation import parsing
from moto.cloudformation.models import Stack as MotoStack
from moto.cloudformation.models import cloudformation_backends
from moto.core.exceptions import ServiceException
from moto.iam.models import ManagedPolicy, Role, iam_backends
from moto.ssm import models as documents
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import intrinsics_multi_constructor

from rehearsal.engine.calls import ACCOUNT, REGION, make_client
from rehearsal.engine.functions import DeployedFunction, FunctionHost
from rehearsal.engine.project import LOADER, read_yaml
from rehearsal.engine.repairs.patches import Patches
from rehearsal.engine.stack_resources import ResourceFailedError, StackResource, StackResources
from rehearsal.engine.urls import FunctionUrls, Grant

PACKAGES = "packages"
"""Bucket that local code is said to be in; its keys are paths in the project."""

RECORDED_TYPES = {
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Logs::MetricFilter": "FilterName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::ResourcePolicy": "PolicyName",
    "AWS::S3::BucketPolicy": "",
    "AWS::SNS::TopicPolicy": "",
    "AWS::SQS::QueuePolicy": "",
}
"""Types that only stand in the stack, and what names one: nothing in a rehearsal depends on what they do."""


class DeploymentError(Exception):
    """Raised when a template cannot be deployed as it is."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack."""

    name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    """Physical ids by logical id."""

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource; raises KeyError when the stack has none of that name."""
        return self.resources[logical_id]


Make = Callable[[str, str, dict[str, Any]], StackResource]
"""Makes a resource from its physical name, its logical id and its resolved properties."""


def _model(kind: str, name_property: str, make: Make) -> type:
    class Model:
        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @staticmethod
        def cloudformation_name_type() -> str:
            return name_property

        @classmethod
        def has_cfn_attr(cls, attribute: str) -> bool:
            return True

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
            **keywords: Any,
        ) -> StackResource:
            properties = cloudformation_json.get("Properties", {})
            return make(resource_name, str(keywords["LogicalId"]), properties)

    return Model


class Deployer:
    """Deploys templates into the account."""

    def __init__(self, project: Path, host: FunctionHost, urls: FunctionUrls) -> None:
        self._project = project
        self._host = host
        self._urls = urls
        self.permissions: list[tuple[str, str, str]] = []
        """Function name, principal and source ARN of each permission to invoke a function."""
        self.types: dict[str, Make] = {}
        """How resources of further types are made."""
        self.resources = StackResources()
        self._statuses: dict[str, str] = {}
        """The stacks that are there, and how the last operation on each ended."""

    def install(self, patches: Patches) -> None:
        """Teach moto's CloudFormation the types that it lacks or gets wrong."""
        models = [
            _model("AWS::Lambda::Function", "FunctionName", self._make_function),
            _model("AWS::Lambda::LayerVersion", "LayerName", self._make_layer),
            _model("AWS::Lambda::Permission", "", self._make_permission),
            _model("AWS::Lambda::EventInvokeConfig", "", self._make_invoke_config),
            _model("AWS::Lambda::Url", "", self._make_url),
            _model("AWS::CloudWatch::Alarm", "AlarmName", _make_alarm),
            _model("AWS::CloudWatch::CompositeAlarm", "AlarmName", _make_composite_alarm),
            _model("AWS::StepFunctions::StateMachine", "StateMachineName", self._make_machine),
            *(_model(kind, "", make) for kind, make in self.types.items()),
            *(_model(kind, name, _record) for kind, name in sorted(RECORDED_TYPES.items())),
        ]
        known = {**parsing.get_model_map(), **{model.cloudformation_type(): model for model in models}}  # type: ignore[attr-defined]
        names = {kind: model.cloudformation_name_type() for kind, model in known.items()}
        patches.replace(parsing, "get_model_map", lambda: known)
        patches.replace(parsing, "get_model_list", lambda: list(known.values()))
        patches.replace(parsing, "get_name_type_map", lambda: names)
        patches.replace(parsing, "resource_name_property_from_type", names.get)
        # What SAM made is JSON; moto reads it as YAML, which takes most of the time of a deployment.
        patches.replace(MotoStack, "parse_template", staticmethod(json.loads))
        repair_no_value_in_lists(patches)
        repair_repeated_reading(patches)
        repair_document_content(patches)
        repair_managed_policies_of_roles(patches)
        repair_policy_documents_that_are_text(patches)
        self.resources.install(patches)

    def deploy(self, template: Path, stack: str, parameters: Mapping[str, str]) -> Stack:
        """Create a stack from a SAM template; raises DeploymentError when that is not possible.

        A creation that fails is rolled back, and leaves a stack of which nothing is left but the name: it has to be
        deleted before there can be another of that name.
        """
        if stack in self._statuses:
            raise DeploymentError(f"the stack {stack} exists: it is in {self._statuses[stack]}")
        translated = _translate(template.read_text(), tuple(sorted(parameters.items())))
        unknown = {
            resource["Type"]
            for resource in translated["Resources"].values()
            if resource["Type"] not in parsing.get_model_map()
        }
        if unknown:
            raise DeploymentError(f"resource types that the rehearsal does not know: {', '.join(sorted(unknown))}")
        check_parameters(translated.get("Parameters", {}), parameters)
        check_rules(translated, parameters)
        try:
            created = cloudformation_backends[ACCOUNT][REGION].create_stack(
                name=stack,
                template=_print_translated(template.read_text(), tuple(sorted(parameters.items()))),
                parameters=dict(parameters),
                notification_arns=[],
                tags={},
                role_arn=None,
            )
        except ResourceFailedError as error:
            left = self.resources.delete_all(stack, on_create=True)
            self._end(stack, "ROLLBACK", left)
            raise DeploymentError(f"the stack is {self._statuses[stack]}: {error}{_list_failures(left)}") from error
        self._statuses[stack] = created.status
        if created.status != "CREATE_COMPLETE":
            raise DeploymentError(f"the stack is {created.status}: {created.status_reason}")
        resources = {
            item.logical_resource_id: item.physical_resource_id for item in created.stack_resources if item is not None
        }
        outputs = {output.key: output.value for output in created.output_map.values() if output is not None}
        return Stack(stack, outputs, resources)

    def delete(self, stack: str) -> None:
        """Delete a stack, whatever became of it; raises DeploymentError when something cannot be deleted."""
        if stack not in self._statuses:
            raise DeploymentError(f"there is no stack {stack}")
        left = self.resources.delete_all(stack, on_create=False)
        self._end(stack, "DELETE", left)
        if left:
            raise DeploymentError(f"the stack is {self._statuses[stack]}{_list_failures(left)}")
        del self._statuses[stack]

    def _end(self, stack: str, operation: str, left: Mapping[str, str]) -> None:
        self._statuses[stack] = f"{operation}_{'FAILED' if left else 'COMPLETE'}"
        stacks = cloudformation_backends[ACCOUNT][REGION].stacks
        for stack_id in [stack_id for stack_id, one in stacks.items() if one.name == stack]:
            del stacks[stack_id]

    def _make_function(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        path = self._project / properties["Code"]["S3Key"]
        function = DeployedFunction(
            name=name,
            folder=path.name,
            code=path,
            handler=properties["Handler"],
            role=properties["Role"],
            timeout=int(properties.get("Timeout", 3)),
            memory=int(properties.get("MemorySize", 128)),
            environment={
                key: _print(value) for key, value in properties.get("Environment", {}).get("Variables", {}).items()
            },
            dead_letters=properties.get("DeadLetterConfig", {}).get("TargetArn"),
        )
        self._host.functions[name] = function
        return StackResource(name, {"Arn": function.arn}, lambda: self._host.functions.pop(name))

    def _make_layer(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        self._host.add_layer(self._project / properties["Content"]["S3Key"])
        return StackResource(f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:1")

    def _make_permission(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        function = self._host.find(properties["FunctionName"]).name
        permission = (function, properties["Principal"], properties.get("SourceArn", "*"))
        grant = Grant(function, properties["Action"], properties["Principal"], properties.get("FunctionUrlAuthType"))
        self.permissions.append(permission)
        self._urls.grants.append(grant)

        def delete() -> None:
            self.permissions.remove(permission)
            self._urls.grants[:] = [one for one in self._urls.grants if one is not grant]

        return StackResource(name, delete=delete)

    def _make_url(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        if properties.get("InvokeMode", "BUFFERED") != "BUFFERED" or "Qualifier" in properties:
            raise DeploymentError(f"{logical_id}: only buffered URLs of unpublished functions are supported")
        url = self._urls.add(properties["TargetFunctionArn"], properties["AuthType"])
        arn = self._host.find(url.function).arn
        attributes = {"FunctionArn": arn, "FunctionUrl": url.address}
        return StackResource(arn, attributes, lambda: self._urls.remove(url))

    def _make_invoke_config(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        function = self._host.find(properties["FunctionName"])
        function.retries = int(properties.get("MaximumRetryAttempts", 2))
        destinations = properties.get("DestinationConfig", {})
        function.on_failure = destinations.get("OnFailure", {}).get("Destination")
        return StackResource(name)

    def _make_machine(self, name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        location = properties.get("DefinitionS3Location")
        if location is None:
            raise DeploymentError(f"{logical_id}: only a DefinitionUri is supported")
        path = self._project / location["Key"]
        definition = resolve_definition(path.read_text(), properties.get("DefinitionSubstitutions", {}))
        backend = stepfunctions_parser_backends[ACCOUNT][REGION]
        try:
            machine = backend.create_state_machine(
                name=name,
                definition=definition,
                roleArn=properties["RoleArn"],
                sm_type=properties.get("StateMachineType"),
            )
        except ServiceException as error:
            raise DeploymentError(f"{path.name} is refused: {error.message}") from error
        attributes = {"Arn": machine.arn, "Name": name}
        return StackResource(machine.arn, attributes, lambda: backend.delete_state_machine(machine.arn))


def _record(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
    return StackResource(name, {"Arn": f"arn:aws:recorded:{REGION}:{ACCOUNT}:{name}"})


def _make_alarm(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
    return _put_alarm("PutMetricAlarm", {**properties, "AlarmName": name})


def _make_composite_alarm(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
    return _put_alarm("PutCompositeAlarm", {**properties, "AlarmName": name})


def _put_alarm(operation: str, properties: dict[str, Any]) -> StackResource:
    client: Any = make_client("cloudwatch")
    shape = client.meta.service_model.operation_model(operation).input_shape
    getattr(client, xform_name(operation))(**_convert(properties, shape))
    name = properties["AlarmName"]
    attributes = {"Arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"}
    return StackResource(name, attributes, lambda: client.delete_alarms(AlarmNames=[name]))


def _list_failures(left: Mapping[str, str]) -> str:
    return "".join(f"; {logical_id} could not be deleted: {reason}" for logical_id, reason in sorted(left.items()))


def _convert(value: Any, shape: Any) -> Any:
    """Return a property as the API takes it: what parameters and functions of a template yield is always text."""
    if shape.type_name == "structure":
        return {key: _convert(item, shape.members[key]) for key, item in value.items()}
    if shape.type_name == "list":
        return [_convert(item, shape.member) for item in value]
    if shape.type_name == "boolean":
        return _is_true(value)
    kinds: dict[str, type] = {"integer": int, "double": float, "string": str}
    return kinds[shape.type_name](value)


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def resolve_definition(text: str, substitutions: Mapping[str, Any]) -> str:
    """Return a definition as JSON, its ${Names} replaced in the text, so that numbers stay numbers."""
    for name, value in substitutions.items():
        text = text.replace("${" + name + "}", _print(value))
    left = sorted(set(re.findall(r"\$\{([A-Za-z0-9_]+)\}", text)))
    if left:
        raise DeploymentError(f"DefinitionSubstitutions lack {', '.join(left)}")
    return _to_json(text)


@lru_cache(maxsize=32)
def _to_json(text: str) -> str:
    return json.dumps(read_yaml(text))


def _print(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _TemplateLoader(LOADER):  # type: ignore[misc,valid-type]
    """Reads what `samtranslator.yaml_helper.yaml_parse` reads, which does so in Python."""


_TemplateLoader.add_multi_constructor("!", intrinsics_multi_constructor)


@lru_cache(maxsize=32)
def _translate(text: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the CloudFormation template that SAM makes of a SAM template. It is for reading only."""
    template = yaml.load(text, _TemplateLoader)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for key in ("CodeUri", "ContentUri"):
            if isinstance(properties.get(key), str):
                properties[key] = {"Bucket": PACKAGES, "Key": properties[key].strip("/")}
        if isinstance(properties.get("DefinitionUri"), str):
            properties["DefinitionUri"] = {"Bucket": PACKAGES, "Key": properties["DefinitionUri"]}
    globals_ = template.get("Globals", {}).get("Function", {})
    if "CodeUri" in globals_:
        raise DeploymentError("CodeUri in Globals is not supported")
    defaults = {
        name: parameter["Default"]
        for name, parameter in template.get("Parameters", {}).items()
        if "Default" in parameter
    }
    values = {**defaults, **dict(parameters)}
    translator = Translator({}, Parser())
    translated: dict[str, Any] = translator.translate(template, values)
    # To nobody: the translator warns of metrics that were not published.
    translator.metrics.publish()
    return translated


@lru_cache(maxsize=32)
def _print_translated(text: str, parameters: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(_translate(text, parameters))


def check_parameters(declared: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Check parameters against the template's constraints, as CloudFormation does; raises DeploymentError."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise DeploymentError(f"the template has no parameters named {', '.join(unknown)}")
    for name, parameter in declared.items():
        if name not in given and "Default" not in parameter:
            raise DeploymentError(f"the parameter {name} has no value")
        value = str(given.get(name, parameter.get("Default")))
        reason = parameter.get("ConstraintDescription", "")
        if "AllowedValues" in parameter and value not in [_print(item) for item in parameter["AllowedValues"]]:
            raise DeploymentError(f"{name}: '{value}' is not one of {parameter['AllowedValues']}. {reason}")
        if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
            raise DeploymentError(f"{name}: '{value}' does not match {parameter['AllowedPattern']}. {reason}")
        for least, most, measure in (("MinValue", "MaxValue", float), ("MinLength", "MaxLength", len)):
            if least in parameter and measure(value) < float(parameter[least]):
                raise DeploymentError(f"{name}: '{value}' is under the {least} of {parameter[least]}. {reason}")
            if most in parameter and measure(value) > float(parameter[most]):
                raise DeploymentError(f"{name}: '{value}' is over the {most} of {parameter[most]}. {reason}")


def check_rules(template: Mapping[str, Any], given: Mapping[str, str]) -> None:
    """Check the assertions of a template's Rules, as CloudFormation does; raises DeploymentError.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html
    """
    values = {name: parameter.get("Default") for name, parameter in template.get("Parameters", {}).items()}
    values |= {**given, "AWS::Region": REGION}

    def evaluate(expression: Any) -> Any:
        if not isinstance(expression, dict):
            return expression
        ((function, arguments),) = expression.items()
        if function == "Ref":
            return values[arguments]
        operands = [evaluate(argument) for argument in arguments]
        if function == "Fn::Equals":
            return operands[0] == operands[1]
        if function == "Fn::Contains":
            return operands[1] in operands[0]
        if function == "Fn::Not":
            return not operands[0]
        raise NotImplementedError(f"the rule function {function} is not evaluated")

    for name, rule in template.get("Rules", {}).items():
        if evaluate(rule.get("RuleCondition", True)):
            for assertion in rule["Assertions"]:
                if not evaluate(assertion["Assert"]):
                    raise DeploymentError(f"{name}: {assertion['AssertDescription']}")


def repair_no_value_in_lists(patches: Patches) -> None:
    """moto leaves a null where AWS::NoValue stands in a list."""

    original = parsing.clean_json

    def clean(resource_json: Any, resources_map: Any) -> Any:
        if isinstance(resource_json, dict):
            cleaned = original(resource_json, resources_map)
        elif isinstance(resource_json, list):
            cleaned = [clean(item, resources_map) for item in resource_json]
        else:
            return resource_json
        return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned

    patches.replace(parsing, "clean_json", clean)


def repair_repeated_reading(patches: Patches) -> None:
    """moto reads each document's YAML anew for every account, and copies all resources to put their names in order."""
    patches.replace(documents, "yaml", SimpleNamespace(safe_load=_read_yaml, YAMLError=yaml.YAMLError, dump=yaml.dump))
    # From the copy, names are taken out.
    patches.replace(parsing, "copy", SimpleNamespace(deepcopy=copy.copy))


@lru_cache(maxsize=32)
def _read_yaml(text: str) -> Any:
    return read_yaml(text)


def repair_document_content(patches: Patches) -> None:
    """moto wants the Content of an SSM document as text, and a DocumentFormat."""
    from moto.ssm.models import Document

    original = Document.create_from_cloudformation_json

    def create(
        cls: Any, resource_name: str, cloudformation_json: dict[str, Any], *arguments: Any, **keywords: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        properties.setdefault("DocumentFormat", "JSON")
        if not isinstance(properties["Content"], str):
            properties["Content"] = json.dumps(properties["Content"])
        return original(resource_name, cloudformation_json, *arguments, **keywords)

    patches.replace(Document, "create_from_cloudformation_json", classmethod(create))


def repair_managed_policies_of_roles(patches: Patches) -> None:
    """moto leaves out the ManagedPolicyArns of a role. AWS's own policies are not in moto, and not attached here."""
    original = Role.create_from_cloudformation_json

    def create(
        cls: Any, resource_name: str, cloudformation_json: dict[str, Any], *arguments: Any, **keywords: Any
    ) -> Any:
        role = original(resource_name, cloudformation_json, *arguments, **keywords)
        for arn in cloudformation_json["Properties"].get("ManagedPolicyArns", []):
            if ":iam::aws:policy/" not in arn:
                iam_backends[ACCOUNT]["aws"].attach_role_policy(arn, role.name)
        return role

    patches.replace(Role, "create_from_cloudformation_json", classmethod(create))


def repair_policy_documents_that_are_text(patches: Patches) -> None:
    """moto encodes a managed policy's document once more when it is text already.

    AWS takes JSON as text, too, wherever a property is of type Json:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
    """
    original = ManagedPolicy.create_from_cloudformation_json

    def create(
        cls: Any, resource_name: str, cloudformation_json: dict[str, Any], *arguments: Any, **keywords: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        if isinstance(properties["PolicyDocument"], str):
            properties["PolicyDocument"] = json.loads(properties["PolicyDocument"])
        return original(resource_name, cloudformation_json, *arguments, **keywords)

    patches.replace(ManagedPolicy, "create_from_cloudformation_json", classmethod(create))
