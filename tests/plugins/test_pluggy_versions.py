"""The loader's tests again, on the oldest pluggy accepted and on the one that changed its ways."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("minor", ["1.6", "1.7"])
def test_the_loader_on_each_pluggy(minor: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path)]
    got = subprocess.run([*pip, f"pluggy=={minor}.*"], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(f"no registry to get pluggy {minor} from: {got.stderr.strip().splitlines()[-1:]}")
    script = "import pluggy, pytest, sys; print(pluggy.__version__); sys.exit(pytest.main(sys.argv[1:]))"
    tests = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "not every_target",
        "tests/plugins/test_plugins.py",
        "tests/plugins/test_plugin_faults.py",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", script, *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.startswith(f"{minor}."), ran.stdout + ran.stderr
    assert ran.returncode == 0, ran.stdout + ran.stderr
