"""Where the processor's counters can be opened, and what is said where they cannot."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.rapl import RaplFactory, commands
from tests.meters.powercap import domain, moving

NOBODY = 65534


@pytest.fixture
def guarded() -> Iterator[Path]:
    """Counters that only their owner may read, and a user who is not the owner."""
    tree = Path(tempfile.mkdtemp(prefix="greenadapt-powercap-"))
    tree.chmod(0o755)
    for number, name in enumerate(("package-0", "package-1")):
        domain(tree, f"intel-rapl:{number}", name, 100_000 + number)
        (tree / f"intel-rapl:{number}" / "energy_uj").chmod(0o400 if os.geteuid() == 0 else 0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield tree
    if user == 0:
        os.seteuid(0)
    shutil.rmtree(tree)


def test_a_machine_without_counters_says_so(tmp_path):
    factory = RaplFactory(tmp_path)
    assert "virtual machines" in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match="virtual machines"):
        factory.open("cpu")


def test_denied_reading_gives_both_commands(guarded):
    reason = RaplFactory(guarded).why_not("cpu") or ""
    first, second = (guarded / f"intel-rapl:{number}" / "energy_uj" for number in (0, 1))
    assert f"sudo chmod a+r '{first}' '{second}'" in reason
    assert "/etc/udev/rules.d/" in reason
    with pytest.raises(MeasurementError, match="This user may not read"):
        RaplFactory(guarded).open("cpu")


def test_the_command_does_what_it_says(guarded):
    if os.geteuid() != NOBODY:
        pytest.skip("needs root, to grant and to do without")
    files = [guarded / f"intel-rapl:{number}" / "energy_uj" for number in (0, 1)]
    command = commands(files).now.removeprefix("sudo ")
    os.seteuid(0)
    assert os.system(command) == 0
    os.seteuid(NOBODY)
    assert RaplFactory(guarded).why_not("cpu") is None


def test_the_rule_fits_every_counter():
    rule = commands([]).for_good
    assert 'KERNEL=="intel-rapl*:*"' in rule
    assert rule.count("'") == 2  # the shell keeps the rule's own quotes


def test_a_counter_that_is_no_number_is_not_a_matter_of_rights(laptop):
    (laptop / "intel-rapl:0" / "energy_uj").write_text("what\n")
    reason = RaplFactory(laptop).why_not("cpu") or ""
    assert "cannot be read" in reason
    assert "chmod" not in reason


def test_a_board_is_not_its_business(laptop):
    assert "not cuda:0" in (RaplFactory(laptop).why_not("cuda:0") or "")
    with pytest.raises(MeasurementError, match="nvml"):
        RaplFactory(laptop).open("cuda:0")


def test_it_works_where_it_can(laptop):
    factory = RaplFactory(laptop)
    assert factory.why_not("cpu") is None
    with moving(laptop / "intel-rapl:0", laptop / "intel-rapl:0:1"), closing(factory.open("cpu")) as meter:
        assert (meter.info.name, meter.info.scope) == ("rapl", "cpu package and memory")


def test_counters_that_stand_still_cannot_be_opened(laptop):
    with pytest.raises(MeasurementError, match="do not move") as error:
        RaplFactory(laptop).open("cpu")
    assert "package-0 stood still" in error.value.seen


def test_memory_that_stands_still_is_told_and_not_counted(laptop):
    with moving(laptop / "intel-rapl:0"), closing(RaplFactory(laptop).open("cpu")) as meter:
        assert meter.info.scope == "cpu package"
        assert "not moving: dram" in (meter.info.note or "")
