"""How long each function takes to begin: its import, with its clients, and its first call of AWS.

In the layer that `make build` has made, in the runtime's Python 3.13; where it has not, in this Python, with the
packages of the development environment. The first call goes through all of botocore (the rules of endpoints, the
signature, the reading of the answer) and is answered in the process; it opens no connection.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rehearsal.engine.charges import WHOLE_PROCESSOR
from rehearsal.engine.project import PROJECT
from tools.build import find_runtime_python

REPEATS = 5
IMPORT_GOAL, CALL_GOAL = 300, 30
"""Milliseconds of processor time: of an import with clients, and of the first call after it."""
MEMORIES = (256, 512)
"""Megabytes. Of a whole processor, which a function has at 1,769, it has as large a share as of these:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""
BUILT = PROJECT / ".aws-sam" / "build" / "DrydockLayer"

_PACKAGES = (
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
    *("aws_lambda_powertools", "typing_extensions"),
)
_MEASURE = """
import json, time
clock, processor = time.perf_counter(), time.process_time()
import app
imported = time.perf_counter() - clock, time.process_time() - processor
from botocore.awsrequest import AWSResponse
from drydock.aws.calls import client
from drydock.aws.clients import CLIENTS
import os
class Body:
    def stream(self):
        yield body
calls = {
    "dynamodb": ("get_item", {"TableName": "t", "Key": {"pk": {"S": "a"}}}, b"{}"),
    "ec2": ("describe_instances", {}, b"<DescribeInstancesResponse/>"),
    "ssm": ("get_parameter", {"Name": "a"}, b"{}"),
}
services = CLIENTS[os.environ["AWS_LAMBDA_FUNCTION_NAME"].rpartition("-")[2]]
service = next(name for name in calls if name in services)
name, parameters, body = calls[service]
made = client(service)
made.meta.events.register("before-send", lambda request, **_: AWSResponse(request.url, 200, {}, Body()))
processor = time.process_time()
getattr(made, name)(**parameters)
print(json.dumps([*imported, time.process_time() - processor]))
"""


@dataclass(frozen=True)
class ColdStart:
    """How one function begins, in milliseconds: the least of several processes, to which other work only adds."""

    function: str
    import_clock: float
    import_processor: float
    call_processor: float

    def seconds_at(self, memory: int) -> float:
        """Return how long import and first call take with the share of a processor that comes with a memory."""
        return (self.import_processor + self.call_processor) / 1000 / min(1.0, memory / WHOLE_PROCESSOR)


def measure_cold_starts() -> list[ColdStart]:
    """Return how each function begins, each time in a process of its own."""
    functions = sorted(path.parent for path in (PROJECT / "functions").glob("*/app.py"))
    runtime = find_runtime()
    if runtime is not None:
        return [_measure(function, runtime, (str(BUILT / "python"),)) for function in functions]
    with tempfile.TemporaryDirectory() as folder:
        for package in _PACKAGES:
            origin = _locate(package)
            (Path(folder) / origin.name).symlink_to(origin)
        paths = (str(PROJECT / "layers" / "drydock"), folder)
        # The first import of all writes byte code, which the built layer brings.
        _begin(functions[0], sys.executable, paths)
        return [_measure(function, sys.executable, paths) for function in functions]


@cache
def find_runtime() -> str | None:
    """Return the Python 3.13 that the built layer is for, or None when either is not there."""
    python = find_runtime_python() if (BUILT / "python").is_dir() else None
    return None if python is None else str(python)


def _measure(function: Path, python: str, packages: Sequence[str]) -> ColdStart:
    begun = [_begin(function, python, packages) for _ in range(REPEATS)]
    return ColdStart(function.name, *(1000 * min(times) for times in zip(*begun, strict=True)))


def _begin(function: Path, python: str, packages: Sequence[str]) -> list[float]:
    """Return the seconds of an import by the clock, of its processor time, and of the first call's."""
    paths = (str(function), *packages)
    environment = {
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_LAMBDA_FUNCTION_NAME": f"drydock-{function.name}",
        "AWS_REGION": "ap-northeast-1",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "POWERTOOLS_SERVICE_NAME": "drydock",
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    # Without the site packages of the development environment, which botocore looks for more in.
    command = [python, "-SsP", "-c", _MEASURE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


def _locate(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def measure_layer() -> int | None:
    """Return the bytes of the built layer, or None when it has not been built."""
    if not BUILT.is_dir():
        return None
    return sum(file.stat().st_size for file in BUILT.rglob("*") if file.is_file())


def describe_machine() -> str:
    """Name the Python that functions began in, and the processor at hand."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(": ")[2] if names else processor
    python = "Python 3.13 and the built layer" if find_runtime() else f"Python {platform.python_version()}"
    return f"{python}, {processor}"
