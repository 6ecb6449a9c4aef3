"""`check_meter` catches meters that break a point of the contract, and names the point."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import MeterInfo
from greenadapt.testing import check_meter


class Good:
    """A counter of ten watts that moves every `period`."""

    info = MeterInfo("good", "measured", "gpu", period_seconds=0.02)
    period = 0.02

    def __init__(self) -> None:
        self.broken = self.closed = False

    def read(self) -> float:
        if self.broken or self.closed:
            raise MeasurementError("It cannot be read.")
        return 10 * (time.perf_counter() // self.period) * self.period

    def close(self) -> None:
        self.closed = True

    def break_it(self) -> None:
        self.broken = True


class Falling(Good):
    def __init__(self) -> None:
        super().__init__()
        self.count = itertools.count()

    def read(self) -> float:
        return super().read() - next(self.count)


class Whole(Good):
    def read(self) -> int:
        return int(super().read())


class Endless(Good):
    def read(self) -> float:
        return super().read() * float("inf")


class Zero(Good):
    def read(self) -> float:
        try:
            return super().read()
        except MeasurementError:
            return 0.0


class Rude(Good):
    def read(self) -> float:
        if self.broken:
            raise KeyError("joules")
        return super().read()


class Boastful(Good):
    info = replace(Good.info, period_seconds=0.05)


class Silent(Good):
    info = replace(Good.info, period_seconds=None)
    period = 0.1


class Frozen(Good):
    period = 1e6


class Part(Good):
    def __init__(self, board: str | None) -> None:
        super().__init__()
        self.info = replace(Good.info, board=board)


class Twofold(Good):
    def __init__(self, *boards: str | None, share: float = 1.0) -> None:
        super().__init__()
        self.share = share
        self.parts = [Part(board) for board in boards]

    def read(self) -> float:
        super().read()
        return self.share * sum(part.read() for part in self.parts)


def shouting() -> Good:
    meter = Good()
    meter.info = replace(Good.info, name="GOOD")
    return meter


def certain() -> Good:
    meter = Good()
    meter.info = replace(Good.info, systematic_fraction=5.0)
    return meter


def test_good_meters_pass():
    meter = Good()
    check_meter(meter, break_it=meter.break_it)
    assert meter.closed
    check_meter(Twofold("GPU-a", "GPU-b"))


@pytest.mark.parametrize(
    ("meter", "point"),
    [
        (shouting, "1: .*lower case"),
        (certain, "1: .*uncertainty"),
        (Falling, "2: the counter fell"),
        (Whole, "2: .*no float"),
        (Endless, "2: .*finite"),
        (Boastful, "3: .*not every 0.05"),
        (Silent, "3: .*is None"),
        (Frozen, "3: .*moved 0 times"),
        (lambda: Twofold("GPU-a", None), "4: .*name its board"),
        (lambda: Twofold("GPU-a", "GPU-a"), "4: two parts"),
        (lambda: Twofold("GPU-a", "GPU-b", share=0.5), "4: the parts make"),
        (Zero, "5: a reading that fails"),
        (Rude, "5: .*KeyError"),
    ],
)
def test_a_bad_meter_is_caught(meter, point):
    opened = meter()
    with pytest.raises(AssertionError, match=point):
        check_meter(opened, break_it=opened.break_it)


def test_a_meter_that_reads_on_after_its_end_is_caught():
    class Undead(Good):
        def close(self) -> None:
            pass

    with pytest.raises(AssertionError, match="5: a closed meter"):
        check_meter(Undead())
