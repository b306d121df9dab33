"""The Regions that the template is for: all of three partitions, also those in which Lambda has no function URLs."""

from __future__ import annotations

import json
from typing import Any

import boto3
import yaml
from cfnlint.api import ManualArgs, lint
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.rules.project import ROOT, TEMPLATE, resources, template

URL = "AWS::Lambda::Url"
PLAIN_TYPES = {
    "AWS::Serverless::Function": ("AWS::Lambda::Function", "AWS::Lambda::EventInvokeConfig", "AWS::Events::Rule"),
    "AWS::Serverless::LayerVersion": ("AWS::Lambda::LayerVersion",),
    "AWS::Serverless::StateMachine": ("AWS::StepFunctions::StateMachine",),
}
"""What SAM makes of its own types."""


def _regions() -> dict[str, dict[str, bool]]:
    """Whether there are function URLs, by partition and Region."""
    found: dict[str, dict[str, bool]] = yaml.safe_load((ROOT / "regions.yaml").read_text())
    return found


def _all_regions() -> dict[str, bool]:
    return {region: has_url for regions in _regions().values() for region, has_url in regions.items()}


def _without_urls() -> set[str]:
    return {region for region, has_url in _all_regions().items() if not has_url}


def _types() -> set[str]:
    written = {str(body["Type"]) for body in template()["Resources"].values()}
    return {plain for kind in written for plain in PLAIN_TYPES.get(kind, (kind,))}


def test_the_template_is_for_all_regions_of_its_partitions() -> None:
    for partition, regions in _regions().items():
        assert set(boto3.Session().get_available_regions("stepfunctions", partition)) <= set(regions), partition


def test_every_type_of_the_template_exists_in_every_region_but_function_urls() -> None:
    for region, has_url in _all_regions().items():
        missing = _types() - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region=region))
        assert missing <= {URL} and not (missing and has_url), region


def test_the_template_knows_the_regions_without_function_urls() -> None:
    conditions = template()["Conditions"]
    named = [
        equals["Fn::Equals"][1]
        for condition in ("LacksUrlsHere", "LacksUrlsThere")
        for equals in conditions[condition]["Fn::Or"]
    ]
    (assertion,) = template()["Rules"]["LinksNeedFunctionUrls"]["Assertions"]
    refused = assertion["Assert"]["Fn::Not"][0]["Fn::Contains"][0]
    assert set(named) == set(refused) == _without_urls()


def test_all_that_hangs_on_the_function_url_is_under_its_condition_or_that_of_links() -> None:
    conditioned = {name for name, body in template()["Resources"].items() if body.get("Condition") == "HasUrl"}
    assert conditioned == set(resources(URL))
    assert template()["Outputs"]["DecideUrl"]["Condition"] == "HasUrl"


def _schemas(region: str) -> str:
    """The schemas of the template's types in a Region, as one text: linting goes by nothing else of a Region."""
    known = set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region=region))
    found: dict[str, Any] = {
        kind: PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema for kind in sorted(_types() & known)
    }
    return json.dumps(found, sort_keys=True)


def test_cfn_lint_finds_nothing_in_any_region() -> None:
    """One Region of each set that linting cannot tell apart; all would take cfn-lint minutes for the same answer."""
    alike = {(_schemas(region), has_url): region for region, has_url in _all_regions().items()}
    chosen = sorted({*alike.values(), *(next(iter(regions)) for regions in _regions().values())})
    assert [str(match) for match in lint(TEMPLATE.read_text(), config=ManualArgs(regions=chosen))] == []
