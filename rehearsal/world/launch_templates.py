"""The launch templates of an embedded account, and the EC2 calls about them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.engine.calls import ACCOUNT
from rehearsal.engine.host import Host
from rehearsal.world.machines import FIRST_IMAGE

_TEMPLATE_ID = re.compile(r"lt-[0-9a-f]{17}")
_CREATED_BY = f"arn:aws:iam::{ACCOUNT}:user/operator"
_PAGE = 200


@dataclass(frozen=True)
class TemplateVersion:
    """One version of a launch template; it never changes."""

    number: int
    data: Mapping[str, Any]
    description: str | None
    created: datetime

    @property
    def image_id(self) -> str:
        """Return the image that the version launches, or nothing when it names none."""
        return str(self.data.get("ImageId", ""))

    @property
    def instance_type(self) -> str:
        """Return the type of the instances that the version launches."""
        return str(self.data.get("InstanceType", "t3.medium"))


@dataclass
class LaunchTemplate:
    """A launch template with all its versions, the first of them numbered 1."""

    template_id: str
    name: str
    created: datetime
    versions: list[TemplateVersion]
    default: int = 1
    tokens: dict[str, tuple[Parameters, TemplateVersion]] = field(default_factory=dict)
    """The request and the answer of each client token."""

    @property
    def latest(self) -> TemplateVersion:
        """Return the newest version."""
        return self.versions[-1]

    def version(self, text: str) -> TemplateVersion:
        """Return the version of a number, of $Latest or of $Default. Raises AWSError when there is none."""
        if text == "$Latest":
            return self.latest
        if text == "$Default":
            return self.versions[self.default - 1]
        if not text.isdecimal():
            raise AWSError("InvalidLaunchTemplateId.VersionNotFound", f"Invalid launch template version {text}.")
        if not 1 <= int(text) <= len(self.versions):
            raise AWSError(
                "InvalidLaunchTemplateId.VersionNotFound",
                f"Could not find launch template version {text} for launch template {self.template_id}.",
            )
        return self.versions[int(text) - 1]


class LaunchTemplates:
    """The launch templates of an account, and one method for each EC2 operation on them, named as in boto3."""

    def __init__(self, account: Host) -> None:
        self._account = account
        self._templates: dict[str, LaunchTemplate] = {}

    def add(self, name: str, **data: Any) -> LaunchTemplate:
        """Add a launch template with one version of this data, as in CreateLaunchTemplate."""
        now = self._account.clock.now()
        template_id = "lt-" + hashlib.sha256(name.encode()).hexdigest()[:17]
        version = TemplateVersion(1, {"ImageId": FIRST_IMAGE, "InstanceType": "t3.medium", **data}, None, now)
        template = LaunchTemplate(template_id, name, now, [version])
        self._templates[template_id] = template
        return template

    def all(self) -> list[LaunchTemplate]:
        """Return every template, in the order they were added."""
        return list(self._templates.values())

    def find(self, template_id: str | None = None, name: str | None = None) -> LaunchTemplate:
        """Return the template of an id or of a name. Raises AWSError when there is none."""
        if (template_id is None) == (name is None):
            raise AWSError(
                "MissingParameter",
                "Either a launch template ID or a launch template name must be specified in the request.",
            )
        if template_id is not None and not _TEMPLATE_ID.fullmatch(template_id):
            raise AWSError("InvalidLaunchTemplateId.Malformed", f'Invalid id: "{template_id}" (expecting "lt-...")')
        for template in self._templates.values():
            if template.template_id == template_id or template.name == name:
                return template
        if template_id is not None:
            raise AWSError(
                "InvalidLaunchTemplateId.NotFound", f"The specified launch template, {template_id}, does not exist."
            )
        raise AWSError(
            "InvalidLaunchTemplateName.NotFoundException",
            f"The specified launch template, with template name {name}, does not exist.",
        )

    def describe_launch_templates(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeLaunchTemplates."""
        ids, names = parameters.get("LaunchTemplateIds", []), parameters.get("LaunchTemplateNames", [])
        if parameters.get("Filters"):
            raise NotImplementedError("the filters of DescribeLaunchTemplates are not simulated")
        found = [self.find(template_id) for template_id in ids] + [self.find(name=name) for name in names]
        if not ids and not names:
            found = list(self._templates.values())
        page, token = take_page(found, parameters, _PAGE)
        return {"LaunchTemplates": [_describe(template) for template in page], "NextToken": token}

    def describe_launch_template_versions(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeLaunchTemplateVersions: newest first; $Latest and $Default also without a template."""
        for name in ("Filters", "MinVersion", "MaxVersion", "ResolveAlias"):
            if name in parameters:
                raise NotImplementedError(f"DescribeLaunchTemplateVersions with {name} is not simulated")
        wanted: Sequence[str] = parameters.get("Versions", [])
        if "LaunchTemplateId" in parameters or "LaunchTemplateName" in parameters:
            templates = [self.find(parameters.get("LaunchTemplateId"), parameters.get("LaunchTemplateName"))]
        elif wanted and set(wanted) <= {"$Latest", "$Default"}:
            templates = list(self._templates.values())
        else:
            raise AWSError(
                "MissingParameter",
                "Either a launch template ID or a launch template name must be specified in the request.",
            )
        found = [
            (template, version)
            for template in templates
            for version in ([template.version(text) for text in wanted] or reversed(template.versions))
        ]
        page, token = take_page(found, parameters, _PAGE)
        versions = [_describe_version(template, version) for template, version in page]
        return {"LaunchTemplateVersions": versions, "NextToken": token}

    def create_launch_template_version(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateLaunchTemplateVersion: from another version, or from nothing."""
        template = self.find(parameters.get("LaunchTemplateId"), parameters.get("LaunchTemplateName"))
        token = parameters.get("ClientToken", "")
        if token in template.tokens:
            request, version = template.tokens[token]
            if request != parameters:
                raise AWSError(
                    "IdempotentParameterMismatch",
                    "The client token is already used by a request with other parameters.",
                )
            return {"LaunchTemplateVersion": _describe_version(template, version)}
        source = parameters.get("SourceVersion")
        data = dict(template.version(source).data) if source else {}
        version = TemplateVersion(
            number=len(template.versions) + 1,
            data={**data, **parameters["LaunchTemplateData"]},
            description=parameters.get("VersionDescription"),
            created=self._account.clock.now(),
        )
        template.versions.append(version)
        if token:
            template.tokens[token] = (dict(parameters), version)
        return {"LaunchTemplateVersion": _describe_version(template, version)}

    def modify_launch_template(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ModifyLaunchTemplate, which chooses the default version."""
        template = self.find(parameters.get("LaunchTemplateId"), parameters.get("LaunchTemplateName"))
        if "DefaultVersion" in parameters:
            template.default = template.version(parameters["DefaultVersion"]).number
        return {"LaunchTemplate": _describe(template)}


def _describe(template: LaunchTemplate) -> dict[str, Any]:
    return {
        "LaunchTemplateId": template.template_id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created,
        "CreatedBy": _CREATED_BY,
        "DefaultVersionNumber": template.default,
        "LatestVersionNumber": template.latest.number,
    }


def _describe_version(template: LaunchTemplate, version: TemplateVersion) -> dict[str, Any]:
    described = {
        "LaunchTemplateId": template.template_id,
        "LaunchTemplateName": template.name,
        "VersionNumber": version.number,
        "VersionDescription": version.description,
        "CreateTime": version.created,
        "CreatedBy": _CREATED_BY,
        "DefaultVersion": version.number == template.default,
        "LaunchTemplateData": dict(version.data),
    }
    return {key: value for key, value in described.items() if value is not None}
