"""The scripts of the stack's SSM documents, as the agent gets them: from the template, with parameters filled in."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from rehearsal.world.ssm_documents import check_parameters, read_account_document
from tests.rules.project import plain, resources

Platform = Literal["Linux", "Windows"]


def documents() -> dict[str, dict[str, Any]]:
    """The contents of the stack's SSM documents, by name, in a stack that is called drydock."""
    found = {
        plain(body["Properties"]["Name"]): body["Properties"]["Content"]
        for body in resources("AWS::SSM::Document").values()
    }
    assert found
    return found


def platforms(content: dict[str, Any]) -> list[Platform]:
    return [step["precondition"]["StringEquals"][1] for step in content["mainSteps"]]


def script(document: str, platform: Platform, **parameters: str) -> str:
    """What the agent writes into a file and runs. Raises ValueError for a parameter that the document refuses."""
    content = documents()[document]
    values = check_parameters(
        read_account_document(document, content, "123456789012", "Command"),
        {name: [value] for name, value in parameters.items()},
    )
    (step,) = [step for step in content["mainSteps"] if step["precondition"]["StringEquals"][1] == platform]
    text = "\n".join(step["inputs"]["runCommand"]) + "\n"
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda match: values[match[1]], text)


def require(program: str, needed: str) -> Path:
    """Where a program is. A missing one skips the test, or fails it where the environment says that it is needed."""
    found = shutil.which(program)
    if found is None:
        assert not os.environ.get(needed), f"{needed} is set, and there is no {program}"
        pytest.skip(f"there is no {program} here")
    return Path(found)
