"""How the command line is called in tests: in this process, or as a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from greenadapt.cli import cli
from tests.factories import profile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs a command in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def python() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a program in a process of its own."""

    def run(program: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A folder with a base, a retrofit and a rival of one run."""
    for made in (
        profile("base"),
        profile("thin", seconds=0.7e-3, adapter="blockdrop", macs=24e6, correct=179),
        profile("small", seconds=0.4e-3, macs=12e6, correct=150),
    ):
        (tmp_path / f"{made.subject.name}.json").write_text(made.to_json())
    return tmp_path
