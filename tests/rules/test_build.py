"""What a build makes smaller still has what the functions call."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from rehearsal.engine.permissions import read_table
from tests.rules.project import LAYER, ROOT
from tools.build import drop_services, find_granted, trim_model

MODEL: dict[str, Any] = {
    "metadata": {"serviceId": "EC2"},
    "operations": {
        "StartInstances": {"input": {"shape": "Start"}, "output": {"shape": "Started"}},
        "RunInstances": {"input": {"shape": "Run"}},
    },
    "shapes": {
        "Start": {"type": "structure", "members": {"Ids": {"shape": "Ids"}}},
        "Ids": {"type": "list", "member": {"shape": "Id"}},
        "Id": {"type": "string"},
        "Started": {"type": "structure", "members": {"Within": {"shape": "Started"}}},
        "Run": {"type": "structure", "members": {"shape": {"shape": "Id"}}},
    },
}


def test_what_the_functions_call_is_left(tmp_path: Path) -> None:
    calls = [call.split() for call in read_table()["calls"]]
    used = {service for service, _ in calls}
    for service in (*used, "braket", "workmail"):
        (tmp_path / service).mkdir()
    (tmp_path / "endpoints.json").touch()

    drop_services(tmp_path, LAYER)

    assert {path.name for path in tmp_path.iterdir()} == {*used, "endpoints.json"}
    assert {operation for service, operation in calls if service == "ec2"} <= find_granted(
        (ROOT / "template.yaml").read_text()
    )


def test_a_trimmed_model_has_the_wanted_operations_with_all_that_they_speak_of(tmp_path: Path) -> None:
    path = tmp_path / "service-2.json.gz"
    path.write_bytes(gzip.compress(json.dumps(MODEL).encode()))

    trim_model(path, {"StartInstances", "NoSuchOperation"})

    trimmed = json.loads(gzip.decompress(path.read_bytes()))
    assert list(trimmed["operations"]) == ["StartInstances"]
    assert trimmed["operations"]["StartInstances"] == MODEL["operations"]["StartInstances"]
    assert set(trimmed["shapes"]) == {"Start", "Ids", "Id", "Started"}
    assert trimmed["metadata"] == MODEL["metadata"]
