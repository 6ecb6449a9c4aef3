"""What the command line imports, and how soon it answers."""

import json
import resource

import pytest

from greenadapt.cli.group import SHIPPED

HEAVY = ("torch", "timm", "scipy", "altair", "codecarbon", "pynvml", "numpy", "pandas", "accelerate")
_CALL = """
import json, sys
sys.argv = {arguments!r}
from greenadapt.cli import main
try:
    main()
except SystemExit as exit:
    print(json.dumps([exit.code, [name for name in {heavy!r} if name in sys.modules]]), file=sys.stderr)
"""


def _imported(python, *arguments):
    done = python(_CALL.format(arguments=["greenadapt", *arguments], heavy=HEAVY))
    code, heavy = json.loads(done.stderr.strip().splitlines()[-1])
    assert code == 0, done.stderr
    return heavy


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("plugins", "list"),
        ("meters", "list", "--json"),
        ("adapters", "list"),
        *((command, "--help") for command in SHIPPED),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_to_answer(python, arguments):
    assert _imported(python, *arguments) == []


def test_show_and_check_import_no_torch(python, profiles):
    for command in ("show", "check"):
        assert "torch" not in _imported(python, command, str(profiles / "base.json"))


def test_compare_imports_neither_torch_nor_altair(python, profiles):
    heavy = _imported(python, "compare", str(profiles / "base.json"), str(profiles / "thin.json"))
    assert not {"torch", "timm", "altair", "codecarbon"} & set(heavy)


@pytest.mark.parametrize(("arguments", "seconds"), [(("--help",), 0.5), (("compare", "base", "thin"), 1.5)])
def test_answers_soon(python, profiles, arguments, seconds):
    """In processor time: what it takes on a machine with nothing else to do; the best of three."""
    files = [str(profiles / f"{each}.json") if each in ("base", "thin") else each for each in arguments]
    program = f"import sys; sys.argv = {['greenadapt', *files]!r}; from greenadapt.cli import main; main()"
    taken = []
    for _ in range(3):
        before = _children_seconds()
        assert python(program).returncode == 0
        taken.append(_children_seconds() - before)
    assert min(taken) < seconds


def _children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
