"""Which of the processor's counters are added up: nothing twice, nothing left out."""

from __future__ import annotations

import pytest

from tests.meters.powercap import domain, names


def test_nothing_is_counted_twice(laptop, opened):
    assert names(laptop) == ["package-0", "dram"]
    meter = opened(laptop)
    assert meter.info.scope == "cpu package and memory"
    assert meter.info.kind == "measured"
    assert meter.read() == pytest.approx(0.130)


def test_psys_counts_only_alone(tmp_path, opened):
    domain(tmp_path, "intel-rapl:0", "psys", 5_000_000)
    assert names(tmp_path) == ["psys"]
    assert opened(tmp_path).info.scope == "machine"


def test_the_other_road_is_taken_where_it_is_the_only_one(tmp_path, opened):
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 500_000)
    domain(tmp_path, "intel-rapl-mmio:0:0", "dram", 250_000)
    domain(tmp_path, "intel-rapl:0", "psys", 900_000)
    assert names(tmp_path) == ["package-0", "dram"]
    assert opened(tmp_path).read() == pytest.approx(0.75)


def test_two_sockets_with_memory_each(tmp_path, opened):
    for socket in (0, 1):
        domain(tmp_path, f"intel-rapl:{socket}", f"package-{socket}", 1000 + socket)
        domain(tmp_path, f"intel-rapl:{socket}:0", "core", 7)
        domain(tmp_path, f"intel-rapl:{socket}:1", "dram", 100 + socket)
    assert names(tmp_path) == ["package-0", "package-1", "dram", "dram"]
    assert opened(tmp_path).read() == pytest.approx((1000 + 1001 + 100 + 101) / 1e6)


def test_a_package_that_is_split_into_dies_is_counted_by_its_dies(tmp_path, opened):
    domain(tmp_path, "intel-rapl:0", "package-0", 3)
    domain(tmp_path, "intel-rapl:1", "package-0-die-0", 1)
    domain(tmp_path, "intel-rapl:2", "package-0-die-1", 2)
    domain(tmp_path, "intel-rapl:3", "package-1", 9)
    assert names(tmp_path) == ["package-0-die-0", "package-0-die-1", "package-1"]
    assert opened(tmp_path).info.scope == "cpu package"


@pytest.mark.parametrize(
    ("of_dies", "of_socket", "memory"), [(True, True, 2), (True, False, 2), (False, True, 1)]
)
def test_the_memory_of_a_socket_in_dies_is_counted_once(tmp_path, of_dies, of_socket, memory, opened):
    domain(tmp_path, "intel-rapl:0", "package-0", 300)
    domain(tmp_path, "intel-rapl:1", "package-0-die-0", 100)
    domain(tmp_path, "intel-rapl:2", "package-0-die-1", 200)
    if of_socket:
        domain(tmp_path, "intel-rapl:0:0", "dram", 30)
    if of_dies:
        domain(tmp_path, "intel-rapl:1:0", "dram", 10)
        domain(tmp_path, "intel-rapl:2:0", "dram", 20)
    assert names(tmp_path) == ["package-0-die-0", "package-0-die-1", *["dram"] * memory]
    assert opened(tmp_path).read() == pytest.approx(330 / 1e6)


def test_dies_that_show_one_counter_are_one(tmp_path, opened):
    """As on some AMD processors: the counter of the socket appears once per die."""
    for die in range(4):
        domain(tmp_path, f"intel-rapl:{die}", f"package-0-die-{die}", 777_000)
        domain(tmp_path, f"intel-rapl:{die}:0", "core", 5)
        domain(tmp_path, f"intel-rapl:{die}:1", "dram", 1000)
    assert names(tmp_path) == ["package-0-die-0", "dram"]
    meter = opened(tmp_path)
    assert meter.read() == pytest.approx(0.778)
    assert "shown again as package-0-die-1, package-0-die-2, package-0-die-3" in meter.info.note


def test_amd_names_are_known(tmp_path, opened):
    domain(tmp_path, "intel-rapl:0", "package-0", 65_000_000, span=65_532_610_987)
    domain(tmp_path, "intel-rapl:0:0", "core", 20_000_000, span=65_532_610_987)
    assert names(tmp_path) == ["package-0"]
    assert opened(tmp_path).read() == pytest.approx(65.0)


def test_counters_at_zero_are_not_taken_for_one(tmp_path):
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    domain(tmp_path, "intel-rapl:1", "package-1", 0)
    assert names(tmp_path) == ["package-0", "package-1"]
