"""Installed packages: CodeCarbon and what would reach it, extras, and what hides NVIDIA's module."""

from __future__ import annotations

import configparser
import os
import platform
import shutil
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import greenadapt
from greenadapt import machine
from greenadapt.machine import installed_version

_PACKAGES = ("torch", "timm", "codecarbon", "nvidia-ml-py", "pynvml")
_EXTRAS = {"train": ("accelerate",), "pages": ("altair", "vl_convert", "jinja2")}
_CONFIG, _SECTION, _PREFIX = ".codecarbon.config", "codecarbon", "codecarbon_"
_REACHING = ("force_cpu_power", "force_ram_power")
_OWN_MODULE_UP_TO = 11
_MEND = "Run: pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py"


@dataclass(frozen=True)
class Here:
    """The machine, as far as no driver has to be asked.

    Attributes:
        cpu: The processor's name.
        cores: Cores that this process may use.
        memory_bytes: Size of the main memory.
        os: System and release.
        versions: Of packages; None for one that is not installed.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    os: str
    versions: dict[str, str | None]


def look_around() -> Here:
    """The machine and the versions that matter."""
    return Here(
        cpu=machine.cpu_name(),
        cores=machine.usable_cores(),
        memory_bytes=machine.memory_bytes(),
        os=f"{platform.system()} {platform.release()}",
        versions={
            "greenadapt": greenadapt.__version__,
            "python": platform.python_version(),
            **{name: installed_version(name) for name in _PACKAGES},
        },
    )


@dataclass(frozen=True)
class CodeCarbonFinding:
    """CodeCarbon's state.

    Attributes:
        version: None if it is not installed.
        nvidia_smi: The program by which it believes in boards; None if it is not on PATH.
        configs: Its configuration files that are there.
        reaching: Settings from these or from the environment that reach the figures here.
        ignored: Settings that are there and do not.
        why_not: What is wrong with a configuration.
    """

    version: str | None
    nvidia_smi: str | None
    configs: list[str] = field(default_factory=list)
    reaching: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    why_not: str | None = None


def look_at_codecarbon() -> CodeCarbonFinding:
    """Reads what CodeCarbon would read, without importing it."""
    files = [path for path in dict.fromkeys((Path.home() / _CONFIG, Path.cwd() / _CONFIG)) if path.is_file()]
    settings: dict[str, str] = {}
    why_not = None
    for path in files:
        try:
            settings |= _settings(path)
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            why_not = f"{path} cannot be read, and CodeCarbon fails on it: {str(error).splitlines()[0]}"
    settings |= {
        name.lower().removeprefix(_PREFIX): value
        for name, value in os.environ.items()
        if name.lower().startswith(_PREFIX)
    }
    return CodeCarbonFinding(
        version=installed_version("codecarbon"),
        nvidia_smi=shutil.which("nvidia-smi"),
        configs=[str(path) for path in files],
        reaching={name: settings[name] for name in _REACHING if name in settings},
        ignored=sorted(set(settings) - set(_REACHING)),
        why_not=why_not,
    )


def _settings(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string(path.read_text(encoding="utf-8"))
    return dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}


def extras() -> dict[str, bool]:
    """Whether each extra of greenadapt is installed."""
    return {
        extra: all(find_spec(module) is not None for module in modules) for extra, modules in _EXTRAS.items()
    }


def shadowing() -> list[str]:
    """Whether a package hides NVIDIA's module `pynvml`: by its version, and by what the module has."""
    version = installed_version("pynvml")
    if version is not None and int(version.partition(".")[0]) <= _OWN_MODULE_UP_TO:
        return [
            f"The package pynvml {version} brings a module of its own that hides NVIDIA's.\n"
            f"greenadapt needs the module that nvidia-ml-py brings.\n{_MEND}"
        ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynvml 13 warns of itself
            import pynvml
    except ImportError:
        return [
            "NVIDIA's module pynvml is not installed.\nWithout it no board can be measured.\n"
            "Run: pip install nvidia-ml-py"
        ]
    if hasattr(pynvml, "_nvmlGetFunctionPointer"):
        return []
    return [
        f"The module pynvml in {pynvml.__file__} is not NVIDIA's.\n"
        f"It lacks what every version of nvidia-ml-py has.\n{_MEND}"
    ]
