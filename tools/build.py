"""Builds what is deployed with `sam build`, and with --check proves that the built handlers import.

The Lambda runtime is Python 3.13, and SAM builds only with a python3.13 that really runs. With --check a
machine without one skips the build, and says so.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".aws-sam" / "build"
RUNTIME = "python3.13"


IMPORT_HANDLERS = """
import importlib.util, sys
for function in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("app", function + "/app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.handler), function + "/app.py has no handler"
"""


def find_runtime_python() -> Path | None:
    """Return a python3.13 that runs and has pip, or None. A pyenv shim without that version does not run."""
    for candidate in _runtime_candidates():
        if candidate.exists() and _runs(candidate, "--version") and _runs(candidate, "-m", "pip", "--version"):
            return candidate
    return None


def _runtime_candidates() -> Iterator[Path]:
    yield Path(sys.prefix) / "bin" / RUNTIME
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    yield from (folder / RUNTIME for folder in folders)
    pyenvs = [Path.home() / ".pyenv", *(folder.parent for folder in folders if folder.name == "shims")]
    for pyenv in pyenvs:
        yield from sorted(pyenv.glob(f"versions/3.13*/bin/{RUNTIME}"), reverse=True)
    yield from Path.home().glob(f".local/share/uv/python/cpython-3.13*/bin/{RUNTIME}")


def _runs(*command: Path | str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build(python: Path, quietly: bool) -> None:
    """Run `sam build` with this python3.13. Raises CalledProcessError when it fails.

    `quietly` keeps its output back, unless it fails.
    """
    environment = os.environ | {
        "PATH": os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "SAM_CLI_TELEMETRY": "0",
    }
    output = subprocess.PIPE if quietly else None
    done = subprocess.run(["sam", "build"], cwd=ROOT, env=environment, stdout=output, stderr=output, check=False)
    if done.returncode:
        sys.stderr.buffer.write((done.stdout or b"") + (done.stderr or b""))
    done.check_returncode()
    # SAM copies the byte code that a rehearsal left beside the sources: each build would be another layer.
    for cache in list(BUILT.rglob("__pycache__")):
        shutil.rmtree(cache)
    for data in BUILT.glob("*/python/botocore/data"):
        drop_services(data, ROOT / "layers" / "drydock" / "drydock")
    granted = find_granted((ROOT / "template.yaml").read_text())
    for model in BUILT.glob("*/python/botocore/data/ec2/*/service-2.json.gz"):
        trim_model(model, granted)
    for folder in sorted(BUILT.iterdir()):
        if folder.is_dir():
            compile_sources(python, folder)


def find_granted(template: str) -> set[str]:
    """Return the operations of EC2 that policies of the template grant, and some names of conditions."""
    return set(re.findall(r"\bec2:([A-Z]\w+)", template))


def drop_services(data: Path, sources: Path) -> None:
    """Delete what botocore knows of services that no text of the sources names.

    There are some 400, and it lists and looks into their folders before it makes the first client.
    """
    named = {text for path in sources.rglob("*.py") for text in re.findall(r"[\"']([a-z0-9-]+)[\"']", path.read_text())}
    for service in data.iterdir():
        if service.is_dir() and service.name not in named:
            shutil.rmtree(service)


def trim_model(path: Path, wanted: Collection[str]) -> None:
    """Leave in botocore's model of a service the operations that are wanted, and their shapes.

    EC2's has some 750, and to read them takes a fifth of a cold start.
    """
    model = json.loads(gzip.decompress(path.read_bytes()))
    model["operations"] = {name: one for name, one in model["operations"].items() if name in wanted}
    used: set[str] = set()
    left: list[Any] = [model["operations"]]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            name = part.get("shape")
            if isinstance(name, str) and name not in used:
                used.add(name)
                left.append(model["shapes"][name])
            left += part.values()
        elif isinstance(part, list):
            left += part
    model["shapes"] = {name: shape for name, shape in model["shapes"].items() if name in used}
    path.write_bytes(gzip.compress(json.dumps(model, separators=(",", ":")).encode(), mtime=0))


def compile_sources(python: Path, folder: Path) -> None:
    """Put byte code of this python3.13 beside the sources of a function or a layer; raises CalledProcessError.

    Lambda can write none beside them, so every cold start would compile all that it imports. It is the same for the
    same sources, and trusted without a look at them. A Python that cannot use it compiles the sources.
    """
    there = "/opt" if (folder / "python").is_dir() else "/var/task"
    paths = ("-s", folder, "-p", there, folder)
    subprocess.run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *paths], check=True)


def check(python: Path) -> str:
    """Import every built handler as Lambda would, and return one line about what was found.

    Raises CalledProcessError when a handler does not import, ValueError when a function's package holds
    more than its own folder.
    """
    resources = yaml_parse((BUILT / "template.yaml").read_text())["Resources"]
    functions = [name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::Function"]
    layers = [name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::LayerVersion"]
    if not functions or not layers:
        raise ValueError("the built template holds no function or no layer")
    source = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    for name in functions:
        _check_contents(name, ROOT / source[name]["Properties"]["CodeUri"])
    environment = {
        **_variables(source),
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "PATH": os.environ.get("PATH", ""),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Nothing of the runtime's: the layer brings boto3.
        "PYTHONPATH": os.pathsep.join(str(BUILT / layer / "python") for layer in layers),
    }
    folders = [str(BUILT / name) for name in functions]
    subprocess.run([python, "-sP", "-c", IMPORT_HANDLERS, *folders], env=environment, check=True)
    size = sum(file.stat().st_size for layer in layers for file in (BUILT / layer).rglob("*") if file.is_file())
    return f"build: {len(functions)} handlers import under Python 3.13; the layer has {size / 2**20:.1f} MiB."


def _check_contents(name: str, code: Path) -> None:
    def list_files(folder: Path) -> set[str]:
        files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
        return {str(file) for file in files if "__pycache__" not in file.parts}

    extra = list_files(BUILT / name) - list_files(code)
    if extra:
        raise ValueError(f"the package of {name} holds more than {code.name}/: {', '.join(sorted(extra)[:5])}")


def _variables(resources: dict[str, Any]) -> dict[str, str]:
    """Every environment variable that the template gives to any function, with a stand-in as value."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    places = [
        template.get("Globals", {}).get("Function", {}),
        *(r.get("Properties", {}) for r in resources.values()),
    ]
    names = {name for place in places for name in place.get("Environment", {}).get("Variables", {})}
    literal = {
        name: value
        for place in places
        for name, value in place.get("Environment", {}).get("Variables", {}).items()
        if isinstance(value, str | int | bool)
    }
    return {name: str(literal.get(name, "stand-in")) for name in sorted(names)}


def main() -> int:
    """Build, or with --check build and import, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="import every built handler; skip without python3.13")
    arguments = parser.parse_args()
    python = find_runtime_python()
    if python is None:
        print(f"build: no {RUNTIME} with pip was found on this machine" + ("; skipped." if arguments.check else "."))
        return 0 if arguments.check else 1
    try:
        build(python, quietly=arguments.check)
        if arguments.check:
            print(check(python))
    except (subprocess.CalledProcessError, ValueError, yaml.YAMLError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if not shutil.which("sam", path=str(Path(sys.executable).parent)):
        sys.exit("build: run this with the project's own .venv (make build).")
    sys.exit(main())
