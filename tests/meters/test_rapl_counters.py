"""The processor's counters over time: they start again, jump, vanish, and are never a wrong figure."""

from __future__ import annotations

import threading
import time

import pytest

from greenadapt.errors import MeasurementError
from tests.meters.powercap import SPAN, Clock, count, domain, limit


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
