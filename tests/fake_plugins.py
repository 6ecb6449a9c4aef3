"""Plugins for the loader's tests: made on the spot, or lying on the disk like an installed distribution."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

from greenadapt import hookimpl, plugins
from greenadapt.errors import PluginError
from greenadapt.interfaces import Provider

ROOT = Path(__file__).parents[1]
REAL = {entry.name for entry in entry_points(group="greenadapt")}
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution on the path: metadata, entry points and a module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(
        distribution: str, source: str, name: str = "", module: str = "", version: str = "1.0"
    ) -> None:
        name = name or distribution.removeprefix("greenadapt-")
        module = module or distribution.replace("-", "_")
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[greenadapt]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(source)

    yield install
    for module in set(sys.modules) - before:
        if module.startswith("greenadapt_"):
            del sys.modules[module]


def provider(name: str, hook: str = "greenadapt_adapters") -> str:
    """Source of a plugin that offers one thing."""
    return (
        "from greenadapt import hookimpl\n"
        "from greenadapt.interfaces import Provider\n"
        f"@hookimpl\ndef {hook}():\n"
        f"    return [Provider({name!r}, 'a test', 'json:dumps')]\n"
    )


def installed(selection: str | None = None) -> plugins.Registry:
    """What a test installed, without the built-ins; its records leave out what is installed for real."""
    registry = plugins.load(builtins=False, selection=selection)
    registry.plugins = [record for record in registry.plugins if record.name not in REAL]
    return registry


def only_problem(registry: plugins.Registry) -> PluginError:
    assert len(registry.problems) == 1, [str(problem) for problem in registry.problems]
    assert all((registry.problems[0].happened, registry.problems[0].seen, registry.problems[0].todo))
    return registry.problems[0]


def plugin(**functions: object) -> ModuleType:
    module = ModuleType("made")
    vars(module).update(functions)
    return module


@hookimpl
def offers_x() -> list[Provider]:
    return [Provider("x", "a test", "json:dumps")]


def run(script: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    path = ":".join(map(str, (ROOT, *paths, *sys.path)))
    return subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
