from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.rapl import RaplFactory, RaplMeter, find_domains


def domain(tree: Path, folder: str, name: str, microjoules: int, span: int = 1_000_000) -> Path:
    path = tree / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{span}\n")
    return path


def names(tree: Path) -> list[str]:
    return [found.name for found in find_domains(tree)]


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    domain(tmp_path, "intel-rapl:0", "package-0", 100_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 60_000)
    domain(tmp_path, "intel-rapl:0:1", "dram", 30_000)
    domain(tmp_path, "intel-rapl:1", "psys", 900_000)
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 100_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_nothing_is_counted_twice(laptop):
    assert names(laptop) == ["package-0", "dram"]
    meter = RaplMeter(laptop)
    assert meter.info.scope == "cpu package and memory"
    assert meter.info.kind == "measured"
    assert meter.read() == pytest.approx(0.130)


def test_psys_counts_only_alone(tmp_path):
    domain(tmp_path, "intel-rapl:0", "psys", 5_000_000)
    assert names(tmp_path) == ["psys"]
    assert RaplMeter(tmp_path).info.scope == "machine"


def test_a_package_that_is_split_into_dies_is_counted_by_its_dies(tmp_path):
    domain(tmp_path, "intel-rapl:0", "package-0", 3)
    domain(tmp_path, "intel-rapl:1", "package-0-die-0", 1)
    domain(tmp_path, "intel-rapl:2", "package-0-die-1", 2)
    domain(tmp_path, "intel-rapl:3", "package-1", 9)
    assert names(tmp_path) == ["package-0-die-0", "package-0-die-1", "package-1"]
    assert RaplMeter(tmp_path).info.scope == "cpu package"


def test_a_counter_that_starts_again_goes_on(laptop):
    meter = RaplMeter(laptop)
    before = meter.read()
    counter = laptop / "intel-rapl:0" / "energy_uj"
    counter.write_text("950000")
    assert meter.read() - before == pytest.approx(0.850)
    counter.write_text("50000")
    assert meter.read() - before == pytest.approx(0.950)
    counter.write_text("10000")
    assert meter.read() - before == pytest.approx(1.910)


def test_a_counter_that_vanishes_is_an_error(laptop):
    meter = RaplMeter(laptop)
    (laptop / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(MeasurementError, match="any more"):
        meter.read()


def test_a_closed_meter_is_an_error(laptop):
    meter = RaplMeter(laptop)
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()


def test_a_machine_without_counters_says_so(tmp_path):
    factory = RaplFactory(tmp_path)
    assert "virtual machines" in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match="virtual machines"):
        factory.open("cpu")


def test_denied_reading_gives_the_command(laptop, monkeypatch):
    counter = laptop / "intel-rapl:0" / "energy_uj"
    if os.geteuid() == 0:
        counter.unlink()
        counter.mkdir()  # root may read any file, but nobody may read a folder
    else:
        counter.chmod(0)
    reason = RaplFactory(laptop).why_not("cpu") or ""
    assert f"sudo chmod a+r '{counter}'" in reason
    assert "dram" not in reason
    with pytest.raises(MeasurementError, match="sudo chmod"):
        RaplFactory(laptop).open("cpu")


def test_a_board_is_not_its_business(laptop):
    assert "not cuda:0" in (RaplFactory(laptop).why_not("cuda:0") or "")
    with pytest.raises(MeasurementError, match="nvml"):
        RaplFactory(laptop).open("cuda:0")


def test_it_works_where_it_can(laptop):
    factory = RaplFactory(laptop)
    assert factory.why_not("cpu") is None
    assert factory.open("cpu").info.name == "rapl"
