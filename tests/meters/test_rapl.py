"""The processor's counters, on trees of real files as Linux shows them."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.powercap import find_domains
from greenadapt.meters.rapl import RaplFactory, RaplMeter, commands

NOBODY = 65534
SPAN = 262_143_328_850


def domain(tree: Path, folder: str, name: str, microjoules: int, span: int | None = SPAN) -> Path:
    path = tree / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    if span is not None:
        (path / "max_energy_range_uj").write_text(f"{span}\n")
    return path


def count(folder: Path, microjoules: int) -> None:
    """Lets a counter stand somewhere; at no moment is the file empty."""
    fresh = folder / "fresh"
    fresh.write_text(f"{microjoules}\n")
    fresh.replace(folder / "energy_uj")


def limit(folder: Path, watts: float) -> None:
    (folder / "constraint_0_power_limit_uw").write_text(f"{int(watts * 1e6)}\n")


def names(tree: Path) -> list[str]:
    return [found.name for found in find_domains(tree)]


class Clock:
    """A clock that stands until it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def opened() -> Iterator[Callable[..., RaplMeter]]:
    """Opens meters, and closes them when the test is over."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(closing(RaplMeter(*arguments, look_seconds=0)))


@contextmanager
def moving(*folders: Path) -> Iterator[None]:
    """Lets counters rise while the block runs."""
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.002):
            for folder in folders:
                count(folder, int((folder / "energy_uj").read_text()) + 1000)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    domain(tmp_path, "intel-rapl:0", "package-0", 100_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 60_000)
    domain(tmp_path, "intel-rapl:0:1", "dram", 30_000)
    domain(tmp_path, "intel-rapl:1", "psys", 900_000)
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 100_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


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


def test_a_counter_that_starts_again_goes_on(tmp_path, opened):
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 100_000, span=1_000_000)
    meter = opened(tmp_path, Clock())
    before = meter.read()
    for stands, joules in ((950_000, 0.850), (50_000, 0.950), (10_000, 1.910)):
        count(folder, stands)
        assert meter.read() - before == pytest.approx(joules)


def test_where_the_range_is_not_told_starting_again_is_an_error_once(tmp_path, opened):
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 400_000, span=None)
    meter = opened(tmp_path)
    count(folder, 900_000)
    assert meter.read() == pytest.approx(0.9)
    count(folder, 100_000)
    with pytest.raises(MeasurementError, match="started again"):
        meter.read()
    start = meter.read()
    count(folder, 300_000)
    assert meter.read() - start == pytest.approx(0.2)
    assert meter.read() > 0.9


def test_a_fall_from_beyond_the_range_is_an_error(tmp_path, opened):
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 5_000_000, span=1_000_000)
    meter = opened(tmp_path)
    count(folder, 10)
    with pytest.raises(MeasurementError, match="started again"):
        meter.read()


def test_a_round_that_nobody_saw_is_an_error(tmp_path, opened):
    """262 kJ are gone after 17 minutes at twice 125 W."""
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 1_000, span=SPAN)
    limit(folder, 125)
    clock = Clock()
    meter = opened(tmp_path, clock)
    clock.sleep(1000)
    count(folder, 2_000_000)
    assert meter.read() == pytest.approx(2.0)
    clock.sleep(1100)
    count(folder, 3_000_000)
    with pytest.raises(MeasurementError, match="round unseen") as error:
        meter.read()
    assert "not read for 1100 s" in error.value.seen
    clock.sleep(1000)
    count(folder, 4_000_000)
    assert meter.read() == pytest.approx(4.0)


def test_every_round_is_seen_even_if_nobody_reads(tmp_path, opened):
    """1 J at 2 x 10 W is a round in 50 ms, so that the meter looks every 12 ms by itself."""
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 100_000, span=1_000_000)
    limit(folder, 10)
    meter = opened(tmp_path, Clock())
    before = meter.read()
    for stands in (900_000, 100_000, 900_000, 50_000, 800_000):
        count(folder, stands)
        time.sleep(0.5)
    assert meter.read() - before == pytest.approx(2.7)


def test_what_goes_wrong_between_readings_is_told_at_the_next(tmp_path, opened):
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 100_000, span=1_000_000)
    limit(folder, 10)
    meter = opened(tmp_path, Clock())
    counter = folder / "energy_uj"
    kept = counter.rename(folder / "away")
    time.sleep(0.5)
    kept.rename(counter)
    with pytest.raises(MeasurementError, match="any more"):
        meter.read()
    assert meter.read() == pytest.approx(0.1)


def test_a_counter_that_vanishes_is_an_error(laptop, opened):
    meter = opened(laptop)
    (laptop / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(MeasurementError, match="any more"):
        meter.read()


def test_a_closed_meter_is_an_error_and_leaves_no_thread(laptop, opened):
    before = threading.enumerate()
    meter = opened(laptop)
    (keeper,) = [thread for thread in threading.enumerate() if thread not in before]
    meter.close()
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()
    assert not keeper.is_alive()


def test_a_machine_without_counters_says_so(tmp_path):
    factory = RaplFactory(tmp_path)
    assert "virtual machines" in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match="virtual machines"):
        factory.open("cpu")


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


@pytest.mark.parametrize(("stands", "then"), [(12_345_678, 5), (5, 262_000_000_000)])
def test_what_no_processor_can_have_used_is_no_energy(tmp_path, opened, stands, then):
    """A counter that is set back is not one that went round, and a jump is no load."""
    folder = domain(tmp_path, "intel-rapl:0", "package-0", stands)
    clock = Clock()
    meter = opened(tmp_path, clock)
    meter.read()
    clock.sleep(0.05)
    count(folder, then)
    with pytest.raises(MeasurementError, match="set back or jumped"):
        meter.read()
    start = meter.read()
    count(folder, then + 2_000_000)
    assert meter.read() - start == pytest.approx(2.0)
