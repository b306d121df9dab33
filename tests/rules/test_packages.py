"""The layer's packages: which may lean on which."""

import ast
from pathlib import Path

import pytest

LAYER = Path(__file__).parents[2] / "layers" / "drydock" / "drydock"

# A package may import from the packages named here, from its own modules and from the modules at the
# root. Lowest first: nothing below leans on anything above.
LEANS_ON = {
    "": set(),
    "aws": set(),
    "records": {"aws"},
    "request": {"records"},
    "telling": {"aws", "records"},
    "machine": {"aws", "records", "request", "telling"},
    "plan": {"aws", "records", "request", "machine"},
    "approval": {"aws", "records", "request", "telling", "plan"},
    "run": {"aws", "records", "request", "telling", "plan", "approval"},
    "group": {"aws", "records", "request", "telling", "machine", "plan", "run"},
    "recovery": {"aws", "records", "request", "telling", "machine", "plan", "run", "group"},
}

MODULES = sorted(path.relative_to(LAYER).as_posix() for path in LAYER.rglob("*.py") if path.stem != "__init__")


def package_of(dotted: str) -> str:
    """The package of `drydock.machine.images`: machine; of `drydock.errors`: nothing."""
    parts = dotted.split(".")[1:]
    return parts[0] if parts and (LAYER / parts[0]).is_dir() else ""


def imported(module: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((LAYER / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_a_module_leans_only_on_the_packages_below_its_own(module: str) -> None:
    own = module.split("/")[0] if "/" in module else ""
    leans = {package_of(name) for name in imported(module) if name.startswith("drydock.")}
    assert leans - {own, ""} <= LEANS_ON[own]


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("aws/")])
def test_only_the_aws_package_calls_aws(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in {"boto3", "botocore"}}
