"""The floors of the house around torch: only torch_bridge imports it, and all else runs where it is not installed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
WITHOUT = ["linear", "bounds", "paper_checks", "figures"]


def imported(source: str) -> set[str]:
    """First words of everything a source file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found


def test_the_scan_sees_imports_at_any_depth() -> None:
    assert imported("def f():\n    import torch.nn as nn") == {"torch"}
    assert imported("from torch_bridge import train") == {"torch_bridge"}


@pytest.mark.parametrize("floor", WITHOUT)
def test_torch_is_imported_in_torch_bridge_alone(floor) -> None:
    files = sorted((HOUSE / floor).rglob("*.py"))
    assert files
    assert not [str(path) for path in files if "torch" in imported(path.read_text())]


def test_every_exported_name_is_found_at_its_home() -> None:
    import torch_bridge

    homes = [name for names in torch_bridge._HOMES.values() for name in names]
    assert sorted(homes) == sorted(torch_bridge.__all__)
    for name in torch_bridge.__all__:
        assert getattr(torch_bridge, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        torch_bridge.nothing  # noqa: B018


def test_torch_bridge_stands_below_the_court_and_the_gallery() -> None:
    for path in sorted((HOUSE / "torch_bridge").rglob("*.py")):
        assert not imported(path.read_text()) & {"paper_checks", "figures", "matplotlib"}, path


def test_everything_else_runs_without_torch_and_the_bridge_says_what_is_missing() -> None:
    program = """
import importlib, pkgutil, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")

sys.meta_path.insert(0, NotInstalled())
for name in ("linear", "bounds", "paper_checks"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for name in ("statistics", "privacy_loss", "difficulty", "barriers", "unlearning_steps", "membership", "audit"):
    importlib.import_module("torch_bridge." + name)
try:
    from torch_bridge import train
except ImportError as error:
    print(error)
from paper_checks import cli
sys.exit(cli.main(["deep", "audit"]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert "pip install 'unlearncheck[torch]'" in done.stdout, done.stderr
    # A command asks for it instead of showing a traceback.
    assert done.returncode == 2
    assert done.stderr.startswith("error: `unlearncheck deep` needs torch")
