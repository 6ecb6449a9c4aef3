from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import greenadapt
from greenadapt import units

PACKAGE = Path(greenadapt.__file__).parent
CONVERSIONS = {3600, 3.6e6, 86400, 31_557_600, 31_536_000, 2.77778e-7}
_UNIT = "(NANO|MICRO|MILLI|KILO)?(JOULE|WATT|KWH|GRAM|SECOND|HOUR|DAY|YEAR)S?"
UNITS = re.compile(f"{_UNIT}_PER_{_UNIT}$")


def constants(source: str) -> set[str]:
    """Conversion factors in a module: by value, or by the name that they are given."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in CONVERSIONS:
            found.add(str(node.value))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found |= {name for name in names if UNITS.search(name)}
    return found


def test_units_is_the_only_file_with_conversion_constants():
    elsewhere = {
        str(path.relative_to(PACKAGE)): constants(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if path.name != "units.py"
    }
    assert {path: found for path, found in elsewhere.items() if found} == {}


@pytest.mark.parametrize("line", ["x = y / 3600", "J = 3.6e6", "_NANOSECONDS_PER_SECOND = 1e9"])
def test_a_constant_elsewhere_would_be_noticed(line):
    assert constants(line)


def test_conversions():
    assert units.kwh_from_joules(units.joules_from_kwh(2.5)) == pytest.approx(2.5)
    assert units.joules_from_kwh(1.0) == 1000 * 60 * 60
    assert units.joules_from_millijoules(1.5e3) == units.joules_from_microjoules(1.5e6) == 1.5
    assert units.watts_from_milliwatts(250_000) == 250.0
    assert units.seconds_from_nanoseconds(2e9) == 2.0
    assert units.seconds_from_years(2) == 2 * 365.25 * 24 * 60 * 60
    assert units.carbon_grams(units.joules_from_kwh(2.0), 50.0) == pytest.approx(100.0)
