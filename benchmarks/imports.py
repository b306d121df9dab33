"""How long each function's handler takes to import, in a Python that has what Lambda's has and the layer's packages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from rehearsal.engine.project import PROJECT

REPEATS = 5
GOAL = 400
"""Milliseconds."""

_PACKAGES = (
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
    *("aws_lambda_powertools", "typing_extensions"),
)
_MEASURE = """
import time
start = time.process_time()
import app
print(time.process_time() - start)
"""


def measure_imports() -> dict[str, float]:
    """Return the median milliseconds of processor time by function, each import in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for package in _PACKAGES:
            origin = _locate(package)
            (Path(folder) / origin.name).symlink_to(origin)
        functions = sorted(path.parent for path in (PROJECT / "functions").glob("*/app.py"))
        # The first import of all writes byte code, which Lambda's packages bring.
        return {
            function.name: 1000 * median([_import(function, folder) for _ in range(REPEATS + 1)][1:])
            for function in functions
        }


def _import(function: Path, packages: str) -> float:
    """Return the seconds of processor time that importing a handler takes."""
    paths = (str(function), str(PROJECT / "layers" / "drydock"), packages)
    environment = {
        "AWS_REGION": "ap-northeast-1",
        "POWERTOOLS_SERVICE_NAME": "drydock",
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    # Without the site packages of the development environment, which botocore looks for more in.
    command = [sys.executable, "-SsP", "-c", _MEASURE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _locate(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def measure_layer() -> int | None:
    """Return the bytes of the built layer, or None when it has not been built."""
    layer = PROJECT / ".aws-sam" / "build" / "DrydockLayer"
    if not layer.is_dir():
        return None
    return sum(file.stat().st_size for file in layer.rglob("*") if file.is_file())


def describe_machine() -> str:
    """Name the Python and the processor at hand."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(": ")[2] if names else processor
    return f"Python {platform.python_version()}, {processor}"
