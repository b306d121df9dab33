"""A stack in a Region in which Lambda has no function URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.engine.deployment import DeploymentError
from rehearsal.engine.project import PROJECT
from rehearsal.play.parameters import write_parameter
from rehearsal.play.people import arn_of
from tests.scenarios.run.scenario import QUICKLY, run_scenario


def template_without_url(folder: Path) -> Path:
    """The template, had Lambda no function URLs in the Region of the rehearsal."""
    copy = folder / "template.yaml"
    copy.write_text((PROJECT / "template.yaml").read_text().replace("ap-east-2", "ap-northeast-1"))
    return copy


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return template_without_url(tmp_path)


def test_the_stack_deploys_and_approvers_decide_with_the_aws_cli_alone(template: Path) -> None:
    with run_scenario(template=template) as scene:
        assert "DecideUrl" not in scene.stack.outputs
        scene.machines("web", 1)
        scene.approvers("anna")
        execution = scene.start_run("web", {**QUICKLY, "approval": {"required": True}})
        scene.run_until(execution, "Ask For Approval", seconds=30)
        run = scene.account.execution(execution).name
        asked = scene.account.messages[-1].body
        assert "https://" not in asked.partition("What to do next")[2].partition("Where to look")[0]
        write_parameter(
            scene.account,
            f"/drydock/decisions/{run}",
            f"approve {scene.run_item(run)['planHash']}",
            arn_of("anna"),
        )
        assert scene.view(execution, settle=True).status == "SUCCEEDED"


def test_links_are_refused_before_anything_is_made(template: Path) -> None:
    with (
        pytest.raises(DeploymentError, match="LinksNeedFunctionUrls"),
        run_scenario(template=template, parameters={"ApprovalAuth": "LINK"}),
    ):
        pass
